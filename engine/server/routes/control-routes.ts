/**
 * The levers that are of no round: rates of callers and merchants that may not redeem, each with its dry run. The rules
 * are in campaign/voucher/controls.ts; a change is answered when it holds on every node.
 */
import { Refusal } from '../../base/assert.ts'
import { isMerchantId } from '../../base/holder.ts'
import { nameOf } from '../../campaign/operator/requests.ts'
import type { RateChange } from '../../campaign/voucher/controls.ts'
import { merchantHold, rates } from '../../wire/schemas.ts'
import { type Answer, type Call, isDryRun, type Route, type Services } from '../http/gateway.ts'

async function setRates({ controls }: Services, { body, query, seed }: Call): Promise<Answer> {
  const change = body as RateChange
  const { configured } = controls
  if (isDryRun(query)) {
    await controls.fresh()
    const after = controls.ratesAfter(change)
    return { status: 200, body: { dry_run: true, before: controls.rates, after, configured } }
  }
  const isReplayed = await controls.setRates(change, seed && nameOf(seed))
  return { status: 200, body: { rates: controls.rates, configured }, isReplayed }
}

function merchantOf({ params }: Call): string {
  const id = params[0] as string
  if (!isMerchantId(id)) throw new Refusal('invalid', 'id: must be 1..64 of A-Z a-z 0-9 . _ @ -')
  return id
}

async function holdMerchant({ controls, clock }: Services, call: Call): Promise<Answer> {
  const merchant = merchantOf(call)
  const { reason } = call.body as { reason: string }
  const by = call.caller.id
  if (isDryRun(call.query)) {
    await controls.fresh()
    const after = { merchant_id: merchant, reason, by, at: new Date(clock.wallMs()).toISOString() }
    return { status: 200, body: { dry_run: true, before: controls.heldMerchant(merchant) ?? null, after } }
  }
  const isReplayed = await controls.hold(merchant, { reason, by, request: call.seed && nameOf(call.seed) })
  return { ...standing(controls, merchant), isReplayed }
}

async function releaseMerchant({ controls }: Services, call: Call): Promise<Answer> {
  const merchant = merchantOf(call)
  if (isDryRun(call.query)) {
    await controls.fresh()
    return { status: 200, body: { dry_run: true, before: controls.heldMerchant(merchant) ?? null, after: null } }
  }
  const isReplayed = await controls.release(merchant, call.seed && nameOf(call.seed))
  return { ...standing(controls, merchant), isReplayed }
}

/** A merchant as they stand now. */
const standing = (controls: Services['controls'], merchant: string) => ({
  status: 200,
  body: { merchant_id: merchant, held: controls.heldMerchant(merchant) ?? null },
})

export const CONTROL_ROUTES: readonly Route[] = [
  {
    method: 'get',
    path: '/v1/rates',
    right: 'read',
    summary: 'The rates of callers that hold now, and those of the configuration',
    handle: async ({ controls }) => {
      await controls.fresh()
      return { status: 200, body: { rates: controls.rates, configured: controls.configured } }
    },
  },
  {
    method: 'post',
    path: '/v1/rates',
    query: ['dry_run'],
    right: 'operate',
    summary: 'Sets rates of callers on every node; null takes back what was set',
    body: rates,
    handle: setRates,
  },
  {
    method: 'get',
    path: '/v1/holds',
    right: 'read',
    summary: 'The merchants that may not redeem now',
    handle: async ({ controls }) => {
      await controls.fresh()
      return { status: 200, body: { data: controls.heldMerchants } }
    },
  },
  {
    method: 'post',
    path: '/v1/merchants/{id}/hold',
    query: ['dry_run'],
    right: 'operate',
    summary: 'Holds a merchant: they redeem nothing, on no node, until they are released',
    body: merchantHold,
    handle: holdMerchant,
  },
  {
    method: 'post',
    path: '/v1/merchants/{id}/release',
    query: ['dry_run'],
    right: 'operate',
    summary: 'Releases a merchant that was held',
    handle: releaseMerchant,
  },
]
