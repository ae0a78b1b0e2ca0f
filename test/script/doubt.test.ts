/**
 * Every store that refuses, over a real Redis, when its link had to send a request on a second connection: what an
 * earlier copy may still execute is a doubt and no refusal, and what was done, or is the end, is told as it is.
 *
 * The link says of every script that it was sent twice; that an earlier copy is executed late indeed, the simulation shows.
 */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { CODES, type Code, codeOf } from '../../engine/base/codes.ts'
import { ALLOT_HEAD_BYTES, TIE_BYTES } from '../../engine/store/data/allot-store.ts'
import { ENTRY_CLAIM_BYTES } from '../../engine/store/data/entry-store.ts'
import type { RedeemCall, VoucherFacts } from '../../engine/store/data/voucher-store.ts'
import { openScriptRoom } from '../support/script-room.ts'

let room: Awaited<ReturnType<typeof openScriptRoom>>
beforeAll(async () => {
  room = await openScriptRoom()
})
afterEach(() => {
  room.link.twice = false
})
afterAll(() => room[Symbol.asyncDispose]())

/** What a request is told: its code, or the code of the fault that it ended with. */
const told = (asked: Promise<Code | undefined>): Promise<Code | undefined> =>
  asked.catch((cause: { readonly code?: Code }) => cause.code)

async function enter(id: string, epoch = room.epoch): Promise<Code | undefined> {
  const { outcomes } = await room.entries.enter(id, epoch, Buffer.alloc(ENTRY_CLAIM_BYTES, 1), 0)
  return codeOf(outcomes[0] as number)
}

async function allot(id: string, epoch = room.epoch): Promise<Code | undefined> {
  const claim = Buffer.alloc(ALLOT_HEAD_BYTES + 1)
  claim.writeDoubleBE(1000, 0)
  claim[10 + TIE_BYTES] = 1
  claim.write('a', ALLOT_HEAD_BYTES, 'latin1')
  const { decided } = await room.allotments.allot(id, epoch, { worker: 'w', mark: 2000 }, claim)
  return codeOf(decided[0]?.outcome ?? -1)
}

let calls = 0
async function voucher(ofPast = false): Promise<{ readonly id: string; readonly facts: VoucherFacts }> {
  const id = await room.newCampaign()
  await room.ledger.book(id, 1, { sequence: 10, amount: 1000, source: 'available' })
  const expiresAt = ofPast ? 1 : (await room.now()) + 3_600_000
  return { id, facts: { roundNumber: 1, serial: 3, template: 0, expiresAt, worth: 1000 } }
}
function redeem(id: string, facts: VoucherFacts, more: Partial<RedeemCall> = {}): Promise<Code | undefined> {
  const of = `rdm_${++calls}`
  const day = { date: '2026-12-01', startsAt: 1, endsAt: 4e12 }
  const most = { perOrder: 0, perMerchantAndDay: 0, amountPerDay: 0 }
  const order = { merchant: 'm1', bound: false, user: 'u1', order: `o${calls}`, gross: 5000, pool: 'general' }
  const lease = { from: 0, until: 4e12 }
  const asked = {
    lease,
    voucher: facts,
    caller: 'merchant:m',
    key: of,
    fingerprint: 'f',
    day,
    most,
    id: of,
    discount: 1000,
  }
  return room.vouchers.redeem(id, { ...asked, ...order, answer: '{}', ...more }).then(({ code }) => code)
}

/** What is asked, what it is told, and what the same is told when an earlier copy may still be under way. */
const ROWS: readonly (readonly [string, Code, Code, () => Promise<() => Promise<Code | undefined>>])[] = [
  [
    'an entry of a paused round',
    'paused',
    'unknown',
    async () => {
      const id = await room.newDrawnRound()
      await room.rounds.turn(id, room.epoch, 'pause', 'p')
      return () => enter(id)
    },
  ],
  [
    'an entry',
    'entered',
    'entered',
    async () => {
      const id = await room.newDrawnRound()
      return () => enter(id)
    },
  ],
  [
    'an entry of another epoch',
    'fenced',
    'unknown',
    async () => {
      const id = await room.newDrawnRound()
      return () => enter(id, '00000000000000bb')
    },
  ],
  [
    'a claim of a strict round that is paused',
    'paused',
    'unknown',
    async () => {
      const id = await room.newRound()
      await room.rounds.turn(id, room.epoch, 'pause', 'p')
      return () => allot(id)
    },
  ],
  [
    'a claim of a strict round that is closed',
    'closed',
    'closed',
    async () => {
      const id = await room.newRound()
      await room.rounds.turn(id, room.epoch, 'close', 'c')
      return () => allot(id)
    },
  ],
  [
    'a claim of a strict round of another epoch',
    'fenced',
    'unknown',
    async () => {
      const id = await room.newRound()
      return () => allot(id, '00000000000000bb')
    },
  ],
  [
    'a redemption behind a lock',
    'voucher_locked',
    'unknown',
    async () => {
      const { id, facts } = await voucher()
      await room.vouchers.lock(id, facts, { by: 'p', merchant: '', order: 'other', ttlMs: 30_000, id: 'lck_1' })
      return () => redeem(id, facts)
    },
  ],
  [
    'a redemption',
    'granted',
    'granted',
    async () => {
      const { id, facts } = await voucher()
      return () => redeem(id, facts)
    },
  ],
  [
    'a redemption of what has expired',
    'expired',
    'expired',
    async () => {
      const { id, facts } = await voucher(true)
      return () => redeem(id, facts)
    },
  ],
  [
    'a lock behind a lock',
    'voucher_locked',
    'unknown',
    async () => {
      const { id, facts } = await voucher()
      await room.vouchers.lock(id, facts, { by: 'p', merchant: '', order: 'other', ttlMs: 30_000, id: 'lck_1' })
      const lock = { by: 'p', merchant: '', order: 'mine', ttlMs: 30_000, id: 'lck_2' }
      return () => room.vouchers.lock(id, facts, lock).then(({ code }) => code)
    },
  ],
  [
    'money beyond the budget',
    'budget_exceeded',
    'unknown',
    async () => {
      const id = `cmp_doubt${++calls}`
      const commitment = { campaignId: id, roundId: 'rnd_doubt', request: 'create', amount: 101 }
      return async () => ((await room.budgets.commit(commitment, 100)) ? 'granted' : 'budget_exceeded')
    },
  ],
  [
    'a turn that does not fit',
    'wrong_state',
    'unknown',
    async () => {
      const id = await room.newRound()
      return () => room.rounds.turn(id, room.epoch, 'resume', 'r').then(({ code }) => code)
    },
  ],
]

test.each(ROWS)('%s: %s, and %s where an earlier copy may still be executed', async (_, once, twice, prepare) => {
  const [first, second] = [await prepare(), await prepare()]
  expect(await told(first())).toBe(once)
  room.link.twice = true
  expect(await told(second())).toBe(twice)
  expect(CODES[twice].executed === 'no').toBe(twice === 'closed' || twice === 'expired')
})
