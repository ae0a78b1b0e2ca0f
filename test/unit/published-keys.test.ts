/**
 * Published keys over time, and the tokens that they verify: when they are read, what holds while they cannot be, and that a token
 * ends with its key. The clock is turned by hand, and the source of the text is a function of the test: what a real server does
 * to it stands in test/server/published-keys.test.ts.
 */
import { expect, test } from 'vitest'
import { PublishedKeys } from '../../engine/auth/published-keys.ts'
import { UserTokens } from '../../engine/auth/user-tokens.ts'
import { HandClock } from '../support/hand-clock.ts'
import { ALGORITHMS, keySet, PlatformKey } from '../support/platform-keys.ts'

const MINUTE_MS = 60_000
const [rsa, ec, ed] = ALGORITHMS.map(algorithm => new PlatformKey(algorithm, algorithm)) as [
  PlatformKey,
  PlatformKey,
  PlatformKey,
]
const next = new PlatformKey('ES256', 'next')

/** A platform whose text may be changed, and what was done with it. */
async function platform(...published: readonly PlatformKey[]) {
  const clock = new HandClock(Date.now())
  const state = { text: keySet(...published.map(key => key.jwk())), read: 0, told: [] as unknown[] }
  const keys = new PublishedKeys({
    read: async () => {
      state.read++
      if (state.text === 'away') throw new Error('is away')
      return state.text
    },
    clock,
    loaded: (...words) => state.told.push(words),
    failed: why => state.told.push(why),
  })
  const tokens = new UserTokens({ secret: '', publicKey: '', published: keys }, clock)
  await keys.start()
  return {
    ...{ clock, state, tokens, keys },
    publish: (...now: readonly PlatformKey[]) => {
      state.text = keySet(...now.map(key => key.jwk()))
    },
    /** Turns the clock and lets a reading that it began end. */
    later: async (ms: number) => {
      clock.advance(ms)
      await new Promise(done => setImmediate(done))
    },
  }
}

test.each(ALGORITHMS)(
  '%s: a token of a published key proves its user, the second time as the first',
  async algorithm => {
    const { tokens } = await platform(rsa, ec, ed)
    const [key] = [rsa, ec, ed].filter(each => each.algorithm === algorithm) as [PlatformKey]
    const token = key.token('ada')
    for (let i = 0; i < 2; i++) expect(tokens.verify(token)?.userId).toBe('ada')
    expect(tokens.missing(token)).toBeUndefined()
  },
)

const forged = new PlatformKey('RS256', 'RS256')
const [spoiltHead, spoiltBody] = [rsa.token('ada').split('.'), rsa.token('eve').split('.')]

const BAD: readonly (readonly [string, () => string])[] = [
  ['signed by another key under the same kid', () => forged.token('ada')],
  ['the name of another key', () => ec.token('ada', { header: { kid: 'EdDSA' } })],
  ['another algorithm for an RSA key', () => rsa.token('ada', { header: { alg: 'ES256' } })],
  ['PS256', () => rsa.token('ada', { header: { alg: 'PS256' } })],
  ['no algorithm', () => rsa.token('ada', { header: { alg: 'none' } })],
  ['HS256', () => rsa.token('ada', { header: { alg: 'HS256' } })],
  ['a kid that is a number', () => ed.token('ada', { header: { kid: 7 } })],
  ['a kid that is a list of the right one', () => ed.token('ada', { header: { kid: ['EdDSA'] } })],
  ['claims of another token', () => [spoiltHead[0], spoiltBody[1], spoiltHead[2]].join('.')],
  ['a critical header', () => ed.token('ada', { header: { crit: ['exp'] } })],
  ['its end', () => ed.token('ada', { claims: { exp: 1 } })],
]

test.each(BAD)('bad: %s', async (_, make) => {
  const { tokens } = await platform(rsa, ec, ed)
  expect(tokens.verify(make())).toBeUndefined()
})

test('what a token says of where its key is, is not read', async () => {
  const { tokens, state } = await platform(ed)
  const header = { jku: 'http://127.0.0.1:1/keys', x5u: 'http://127.0.0.1:1/', jwk: forged.jwk() }
  expect(tokens.verify(ed.token('ada', { header }))?.userId).toBe('ada')
  expect(tokens.verify(forged.token('ada', { header }))).toBeUndefined()
  expect(state.read).toBe(1)
})

test('without a kid the only key of the algorithm verifies, and of two keys neither', async () => {
  const one = await platform(rsa, ec)
  const token = ec.token('ada', { header: { kid: undefined } })
  expect(one.tokens.verify(token)?.userId).toBe('ada')
  const two = await platform(ec, next)
  expect(two.tokens.verify(token)).toBeUndefined()
  expect([two.tokens.missing(token), two.state.read]).toEqual([undefined, 1])
})

test('a token ends with its key, also one that was verified and remembered; one that is published again is the same', async () => {
  const { tokens, publish, later, state } = await platform(ec, ed)
  const [gone, stays] = [ec.token('ada'), ed.token('bob')]
  expect([tokens.verify(gone)?.userId, tokens.verify(stays)?.userId]).toEqual(['ada', 'bob'])
  publish(ed)
  await later(10 * MINUTE_MS)
  expect([tokens.verify(gone), tokens.verify(stays)?.userId]).toEqual([undefined, 'bob'])
  publish(ec, ed)
  await later(10 * MINUTE_MS)
  expect(tokens.verify(gone)?.userId).toBe('ada')
  await later(10 * MINUTE_MS)
  expect(state.told).toEqual([
    [2, true, []],
    [1, true, []],
    [2, true, []],
    [2, false, []],
  ])
})

test('another key under the same kid ends what the first one verified', async () => {
  const { tokens, publish, later } = await platform(rsa)
  const token = rsa.token('ada')
  expect(tokens.verify(token)?.userId).toBe('ada')
  publish(forged)
  await later(10 * MINUTE_MS)
  expect([tokens.verify(token), tokens.verify(forged.token('eve'))?.userId]).toEqual([undefined, 'eve'])
})

test('an unknown kid has the keys read, once a minute whoever asks, and then a key that was published is known', async () => {
  const { tokens, publish, later, state } = await platform(ec)
  const token = next.token('ada')
  expect(tokens.verify(token)).toBeUndefined()
  const waits = tokens.missing(token)
  expect(tokens.missing(forged.token('eve'))).toBe(waits)
  await waits
  expect([tokens.missing(token), state.read]).toEqual([undefined, 2])
  publish(ec, next)
  await later(MINUTE_MS - 1)
  expect([tokens.missing(token), state.read]).toEqual([undefined, 2])
  await later(1)
  await tokens.missing(token)
  expect([tokens.verify(token)?.userId, state.read]).toEqual(['ada', 3])
})

test('what is no token of a published algorithm has nothing read', async () => {
  const { tokens, state } = await platform(ec)
  for (const token of ['', 'a.b.c', 'x'.repeat(9000), next.token('ada', { header: { alg: 'HS256' } })])
    expect(tokens.missing(token)).toBeUndefined()
  expect(state.read).toBe(1)
})

test('while the keys are away the last good ones stay in force, an unknown one is not judged, and they are asked for more often', async () => {
  const { tokens, state, later, publish } = await platform(ec)
  const token = ec.token('ada')
  for (const text of ['away', '', '{"keys":[]}', '<html>', keySet({ kty: 'oct', k: 'AA' })]) {
    state.text = text
    await later(10 * MINUTE_MS)
    expect(tokens.verify(token)?.userId).toBe('ada')
    expect(tokens.verify(next.token('bob'))).toBeUndefined()
    await tokens.missing(next.token('bob'))
    expect(tokens.missing(next.token('bob'))).toBe('away')
  }
  const before = state.read
  publish(ec, next)
  await later(10_000)
  expect(state.read).toBe(before + 1)
  expect(tokens.verify(next.token('bob'))?.userId).toBe('bob')
})

test('away from the first: nobody can say, until they are there', async () => {
  const { tokens, state, later, publish } = await platform()
  expect(state.told).toEqual(['has no key that can be used'])
  const token = ec.token('ada')
  await tokens.missing(token)
  expect([tokens.missing(token), tokens.verify(token)]).toEqual(['away', undefined])
  publish(ec)
  await later(10_000)
  expect(tokens.verify(token)?.userId).toBe('ada')
})

test('closed, they are read no more', async () => {
  const { keys, clock, state } = await platform(ec)
  keys.close()
  clock.advance(60 * MINUTE_MS)
  expect([state.read, clock.waiting]).toEqual([1, 0])
})

test('a reading for an unknown name that fails is tried again ten seconds later, as any that fails', async () => {
  const { tokens, state, later, publish } = await platform(ec)
  await later(MINUTE_MS)
  state.text = 'away'
  void tokens.missing(next.token('ada'))
  await later(0)
  expect([state.read, tokens.missing(next.token('ada'))]).toEqual([2, 'away'])
  publish(ec, next)
  await later(10_000)
  expect([state.read, tokens.verify(next.token('ada'))?.userId]).toEqual([3, 'ada'])
  await later(10_000)
  expect(state.read).toBe(3)
})
