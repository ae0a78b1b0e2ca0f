/**
 * The commands of the simulation's servers (test/sim/redis/commands.ts) and Redis's own, side by side on random sequences:
 * every reply has to be the same, and what is held behind each.
 *
 * The words are those that stores send, with and without what may be left out. Words that a simulated command does not
 * take are refused, so that a store that learns some is noticed, and never answered as if they were not there.
 */
import fc from 'fast-check'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Call } from '../sim/redis/call.ts'
import { COMMANDS, execute, type Raw } from '../sim/redis/commands.ts'
import { Keyspace, Refused } from '../sim/redis/keyspace.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'
import { seed } from '../support/seed.ts'

const RUNS = effort(60, 3000)
const NOW_MS = Date.UTC(2026, 10, 1)

let redis: RedisProcess
let client: Redis
beforeAll(async () => {
  redis = await startLocalRedis({ appendfsync: 'no' })
  client = new Redis({ path: redis.socketPath as string })
})
afterAll(async () => {
  client.disconnect()
  await redis.stop()
})

type Step = readonly [name: string, ...words: string[]]

const small = fc.nat(4).map(String)
const fields = fc.array(small, { minLength: 1, maxLength: 4 })
const pairs = fc.array(fc.tuple(small, small), { minLength: 1, maxLength: 4 }).map(rows => rows.flat())
/** A key of each type of its own. */
const step = (name: string, key: string, ...words: fc.Arbitrary<readonly string[]>[]): fc.Arbitrary<Step> =>
  fc.tuple(...words).map(parts => [name, key, ...parts.flat()] as Step)
const one = (words: fc.Arbitrary<string>) => words.map(word => [word])
const none = fc.constant<readonly string[]>([])

const id = fc.oneof(
  small,
  fc.tuple(small, small).map(([ms, serial]) => `${ms}-${serial}`),
)
const begin = fc.oneof(
  fc.constant('-'),
  id,
  id.map(text => `(${text}`),
)
const end = fc.oneof(fc.constant('+'), fc.constant('+'), id)

const counts = fc.oneof(none, one(fc.constantFrom('1', '2', '9')).map(counted))

const STEPS: readonly fc.Arbitrary<Step>[] = [
  step('get', 'text'),
  step('set', 'text', one(small), fc.oneof(none, fc.constant(['NX']))),
  step('del', 'text'),
  step('del', 'hash'),
  step('exists', 'text'),
  step('exists', 'hash'),
  step('incr', 'text'),
  step('hget', 'hash', one(small)),
  step('hmget', 'hash', fields),
  step('hgetall', 'hash'),
  step('hexists', 'hash', one(small)),
  step('hlen', 'hash'),
  step('hset', 'hash', pairs),
  step('hdel', 'hash', fields),
  step('hsetnx', 'hash', one(small), one(small)),
  step('xadd', 'stream', one(fc.constant('*')), pairs),
  step('xrange', 'stream', one(begin), one(end), counts),
  step('xrevrange', 'stream', one(fc.oneof(fc.constant('+'), id)), one(fc.constantFrom('-', '-', '1', '2-1')), counts),
  step('getrange', 'text', one(small), one(small)),
  step('sadd', 'set', fields),
  step('srem', 'set', fields),
  step('smembers', 'set'),
  step('zadd', 'sorted', one(small)),
  step('zrangebyscore', 'sorted', one(small), one(small), fc.oneof(none, fc.tuple(small, small).map(limited))),
  fc.constant<Step>(['flushall']),
]

function counted(count: readonly string[]): readonly string[] {
  return ['COUNT', ...count]
}

function limited(range: readonly string[]): readonly string[] {
  return ['LIMIT', ...range]
}

/** HGETALL's flat list as the client gives it: fields come in the order of a hash's own. */
function asObject(reply: Raw): Record<string, string> {
  const words = reply as readonly string[]
  return Object.fromEntries(words.flatMap((word, i) => (i % 2 === 0 ? [[word, words[i + 1] as string]] : [])))
}

/** Runs a step on both sides; the writes of scripts, that no store sends by itself, have their own words on each. */
async function both(keys: Keyspace, [name, ...words]: Step): Promise<readonly [real: unknown, twin: unknown]> {
  const [key = '', first = ''] = words
  if (name === 'xadd') {
    const last = keys.stream(key)?.last ?? [0, 0]
    const next = `${last[0] + (Number(words[2]) > 2 ? 1 : 0)}-${last[1] + 1}`
    keys.apply(['xadd', key, [next, ...words.slice(2)]])
    return [await client.call('xadd', key, next, ...words.slice(2)), next]
  }
  if (name === 'zadd') {
    keys.apply(['hset', key, [`m${first}`, first]])
    return [await client.call('zadd', key, first, `m${first}`), expect.any(Number)]
  }
  const twin = execute(new Call(keys, NOW_MS), name, words, 0)
  const real = await client.call(name, ...words)
  // A set has no order.
  if (name === 'smembers') return [(real as string[]).toSorted(), (twin as string[]).toSorted()]
  return [real, name === 'hgetall' ? asObject(twin) : twin]
}

test('every command says and does what Redis says and does', { timeout: PATIENCE_MS }, async () => {
  const seen = new Set<string>(['time', 'pubsub'])
  const play = async (steps: readonly Step[]) => {
    const keys = new Keyspace()
    await client.flushall()
    for (const [i, asked] of steps.entries()) {
      seen.add(asked[0])
      const [real, twin] = await both(keys, asked)
      expect(real, steps.slice(0, i + 1).join('; ')).toEqual(twin)
    }
  }
  const steps = fc.array(fc.oneof(...STEPS), { minLength: 5, maxLength: 40 })
  await fc.assert(fc.asyncProperty(steps, play), { numRuns: RUNS, seed })
  expect([...seen]).toEqual(expect.arrayContaining(Object.keys(COMMANDS)))
})

test('the time has the shape of Redis, and nobody listens', async () => {
  const call = new Call(new Keyspace(), NOW_MS + 7)
  expect(execute(call, 'time', [], 0)).toEqual([String(NOW_MS / 1000), '7000'])
  expect(await client.call('time')).toEqual([expect.stringMatching(/^\d+$/), expect.stringMatching(/^\d+$/)])
  expect(execute(call, 'pubsub', ['CHANNELS', '*'], 0)).toEqual(await client.pubsub('CHANNELS', '*'))
})

test.each<[...Step]>([
  ['set', 'text', '1', 'PX', '1000'],
  ['del', 'text', 'other'],
  ['xrange', 'stream', '-', '+', 'LIMIT', '1'],
  ['xrange', 'stream', '-', '+', 'COUNT'],
  ['zrangebyscore', 'sorted', '1', '2', 'WITHSCORES'],
  ['zrangebyscore', 'sorted', '(1', '2'],
  ['xrevrange', 'stream', '+', '-', 'LIMIT', '1'],
  ['getrange', 'text', '0', '-1'],
])('%s %s %s: words that it does not take are refused', (...[name, ...words]) => {
  const asks = (): Raw => execute(new Call(new Keyspace(), NOW_MS), name, words, 0)
  expect(asks).toThrow(Refused)
})
