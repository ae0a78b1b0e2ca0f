/**
 * What the client may say with certainty: that something was not done, and that an answer is to what was asked.
 *
 * A refusal that nobody can have meant for the first attempt keeps its doubt; what was never sent has none; what is
 * somebody else's claim or redemption is no answer. And what a caller got wrong is told before anything is sent.
 */
import { expect, onTestFinished, test } from 'vitest'
import { EngineError, Fairgrab, type FairgrabOptions } from '../../engine/client/fairgrab.ts'
import { answering, breakOff, GRANT, grant, json, page, type Reply, refuse, results } from '../support/answering.ts'

const TWO = [{ user: 'a' }, { user: 'b' }]
const ORDER = { id: 'o1', amount: 5000, currency: 'CNY' }

test('a token that is renewed without its cohort does not make a doubt certain', async () => {
  const { claim } = await answering(breakOff, refuse('not_eligible'))
  expect(await claim()).toMatchObject({ outcome: 'refused', code: 'not_eligible', executed: 'maybe' })
  const sure = await answering(refuse('not_eligible'))
  expect((await sure.claim()).outcome).toBe('not_eligible')
})

const BLIND: readonly (readonly [string, readonly Reply[], readonly string[]])[] = [
  ['a lost answer, then a token that ended', [breakOff, refuse('unauthorized')], ['maybe', 'maybe']],
  ['one in doubt, then a proxy’s 404', [results(['a', 'unknown'], ['b', 'overloaded']), page(404)], ['maybe', 'no']],
  [
    'one in doubt, then not eligible',
    [results(['a', 'unknown'], ['b', 'fenced']), results(['a', 'not_eligible'], ['b', 'forbidden'])],
    ['maybe', 'no'],
  ],
]

test.each(BLIND)('a batch keeps its doubts behind a refusal that says nothing: %s', async (_, replies, executed) => {
  const { fairgrab } = await answering(...replies)
  const ended = await fairgrab.claimBatch('rnd_1', TWO, { deadlineMs: 3000 })
  expect(ended).toMatchObject(executed.map(each => ({ outcome: 'refused', executed: each })))
})

test('a batch that is refused says why, for each of its claims', async () => {
  const detail = 'claims.1.user_id: must be a name'
  const { fairgrab } = await answering(refuse('invalid', { detail }))
  expect(await fairgrab.claimBatch('rnd_1', TWO)).toMatchObject(
    Array(2).fill({ outcome: 'refused', code: 'invalid', detail, executed: 'no' }),
  )
})

const otherClaim = (change: object): Reply => json(201, { ...GRANT, claim: { ...GRANT.claim, ...change } })
const NOT_OURS: readonly (readonly [string, Reply])[] = [
  ['another round’s claim', otherClaim({ round_id: 'rnd_2' })],
  ['another user’s claim', otherClaim({ user_id: 'eve' })],
  ['another slot’s claim', otherClaim({ slot: 2 })],
  ['a claim that is none', json(200, { claim: true })],
  ['a claim without vouchers', json(200, { ...GRANT, vouchers: undefined })],
  ['a claim with a status of failure', json(500, GRANT)],
  ['another round’s receipt', json(202, { outcome: 'entered', receipt: { round_id: 'rnd_2' } })],
]

test.each(NOT_OURS)('%s is no answer', async (_, reply) => {
  const { claim } = await answering(reply)
  expect(await claim({ deadlineMs: 300 })).toMatchObject({ outcome: 'unknown', executed: 'maybe' })
})

test('a refusal that has a claim in it is a refusal', async () => {
  const { claim } = await answering(json(418, GRANT))
  expect(await claim()).toMatchObject({ outcome: 'refused', status: 418 })
})

test.each([
  ['null', [null, 5]],
  ['grants without claims', [{ outcome: 'granted' }, { outcome: 'granted' }]],
  ['the claims of each other', ['b', 'a'].map(user_id => ({ ...GRANT, claim: { ...GRANT.claim, user_id } }))],
])('results of a batch that are %s are no answer', async (_, items) => {
  const { fairgrab } = await answering(json(200, { results: items }))
  const ended = await fairgrab.claimBatch('rnd_1', TWO, { deadlineMs: 300 })
  expect(ended).toMatchObject(Array(2).fill({ outcome: 'unknown', executed: 'maybe' }))
})

test('a till takes an answer for its own code and order only, however the code was typed', async () => {
  const redemption = { id: 'rdm_1', state: 'succeeded', code: '0001P', order_id: 'o1', merchant_id: 'm1' }
  const ask = async (change: object) => {
    const { fairgrab } = await answering(json(201, { ...redemption, ...change }))
    const asked = { code: 'ooo-lp', order: ORDER, merchant_id: 'm1' }
    return (await fairgrab.redeem(asked, { key: 'k', deadlineMs: 300 })).outcome
  }
  expect(await ask({})).toBe('redeemed')
  for (const change of [{ code: '0002P' }, { order_id: 'o2' }, { merchant_id: undefined }])
    expect(await ask(change)).toBe('unknown')
  const { fairgrab } = await answering(json(201, { redemption_id: 'rdm_2', state: 'succeeded' }))
  const reversed = await fairgrab.reverse('rdm_1', { type: 'full' }, { key: 'k', deadlineMs: 300 })
  expect(reversed.outcome).toBe('unknown')
})

const UNSENT: readonly (readonly [string, Partial<FairgrabOptions>, string])[] = [
  [
    'a token that cannot be had',
    {
      token: () => {
        throw new Error('session ended')
      },
    },
    'not sent: session ended',
  ],
  ['a token with a letter', { token: 'tökén' }, 'not sent: token or key: visible characters of ASCII'],
  ['a token that does not come', { token: () => new Promise<string>(() => {}) }, 'not sent: no answer within 50 ms'],
]

test.each(UNSENT)('%s: nothing is sent, and it is certainly not executed', async (_, options, detail) => {
  const { url, asked } = await answering(grant)
  const fairgrab = new Fairgrab({ url, ...options })
  expect(await fairgrab.claim('rnd_1', { attemptMs: 50 })).toMatchObject({
    ...{ outcome: 'refused', code: undefined, status: 0, executed: 'no' },
    detail: expect.stringContaining(detail),
  })
  expect(asked).toEqual([])
})

test('a token that cannot be had behind a lost answer leaves the doubt', async () => {
  const { url } = await answering(breakOff)
  const tokens = ['t']
  const token = () => {
    const next = tokens.shift()
    if (next === undefined) throw new Error('session ended')
    return next
  }
  expect(await new Fairgrab({ url, token }).claim('rnd_1')).toMatchObject({ outcome: 'refused', executed: 'maybe' })
})

test('who leaves does not wait for a token', async () => {
  const { url } = await answering(grant)
  const leaving = new AbortController()
  const fairgrab = new Fairgrab({
    url,
    token: () => {
      leaving.abort(new Error('closed the page'))
      return new Promise<string>(() => {})
    },
  })
  await expect(fairgrab.claim('rnd_1', { signal: leaving.signal })).rejects.toThrow('closed the page')
})

test('a key that would be cut on its way is not sent', async () => {
  const { fairgrab, asked } = await answering(grant)
  for (const key of ['till-№7', 'till-ü', 'two words', '']) {
    const done = await fairgrab.redeem({ code: 'C', order: ORDER, merchant_id: 'm' }, { key })
    expect(done).toMatchObject({
      outcome: 'refused',
      executed: 'no',
      detail: expect.stringContaining('Idempotency-Key'),
    })
  }
  const path = '/v1/rounds/rnd_1/stock'
  const change = { method: 'POST', path, body: { add: 5 }, key: 'add-ü' } as const
  const refused = fairgrab.request(change)
  await expect(refused).rejects.toBeInstanceOf(EngineError)
  await expect(refused).rejects.toMatchObject({ executed: 'no' })
  const keyless = { method: 'POST', path, body: { add: 5 } } as unknown as typeof change
  await expect(fairgrab.request(keyless)).rejects.toThrow(new TypeError(`POST ${path}: a change needs its key`))
  expect(asked).toEqual([])
})

test.each([
  [{ url: '127.0.0.1:8080' }, 'url: an address such as https://claims.example, not "127.0.0.1:8080"'],
  [{ url: 'localhost:8080' }, 'url: an address'],
  [{ url: 'http://claims.example/#top' }, 'url: an address'],
  [{ url: 'http://claims.example:99999' }, 'Invalid URL'],
  [{}, 'url: an address'],
  [{ url: 'http://a', tokn: 't' }, 'there is no option tokn'],
  [{ url: 'http://a', deadlineMs: 5 }, 'there is no option deadlineMs; patience goes with each call'],
  [{ url: 'http://a', key: 'k', token: 't' }, 'give a token or a key, not both'],
])('a client that can never work is not made: %j', (options, words) => {
  expect(() => new Fairgrab(options as FairgrabOptions)).toThrow(words)
})

test('half a character in an id is asked for and not found', async () => {
  const { fairgrab, asked } = await answering(refuse('not_found'))
  expect(await fairgrab.claim('\ud800', { user: 'ada' })).toMatchObject({ outcome: 'refused', code: 'not_found' })
  expect(asked[0]).toMatch(/^POST \/v1\/rounds\/%EF%BF%BD\/claims /)
})

test('what the system says of a connection is in the detail', async () => {
  const nobody = new Fairgrab({ url: 'http://127.0.0.1:2', key: 'k' })
  const { detail } = (await nobody.claim('rnd_1', { deadlineMs: 100 })) as { readonly detail: string }
  expect(detail).toBe('fetch failed: connect ECONNREFUSED 127.0.0.1:2')
})

test('an attempt without an end is no attempt of a millisecond', async () => {
  for (const attemptMs of [Number.POSITIVE_INFINITY, 3e9]) {
    const later: Reply = response => void setImmediate(() => setImmediate(() => grant(response)))
    const { claim, asked } = await answering(later)
    expect((await claim({ attemptMs })).outcome).toBe('granted')
    expect(asked).toHaveLength(1)
  }
})

test('a wait of nothing is no request after request', async () => {
  const { claim, asked } = await answering(refuse('overloaded', { retry_after_ms: -1000 }))
  expect((await claim({ deadlineMs: 1500 })).outcome).toBe('not_executed')
  expect(asked.length).toBeLessThan(6)
})

/** What a page of another origin has; no Node has one. */
function standAt(origin: string): void {
  Object.defineProperty(globalThis, 'location', { value: { origin }, configurable: true })
  onTestFinished(() => void Reflect.deleteProperty(globalThis, 'location'))
}

test('a page of another origin is told which setting keeps the answer from it', async () => {
  standAt('https://shop.example')
  const nobody = new Fairgrab({ url: 'http://127.0.0.1:2', key: 'k' })
  expect(await nobody.claim('rnd_1', { deadlineMs: 100 })).toMatchObject({
    detail: expect.stringContaining('has FAIRGRAB_ORIGINS of the engine https://shop.example?'),
  })
})
