/**
 * What each call of the client takes for the engine's answer: its own honest one, and none of those beside it that say too little, or
 * say it of something else.
 *
 * The table has a row for each call, with what a hostile server, a proxy or a mixed-up cache may say with 2xx. Each of them is asked
 * again, stays in doubt until the deadline, and gives way to the honest answer behind it.
 */
import { expect, onTestFinished, test } from 'vitest'
import { CODES, type Code } from '../../engine/base/codes.ts'
import { EngineError, type Fairgrab } from '../../engine/client/fairgrab.ts'
import type { Patience } from '../../engine/client/patience.ts'
import type { ReceiptFields } from '../../engine/client/receipt-check.ts'
import { problem } from '../../engine/wire/problem.ts'
import { answering, breakOff, GRANT, grant, json, page } from '../support/answering.ts'

const CODE = '0001P97Q5931GQ975ZP0'
/** Nothing but the first attempt fits into it. */
const ONCE: Patience = { deadlineMs: 50 }
const DOUBT = { outcome: 'unknown', executed: 'maybe', detail: 'the answer is not the engine’s' }

const RECEIPT: ReceiptFields = {
  ...{ tag: 'aa', pool: 0, round_id: 'rnd_1', window: 0, at: '', path: [], root: 'bb', signature: 'cc', key_id: 'dd' },
}
const ENTRY = { outcome: 'entered', receipt: RECEIPT }
const REDEMPTION = { id: 'rdm_1', state: 'succeeded', code: CODE, order_id: 'o1', merchant_id: 'm1' }
const REVERSAL = { id: 'rev_1', redemption_id: 'rdm_1', state: 'succeeded', type: 'partial', amount: 300 }
const LOCK = { id: 'lck_1', order_id: 'o1', ends_at: '2026-11-23T18:59:33.100Z' }
const LOCKED = { code: CODE, state: 'locked', lock: LOCK }
const UNLOCKED = { code: CODE, state: 'active', lock: null }
const grantTo = (user_id: string, change: object = {}) => ({
  ...GRANT,
  claim: { ...GRANT.claim, user_id },
  ...change,
})
const without = (body: object, name: string) => ({ ...body, [name]: undefined })

type Call = (fairgrab: Fairgrab, patience: Patience) => Promise<unknown>
const claim: Call = (fairgrab, patience) => fairgrab.claim('rnd_1', { user: 'ada', ...patience })
const batch: Call = async (fairgrab, patience) =>
  (await fairgrab.claimBatch('rnd_1', [{ user: 'ada' }, { user: 'bob' }], patience))[0]
const redeem: Call = (fairgrab, patience) =>
  fairgrab.redeem(
    { code: CODE, order: { id: 'o1', amount: 5000, currency: 'CNY' }, merchant_id: 'm1' },
    { key: 'k', ...patience },
  )
const reverse: Call = (fairgrab, patience) =>
  fairgrab.reverse('rdm_1', { type: 'partial', amount: 300 }, { key: 'k', ...patience })
const lock: Call = (fairgrab, patience) => fairgrab.lock(CODE, { order_id: 'o1' }, patience)
const unlock: Call = (fairgrab, patience) => fairgrab.unlock(CODE, 'o1', patience)

/** A call, how it ends by its honest answer, and what is no answer to it. */
const CALLS: readonly (readonly [string, Call, outcome: string, honest: object, strange: readonly object[]])[] = [
  [
    ...(['claim', claim, 'granted', GRANT] as const),
    [
      without(GRANT, 'vouchers'),
      { ...GRANT, vouchers: [null] },
      { ...GRANT, outcome: 'sold_out' },
      { ...GRANT, claim: without(GRANT.claim, 'id') },
      [],
    ],
  ],
  [
    ...(['claim in a draw', claim, 'entered', ENTRY] as const),
    [
      { outcome: 'entered' },
      { ...ENTRY, receipt: { round_id: 'rnd_1' } },
      { ...ENTRY, receipt: without(RECEIPT, 'signature') },
      { ...ENTRY, receipt: { ...RECEIPT, round_id: 'rnd_2' } },
      { ...ENTRY, receipt: { ...RECEIPT, user_id: 'eve' } },
      without(ENTRY, 'outcome'),
    ],
  ],
  [
    ...(['claimBatch', batch, 'granted', { results: [grantTo('ada'), grantTo('bob')] }] as const),
    [
      { results: [{}, {}] },
      { results: [1, 'x'] },
      { results: [null, null] },
      { results: [{ outcome: null }, { outcome: 5 }] },
      { results: [grantTo('ada')] },
      { results: { length: 2 } },
      { results: [grantTo('ada', { vouchers: undefined }), grantTo('bob')] },
      { results: [grantTo('bob'), grantTo('ada')] },
    ],
  ],
  [
    ...(['redeem', redeem, 'redeemed', REDEMPTION] as const),
    [
      { ...REDEMPTION, state: 'failed' },
      { ...REDEMPTION, state: 'reversed' },
      without(REDEMPTION, 'id'),
      { ...REDEMPTION, order_id: 'o2' },
      { ...REDEMPTION, code: null },
    ],
  ],
  [
    ...(['reverse', reverse, 'reversed', REVERSAL] as const),
    [
      { redemption_id: 'rdm_1' },
      { ...REVERSAL, amount: 999 },
      { ...REVERSAL, type: 'full' },
      { ...REVERSAL, state: 'x' },
      without(REVERSAL, 'id'),
    ],
  ],
  [
    ...(['lock', lock, 'locked', LOCKED] as const),
    [
      { code: CODE, state: 'locked' },
      { ...LOCKED, lock: null },
      { ...LOCKED, lock: { ...LOCK, order_id: 'o2' } },
      { ...LOCKED, lock: { ...LOCK, ends_at: 'x' } },
      { ...LOCKED, lock: without(LOCK, 'ends_at') },
      { ...LOCKED, state: 'active' },
    ],
  ],
  [
    ...(['unlock', unlock, 'unlocked', UNLOCKED] as const),
    [{ ...LOCKED, lock: { ...LOCK, order_id: 'o9' } }, LOCKED, { code: CODE }, { ...UNLOCKED, code: '0002P' }],
  ],
]

test.each(CALLS)('%s takes its own answer', async (_, call, outcome, honest) => {
  const { fairgrab, asked } = await answering(json(200, honest))
  expect(await call(fairgrab, ONCE)).toMatchObject({ outcome })
  expect(asked).toHaveLength(1)
})

const STRANGE = CALLS.flatMap(([name, call, outcome, honest, strange]) =>
  [...strange, null, {}].map(body => [name, JSON.stringify(body), { call, outcome, honest, body }] as const),
)

test.each(STRANGE)('%s does not take %s', async (_name, _words, { call, outcome, honest, body }) => {
  const strange = json(201, body as object)
  const doubted = await answering(strange)
  const ended = await call(doubted.fairgrab, ONCE)
  expect(ended).toMatchObject(DOUBT)
  const { fairgrab, asked } = await answering(strange, json(200, honest))
  expect(await call(fairgrab, { deadlineMs: 5000 })).toMatchObject({ outcome })
  expect(asked).toHaveLength(2)
})

test('a reversal in full takes whatever was left', async () => {
  const { fairgrab } = await answering(json(200, { ...REVERSAL, type: 'full', amount: 700 }))
  expect(await fairgrab.reverse('rdm_1', { type: 'full' }, { key: 'k', ...ONCE })).toMatchObject({
    outcome: 'reversed',
  })
})

test('a page in place of what was read is no empty object', async () => {
  const { fairgrab, asked } = await answering(page(200), json(200, { data: [] }))
  expect(await fairgrab.request({ path: '/v1/campaigns' })).toEqual({ data: [] })
  expect(asked).toHaveLength(2)
  const lost = (await answering(page(200))).fairgrab.request({ path: '/v1/campaigns' }, ONCE)
  await expect(lost).rejects.toBeInstanceOf(EngineError)
  await expect(lost).rejects.toThrow('the answer is not the engine’s')
})

const said = (code: Code, status: number) => json(status, { ...problem(code), status })
const FAILURES = [500, 502, 503, 504]

test.each(Object.keys(CODES) as Code[])('a refusal %s in a failure of another kind leaves the doubt', async code => {
  const { executed, status: own } = CODES[code]
  if (executed === 'no' && own >= 500) return expect(own).toBe(503)
  for (const status of FAILURES) {
    const { fairgrab } = await answering(said(code, status))
    expect(await claim(fairgrab, ONCE)).toMatchObject({ outcome: 'unknown', executed: 'maybe' })
  }
})

test('what a round says it says with its own status', async () => {
  for (const status of [404, 410, 418, 429]) {
    const { fairgrab } = await answering(said('sold_out', status))
    expect(await claim(fairgrab, ONCE)).not.toMatchObject({ outcome: 'sold_out' })
  }
  const { fairgrab } = await answering(said('sold_out', 409))
  expect(await claim(fairgrab, ONCE)).toMatchObject({ outcome: 'sold_out' })
})

/** Calls with an id that would make another path of theirs. */
const ELSEWHERE: readonly (readonly [string, (fairgrab: Fairgrab, id: string) => Promise<unknown>])[] = [
  ['claim', (fairgrab, id) => fairgrab.claim(id, ONCE)],
  ['claimBatch', async (fairgrab, id) => (await fairgrab.claimBatch(id, [{ user: 'ada' }], ONCE))[0]],
  ['lock', (fairgrab, id) => fairgrab.lock(id, { order_id: 'o1' }, ONCE)],
  ['unlock', (fairgrab, id) => fairgrab.unlock(id, 'o1', ONCE)],
  ['reverse', (fairgrab, id) => fairgrab.reverse(id, { type: 'full' }, { key: 'k', ...ONCE })],
]

test.each(ELSEWHERE)('%s sends nothing for an id that leads to another path', async (_, call) => {
  const { fairgrab, asked } = await answering(grant)
  for (const id of ['.', '..'])
    expect(await call(fairgrab, id)).toMatchObject({
      ...{ outcome: 'refused', status: 0, executed: 'no' },
      detail: expect.stringMatching(/^not sent: \/v1\/\S+: \. and \.\. are no ids$/),
    })
  expect(asked).toEqual([])
})

test('a read sends nothing for an id that leads to another path, either', async () => {
  const { fairgrab, asked } = await answering(grant)
  const paths = ['/v1/rounds/rnd_1/claims/..', '/v1/rounds/rnd_1/claims/.', '/v1/rounds/%2e%2E/claims', '/v1/../x?a=b']
  for (const read of [fairgrab.round('..', ONCE), ...paths.map(path => fairgrab.request({ path }, ONCE))])
    await expect(read).rejects.toThrow('. and .. are no ids')
  expect(asked).toEqual([])
})

test('dots within an id lead nowhere', async () => {
  const { fairgrab, asked } = await answering(json(200, {}))
  for (const path of ['/v1/a..b', '/v1/.../..a', '/v1/x?y=/../']) await fairgrab.request({ path })
  expect(asked).toHaveLength(3)
})

test('what was not sent is not laid to the origin of the page', async () => {
  Object.defineProperty(globalThis, 'location', { value: { origin: 'https://shop.example' }, configurable: true })
  onTestFinished(() => void Reflect.deleteProperty(globalThis, 'location'))
  const { fairgrab } = await answering(grant)
  expect(await fairgrab.claim('..', ONCE)).toMatchObject({ detail: expect.stringMatching(/^not sent: \/v1/) })
})

test('a receipt that is none fails, whoever asks', async () => {
  const { fairgrab, asked } = await answering(breakOff)
  for (const fields of [null, undefined, {}, 5, 'x', [], { round_id: 7 }] as unknown as ReceiptFields[]) {
    expect((await fairgrab.receipt(fields).verify(ONCE)).verdict).toBe('fails')
    expect((await fairgrab.receipt(fields, 'ada').verify(ONCE)).verdict).toBe('fails')
  }
  expect(asked).toEqual([])
})
