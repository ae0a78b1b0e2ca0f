/**
 * What the client asks again, row by row of the outcome table, against a real server that answers with the engine's own
 * problems: which refusals pass, which leave a doubt, how a doubt ends, and that every attempt is the same bytes.
 *
 * Also what is not the engine's: a proxy's pages, answers that break off, bodies that are nobody's, a server that is silent.
 */
import { expect, test } from 'vitest'
import { CODES, type Code } from '../../engine/base/codes.ts'
import type { ClaimResult } from '../../engine/client/claim.ts'
import { EngineError, Fairgrab } from '../../engine/client/fairgrab.ts'
import { isDoubtful, passes, waitBefore, wantedWait } from '../../engine/client/patience.ts'
import {
  answering,
  breakOff,
  GRANT,
  grant,
  json,
  page,
  type Reply,
  refuse,
  results,
  silence,
} from '../support/answering.ts'

const CODE_ROWS = (Object.keys(CODES) as Code[]).filter(code => !['granted', 'replayed', 'entered'].includes(code))
const SAID = ['sold_out', 'limit_reached', 'paused', 'not_open', 'closed', 'not_eligible']

/** What the outcome table says of asking again: what may have been executed, or was stopped by a fault that passes. */
const isAskedAgain = ({ executed, retry, status }: (typeof CODES)[Code]) =>
  executed === 'maybe' || (retry && (status === 429 || status >= 500))

test.each(CODE_ROWS)('%s is asked again as the outcome table has it, under the same key', async code => {
  const row = CODES[code]
  const { asked, claim } = await answering(refuse(code), grant)
  const { outcome } = await claim()
  expect(asked).toHaveLength(isAskedAgain(row) ? 2 : 1)
  expect(new Set(asked)).toEqual(new Set(['POST /v1/rounds/rnd_1/claims Bearer platform-key {"user_id":"ada"}']))
  expect(outcome).toBe(isAskedAgain(row) ? 'granted' : SAID.includes(code) ? code : 'refused')
})

test('the rule by status is the table’s, row by row', () => {
  for (const code of CODE_ROWS) {
    const row = CODES[code]
    expect([code, passes(row)]).toEqual([code, isAskedAgain(row)])
    expect([code, isDoubtful({ ...row, code })]).toEqual([code, row.executed === 'maybe'])
    // What is a state of the round and no fault is told at once, although it may end.
    if (row.retry && !passes(row)) expect(row.status).toBeLessThan(429)
  }
})

test.each(CODE_ROWS.filter(code => passes(CODES[code])))(
  '%s until the deadline ends as the table has it',
  async code => {
    const { asked, claim } = await answering(refuse(code))
    const result = await claim({ deadlineMs: 1000 })
    const isDoubt = CODES[code].executed === 'maybe'
    expect(result).toMatchObject({ outcome: isDoubt ? 'unknown' : 'not_executed', executed: CODES[code].executed })
    expect(asked.length).toBeGreaterThan(1)
  },
)

test('what is certainly not executed is given up when the engine’s own wait passes the deadline, a doubt never is', async () => {
  const busy = await answering(refuse('overloaded', { retry_after_ms: 60_000 }))
  expect(await busy.claim({ deadlineMs: 500 })).toEqual({
    outcome: 'not_executed',
    code: 'overloaded',
    detail: CODES.overloaded.title,
    executed: 'no',
    retry_after_ms: 60_000,
  })
  expect(busy.asked).toHaveLength(1)
  const unknown = await answering(refuse('unknown', { retry_after_ms: 60_000 }), grant)
  expect((await unknown.claim({ deadlineMs: 2000 })).outcome).toBe('granted')
  expect(unknown.asked).toHaveLength(2)
})

const LATER: readonly (readonly [string, Reply, Partial<ClaimResult>])[] = [
  ['a busy engine', refuse('overloaded'), { outcome: 'unknown', executed: 'maybe' }],
  ['a token that ended', refuse('unauthorized'), { outcome: 'refused', code: 'unauthorized', executed: 'maybe' }],
  ['a proxy that lost its way', page(404), { outcome: 'refused', code: undefined, status: 404, executed: 'maybe' }],
  ['an engine that reads it as wrong', refuse('invalid'), { outcome: 'refused', code: 'invalid', executed: 'no' }],
  ['the end of the stock', refuse('sold_out'), { outcome: 'sold_out' }],
]

test.each(LATER)('a doubt is not taken away by %s unless that is certain', async (_, reply, result) => {
  const { claim } = await answering(refuse('unknown'), reply)
  expect(await claim({ deadlineMs: 1500 })).toMatchObject(result)
})

const STRANGE: readonly (readonly [string, Reply])[] = [
  ['a proxy’s 502', page(502)],
  ['a proxy’s 503 without the engine’s words', page(503)],
  ['a 504 of another API', json(504, { code: 'TIMEOUT', message: 'x' })],
  ['an answer that breaks off', breakOff],
  ['a connection that ends without an answer', response => response.destroy()],
  ['a page in place of the answer', page(200)],
  ['JSON of somebody else', json(200, { outcome: 'fine' })],
]

test.each(STRANGE.slice(0, 5))('%s leaves a doubt and is asked again', async (_, reply) => {
  const { asked, claim } = await answering(reply, grant)
  expect((await claim()).outcome).toBe('granted')
  expect(asked).toHaveLength(2)
})

test.each(STRANGE)('%s to the end is unknown and never passes for an answer', async (_, reply) => {
  const { claim } = await answering(reply)
  expect(await claim({ deadlineMs: 300 })).toMatchObject({ outcome: 'unknown', executed: 'maybe' })
})

test('a server that says nothing is asked again when the time of an attempt is over', async () => {
  const { asked, claim } = await answering(silence, grant)
  expect((await claim({ attemptMs: 100 })).outcome).toBe('granted')
  expect(asked).toHaveLength(2)
})

test('nobody at the address is a doubt like any other, and is found when somebody is there', async () => {
  const nobody = new Fairgrab({ url: 'http://127.0.0.1:2', key: 'k' })
  expect(await nobody.claim('rnd_1', { deadlineMs: 300 })).toMatchObject({ outcome: 'unknown', executed: 'maybe' })
})

test('of a batch only what has no certain result is asked again, and a doubt stays one until it is certain', async () => {
  const { asked, fairgrab } = await answering(
    results(['a', 'granted'], ['b', 'unknown'], ['c', 'overloaded'], ['d', 'sold_out'], ['e', 'forbidden']),
    results(['b', 'overloaded'], ['c', 'fenced']),
  )
  const users = ['a', 'b', 'c', 'd', 'e'].map(user => ({ user }))
  expect(await fairgrab.claimBatch('rnd_1', users, { deadlineMs: 1500 })).toEqual([
    { ...GRANT, claim: { ...GRANT.claim, user_id: 'a' } },
    { outcome: 'unknown', executed: 'maybe' },
    { outcome: 'not_executed', code: 'fenced', executed: 'no' },
    { outcome: 'sold_out' },
    { outcome: 'refused', code: 'forbidden', executed: 'no' },
  ])
  expect(new Set(asked.slice(1).map(words => words.replace(/^.*Bearer \S+ /, '')))).toEqual(
    new Set(['{"claims":[{"user_id":"b"},{"user_id":"c"}]}']),
  )
})

test('a batch whose answer was lost leaves a doubt of everything that is not certain behind it', async () => {
  const { fairgrab } = await answering(breakOff, results(['a', 'granted'], ['b', 'overloaded']))
  const users = ['a', 'b'].map(user => ({ user }))
  expect(await fairgrab.claimBatch('rnd_1', users, { deadlineMs: 1500 })).toMatchObject([
    { outcome: 'granted' },
    { outcome: 'unknown', executed: 'maybe' },
  ])
})

test('a redirect is not followed: it would make a read of a claim', async () => {
  const { asked, claim } = await answering(page(302, { location: 'https://elsewhere.example/' }))
  expect(await claim()).toMatchObject({ outcome: 'refused', status: 302, detail: expect.stringContaining('elsewhere') })
  expect(asked).toHaveLength(1)
})

test('a signal ends it between two attempts and in the middle of one, with its own reason', async () => {
  for (const reply of [refuse('overloaded', { retry_after_ms: 60_000 }), silence]) {
    const { claim, asked } = await answering(reply)
    const leaving = new AbortController()
    const claimed = claim({ signal: leaving.signal, deadlineMs: 120_000 })
    const left = expect(claimed).rejects.toThrow('closed the page')
    while (asked.length === 0) await new Promise(resolve => setImmediate(resolve))
    leaving.abort(new Error('closed the page'))
    await left
  }
})

test('a token is asked for before each attempt, and a read that fails says what and why', async () => {
  const { url, asked } = await answering(refuse('unavailable'), refuse('not_found'))
  let tokens = 0
  const fairgrab = new Fairgrab({ url: `${url}/`, token: async () => `token-${++tokens}` })
  const read = fairgrab.round('rnd_1')
  await expect(read).rejects.toThrow('/v1/rounds/rnd_1: not_found: There is no such thing')
  await expect(read).rejects.toBeInstanceOf(EngineError)
  await expect(read).rejects.toMatchObject({ code: 'not_found', status: 404, executed: 'no' })
  expect(asked).toEqual(['GET /v1/rounds/rnd_1 Bearer token-1 ', 'GET /v1/rounds/rnd_1 Bearer token-2 '])
})

test('waits as long as the engine says, else longer each time, and never the same', () => {
  const of = (body: object, headers: Readonly<Record<string, string>> = {}) =>
    wantedWait({ body: { ...body }, headers: new Headers(headers) })
  expect(of({ retry_after_ms: 1200 }, { 'retry-after': '2' })).toBe(1200)
  expect(of({}, { 'retry-after': '2' })).toBe(2000)
  expect(of({}, { 'retry-after': new Date(Date.now() + 60_000).toUTCString() })).toBeGreaterThan(50_000)
  expect(of({}, { 'retry-after': 'soon' })).toBeUndefined()
  expect(waitBefore(2, 3000, 0.5)).toBe(3750)
  // A wait that is over is none, and nobody is asked again at once.
  const over = ['0', '-1', '', ' ', 'Mon, 01 Jan 2024 00:00:00 GMT'].map(header => of({}, { 'retry-after': header }))
  expect([...over, of({ retry_after_ms: 0 }), of({ retry_after_ms: -1000 })]).toEqual(Array(7).fill(undefined))
  expect(waitBefore(2, 1, 0)).toBe(100)
  expect([2, 5, 50].map((attempt, i) => waitBefore(attempt, undefined, i / 2))).toEqual([250, 2500, 7500])
})
