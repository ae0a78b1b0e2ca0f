/**
 * One case looked up by the people who answer for it: all claims of a user over all rounds, the redemptions of an order, and
 * the whole history of a voucher. Reading only; a drawn round keeps no names, so there the user's entry is found by what is derived from the id.
 */
import { type Caller, reaches } from '../../auth/callers.ts'
import { Fault, Refusal } from '../../base/assert.ts'
import { isUserId, USER_ID_FORM } from '../../base/holder.ts'
import type { Round } from '../../campaign/round/round.ts'
import { campaignIn } from '../../campaign/voucher/kept-redemptions.ts'
import { userClaim } from '../../wire/answers/claims.ts'
import { keptRedemption, voucherHistory } from '../../wire/answers/vouchers.ts'
import { roundIdsFor } from '../http/campaign-limits.ts'
import type { Call, Route, Services } from '../http/gateway.ts'
import { behind, listRows } from '../http/lists.ts'
import { claimOf } from './claim-routes.ts'
import { unreadable } from './round-routes.ts'

/** What they hold in a round nobody can say; that is a row, so that nobody takes it for nothing. */
const inDoubt = (id: string, slot: number, problem: string) => ({
  ...{ round_id: id, round_state: 'fenced', slot, outcome: 'fenced', problem },
})

async function* claimsIn(services: Services, round: Round, caller: Caller, [userId, from]: readonly [string, number]) {
  const { id, state, config } = round.view
  for (let slot = from; slot <= round.decider.slots; slot++) {
    const found = await claimOf(services, round, { userId, slot, caller }).catch(doubtIn)
    if (typeof found === 'string') {
      yield inDoubt(id, slot, found)
      return
    }
    if (found) yield { round_id: id, campaign_id: config.campaign_id, round_state: state, slot, ...found }
  }
}

async function* claimsOf(services: Services, { caller, query }: Call, userId: string) {
  const cursor = query.get('cursor')
  const ids = (await roundIdsFor(services, caller)).toReversed()
  const [, last = '', slot = '0'] = cursor?.match(/^(rnd_[0-9a-z]+):(\d{1,3})$/) ?? []
  const start = cursor === null ? 0 : ids.indexOf(last)
  if (start < 0) throw new Refusal('invalid', 'cursor: take it from next_cursor')
  for (const [i, id] of ids.slice(start).entries()) {
    const from = i === 0 ? Number(slot) + 1 : 1
    const round = await services.lifecycle.round(id).catch((cause: unknown) => unreadable(services, id, cause))
    if (typeof round !== 'string') yield* claimsIn(services, round, caller, [userId, from])
    else if (from === 1) yield inDoubt(id, 1, round)
  }
}

/** Why nobody can say; throws what is no doubt. */
function doubtIn(cause: unknown): string {
  if (cause instanceof Fault && cause.code === 'fenced') return cause.message
  throw cause
}

async function listClaimsOf(services: Services, call: Call) {
  const userId = call.query.get('user_id') ?? ''
  if (!isUserId(userId)) throw new Refusal('invalid', `user_id: ${USER_ID_FORM}`)
  const rows = claimsOf(services, call, userId)
  return listRows(services, call, rows, row => `${row.round_id}:${row.slot}`)
}

async function readHistory({ vouchers, histories }: Services, { params }: Call) {
  const voucher = await vouchers.of(params[0] as string)
  return { status: 200, body: { code: voucher.code, events: await histories.of(voucher) } }
}

const readRedemption = async ({ keptRedemptions }: Services, { params, caller }: Call) => ({
  status: 200,
  body: await keptRedemptions.of(params[0] as string, caller.merchant),
})

async function listRedemptions(services: Services, call: Call) {
  const { query, caller } = call
  const [order, merchant] = [query.get('order_id'), query.get('merchant_id') ?? caller.merchant]
  if (order === null) throw new Refusal('invalid', 'order_id: is required')
  if (merchant === undefined) throw new Refusal('invalid', 'merchant_id: is required')
  if (caller.merchant !== undefined && caller.merchant !== merchant)
    throw new Refusal('forbidden', `this key acts for the merchant ${caller.merchant}`)
  const all = await services.keptRedemptions.ofOrder(order, merchant)
  const found = all.filter(({ id }) => reaches(caller, campaignIn(id) as string))
  return listRows(
    services,
    call,
    behind(found, query.get('cursor'), row => row.id),
    row => row.id,
  )
}

export const LOOKUP_ROUTES: readonly Route[] = [
  {
    method: 'get',
    path: '/v1/claims',
    operation: 'listClaimsOfUser',
    rows: userClaim,
    query: ['user_id', 'limit', 'cursor'],
    right: 'read',
    summary: 'The claims of a user (?user_id=) in all rounds, newest round first',
    handle: listClaimsOf,
  },
  {
    method: 'get',
    path: '/v1/redemptions/{id}',
    operation: 'readRedemption',
    answers: { 200: keptRedemption },
    right: 'look-up',
    summary: 'A redemption as it stands',
    handle: readRedemption,
  },
  {
    method: 'get',
    path: '/v1/redemptions',
    operation: 'listRedemptionsOfOrder',
    rows: keptRedemption,
    query: ['order_id', 'merchant_id', 'limit', 'cursor'],
    right: 'look-up',
    summary: "The redemptions of a merchant's order, oldest first",
    handle: listRedemptions,
  },
  {
    method: 'get',
    path: '/v1/vouchers/{code}/history',
    operation: 'readVoucherHistory',
    answers: { 200: voucherHistory },
    byCode: true,
    right: 'read',
    summary: 'What became of a voucher, step by step',
    handle: readHistory,
  },
]
