/**
 * The link to Redis over a network that fails on purpose: whatever is lost, a claim is never doubled, and what a
 * caller is told about a request without an answer is true.
 *
 * Each test puts a TcpProxy between the engine's Link and a real redis-server and reads Redis itself over a second
 * connection that does not fail. The link's own events (up, down) and the proxy's are awaited; no test sleeps.
 * No witness: there is no engine behind the link.
 */
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { realClock } from '../../engine/base/clock.ts'
import { REDIS_SILENCE_MS } from '../../engine/base/limits.ts'
import { realRandom } from '../../engine/base/random.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import { Link } from '../../engine/store/connection/link.ts'
import { ClaimStore } from '../../engine/store/data/claim-store.ts'
import { RoundStore } from '../../engine/store/data/round-store.ts'
import { follow, startCopy } from '../support/copies.ts'
import { patientClock } from '../support/patient-clock.ts'
import { untilHolds } from '../support/polled.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'
import { answersOf, packUsers, ScriptRoom } from '../support/script-room.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

let redis: RedisProcess
let room: ScriptRoom
beforeAll(async () => {
  redis = await startLocalRedis({ appendfsync: 'no', args: ['--repl-diskless-sync-delay', '0'] })
  room = new ScriptRoom(redis.url, 0)
})
afterAll(async () => {
  await room.link.close()
  await redis.stop()
})

/** A link through a proxy, with its events as promises. */
async function openLine(server: RedisProcess = redis) {
  const proxy = await TcpProxy.open({ path: server.socketPath as string })
  const waiters: { event: string; resolve: (detail: string) => void }[] = []
  const changed = (event: 'up' | 'down', detail: string) => {
    for (const waiter of waiters.splice(0)) {
      if (waiter.event === event) waiter.resolve(detail)
      else waiters.push(waiter)
    }
  }
  const next = (event: 'up' | 'down') => new Promise<string>(resolve => waiters.push({ event, resolve }))
  const up = next('up')
  const link = new Link({ url: proxy.url, scripts: room.scripts, clock: patientClock, random: realRandom, changed })
  onTestFinished(async () => {
    await link.close()
    await proxy.close()
  })
  const store = new ClaimStore(link, link, room.scripts)
  const claim = async (id: string, holders: readonly string[]) =>
    answersOf(await store.claim(id, room.epoch, packUsers(holders), Buffer.from([0])))
  await up
  return { proxy, link, claim, next }
}

const asksFor = (holders: readonly string[]) => (bytes: Buffer) => bytes.includes(packUsers(holders))
const grantsOf = async (id: string) => (await room.log(id)).filter(({ fields }) => fields.users !== undefined).length
const sequences = (answers: readonly { sequence: number }[]) => answers.map(({ sequence }) => sequence)

test('a worker that was busy for longer than the silence does not take Redis for frozen', async () => {
  const { link, next } = await openLine()
  let lost = ''
  void next('down').then(detail => {
    lost = detail
  })
  const answer = link.request(client => client.ping())
  const until = performance.now() + 2 * REDIS_SILENCE_MS
  while (performance.now() < until);
  expect(await answer).toBe('PONG')
  expect(await link.request(client => client.ping())).toBe('PONG')
  expect(lost).toBe('')
})

test('a lost reply: the claim is asked again, its keys and arguments byte for byte, and has its first sequence', async () => {
  const id = await room.newRound({ totals: [10] })
  const { proxy, claim, next } = await openLine()
  expect(sequences(await claim(id, ['before']))).toEqual([1])
  proxy.way = 'drop replies'
  const [dropped, down] = [proxy.forwarded('reply'), next('down')]
  const answers = claim(id, ['a', 'b'])
  await dropped
  expect(Object.keys(await room.holders(id)).sort()).toEqual(['a', 'b', 'before'])
  await down
  proxy.way = 'pass'
  expect(await answers).toEqual([
    { outcome: 'replayed', sequence: 2, pool: 0 },
    { outcome: 'replayed', sequence: 3, pool: 0 },
  ])
  expect(await room.state(id)).toMatchObject({ sequence: '3', g0: '3' })
  expect(await grantsOf(id)).toBe(2)
  const users = packUsers(['a', 'b'])
  const sent = proxy.asked.filter(asksFor(['a', 'b'])).map(bytes => {
    const at = bytes.indexOf(users)
    return bytes.toString(
      'latin1',
      bytes.lastIndexOf(keys.roundState(id), at),
      at + users.length + '\r\n$1\r\n0\r\n'.length,
    )
  })
  expect(sent.length).toBeGreaterThanOrEqual(2)
  expect(sent[0]).toContain(room.epoch)
  for (const words of sent) expect(words).toBe(sent[0])
})

test('a lost request: it is asked again and granted once', async () => {
  const id = await room.newRound({ totals: [10] })
  const { proxy, claim, next } = await openLine()
  proxy.way = 'drop requests'
  const [dropped, down] = [proxy.forwarded('request', asksFor(['a'])), next('down')]
  const answers = claim(id, ['a'])
  await dropped
  expect(await room.holders(id)).toEqual({})
  await down
  proxy.way = 'pass'
  expect(await answers).toEqual([{ outcome: 'granted', sequence: 1, pool: 0 }])
})

test.each([
  ['request', 220],
  ['reply', 80],
] as const)(
  'a connection that is cut at every twelfth byte of a %s never doubles and never skips',
  async (direction, most) => {
    const id = await room.newRound({ totals: [1000] })
    const { proxy, claim } = await openLine()
    await claim(id, ['warm'])
    let last = 1
    for (let bytes = 1; bytes <= most; bytes += 12) {
      const cut = proxy.cutAfter(direction, bytes)
      const answers = await claim(id, [`a${bytes}`, `b${bytes}`, `c${bytes}`])
      await cut
      expect(sequences(answers), `cut after ${bytes} bytes`).toEqual([last + 1, last + 2, last + 3])
      last += 3
    }
    expect(await room.state(id)).toMatchObject({ sequence: String(last), g0: String(last) })
    expect(proxy.asked.length).toBeGreaterThan(5)
  },
)

test('what was under way when the line broke goes out again in order, before anything new', async () => {
  const id = await room.newRound({ totals: [1000] })
  const { proxy, claim, next } = await openLine()
  proxy.way = 'drop requests'
  const down = next('down')
  const asked = Array.from({ length: 40 }, (_, i) => claim(id, [`u${i}`]))
  await down
  const later = claim(id, ['later'])
  proxy.way = 'pass'
  expect((await Promise.all(asked)).flatMap(sequences)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1))
  expect(sequences(await later)).toEqual([41])
})

test('a request that was written and has no answer is unknown, one that never was is unavailable', async () => {
  const { proxy, link } = await openLine()
  proxy.way = 'black hole'
  const written = link.request(client => client.get('x'), REDIS_SILENCE_MS / 4)
  await expect(written).rejects.toMatchObject({ name: 'Fault', code: 'unknown' })
  const nowhere = new Link({ url: 'redis://127.0.0.1:1', scripts: {}, clock: realClock, random: realRandom })
  onTestFinished(() => nowhere.close())
  const unsent = nowhere.request(client => client.get('x'), 100)
  await expect(unsent).rejects.toMatchObject({ name: 'Fault', code: 'unavailable' })
  expect([link.waiting, nowhere.waiting, nowhere.ready]).toEqual([0, 0, false])
})

test('a refusal after a lost reply is unknown: the first try may have been executed', async () => {
  const id = await room.newRound({ totals: [10] })
  const { proxy, claim, next } = await openLine()
  await claim(id, ['before'])
  proxy.way = 'drop replies'
  const [dropped, down] = [proxy.forwarded('reply'), next('down')]
  const answers = claim(id, ['a'])
  answers.catch(() => {})
  await dropped
  onTestFinished(async () => {
    await room.link.request(client => client.config('SET', 'maxmemory', '0'))
  })
  await room.link.request(client => client.config('SET', 'maxmemory', '1mb'))
  await down
  proxy.way = 'pass'
  await expect(answers).rejects.toMatchObject({ name: 'Fault', code: 'unknown' })
  expect(await room.holders(id)).toHaveProperty('a')
  await expect(claim(id, ['b'])).rejects.toMatchObject({ name: 'Fault', code: 'unavailable' })
  expect(await room.holders(id)).not.toHaveProperty('b')
})

test('what was executed, and cannot be confirmed by replicas, is unknown', async () => {
  const id = await room.newRound({ totals: [10] })
  await room.link.request(client => client.acl('SETUSER', 'unmarked', 'on', '>x', '~*', '&*', '+@all', '-set'))
  const proxy = await TcpProxy.open({ path: redis.socketPath as string })
  const url = proxy.url.replace('//', '//unmarked:x@')
  const link = new Link({ url, scripts: room.scripts, clock: patientClock, random: realRandom, replicas: 1 })
  onTestFinished(async () => {
    await link.close()
    await proxy.close()
  })
  const store = new ClaimStore(link, link, room.scripts)
  const claim = store.claim(id, room.epoch, packUsers(['a']), Buffer.from([0]))
  await expect(claim).rejects.toMatchObject({ name: 'Fault', code: 'unknown' })
  expect(await room.holders(id)).toHaveProperty('a')
})

/** A claim by somebody of Redis who lacks rights. */
async function claimWithout(rights: string, id: string) {
  await room.link.request(client => client.acl('SETUSER', 'lacking', 'reset', 'on', '>x', '~*', '&*', '+@all', rights))
  const proxy = await TcpProxy.open({ path: redis.socketPath as string })
  const url = proxy.url.replace('//', '//lacking:x@')
  const link = new Link({ url, scripts: room.scripts, clock: patientClock, random: realRandom })
  onTestFinished(async () => {
    await link.close()
    await proxy.close()
  })
  return new ClaimStore(link, link, room.scripts).claim(id, room.epoch, packUsers(['a']), Buffer.from([0]))
}

test('a claim whose notice may not be published is decided and answered all the same', async () => {
  const id = await room.newRound({ totals: [10] })
  const { notice } = await claimWithout('-publish', id)
  expect(notice.sequence).toBe(1)
  expect(await room.holders(id)).toHaveProperty('a')
})

test('what a script was refused in its middle is unknown: it may have written before', async () => {
  const id = await room.newRound({ totals: [10] })
  await expect(claimWithout('-xadd', id)).rejects.toMatchObject({ name: 'Fault', code: 'unknown' })
})

test('what was executed, and is refused when it is sent again since its epoch has ended, is unknown', async () => {
  const [primary, replica] = [await startCopy(), await startCopy()]
  const other = new ScriptRoom(`redis://127.0.0.1:${primary.port}`, 0)
  const { scripts } = other
  const open = () => new Link({ url: other.url, scripts, clock: patientClock, random: realRandom, replicas: 1 })
  // A connection that waits for replicas does nothing else, so each has its own.
  const [link, second] = [open(), open()]
  onTestFinished(async () => {
    await Promise.all([other.link.close(), link.close(), second.close()])
    for (const each of [primary, replica]) await each[Symbol.asyncDispose]()
  })
  const id = await other.newRound({ totals: [10] })
  const [claims, rounds] = [new ClaimStore(link, link, scripts), new RoundStore(second, scripts, 0)]
  const asked = [
    claims.claim(id, other.epoch, packUsers(['a']), Buffer.from([0])),
    rounds.turn(id, other.epoch, 'pause', 'req_1'),
  ]
  const answers = Promise.allSettled(asked)
  // Both are done, and no replica has them.
  await untilHolds(async () => 'a' in (await other.holders(id)) && 'request req_1' in (await other.state(id)))
  await other.link.request(client => client.hset(keys.roundState(id), 'epoch', 'ffffffffffffffff'))
  const evals = async () => Number(/cmdstat_eval:calls=(\d+)/.exec(await primary.admin.info('commandstats'))?.[1])
  const before = await evals()
  await untilHolds(async () => (await evals()) >= before + asked.length)
  await follow(replica, primary)
  const unknown = { status: 'rejected', reason: { name: 'Fault', code: 'unknown' } }
  expect(await answers).toMatchObject([unknown, unknown])
})

test('a server that freezes is noticed, and answers when it thaws', async () => {
  const frozen = await startLocalRedis({ appendfsync: 'no' })
  const other = new ScriptRoom(frozen.url, 0)
  onTestFinished(async () => {
    await other.link.close()
    await frozen.stop()
  })
  const id = await other.newRound({ totals: [10] })
  const { claim, link, next } = await openLine(frozen)
  expect(sequences(await claim(id, ['a']))).toEqual([1])
  const down = next('down')
  await frozen.kill('SIGSTOP')
  const from = performance.now()
  const answers = claim(id, ['b', 'a'])
  await down
  expect(performance.now() - from).toBeGreaterThanOrEqual(REDIS_SILENCE_MS - 100)
  expect(link.ready).toBe(false)
  await frozen.kill('SIGCONT')
  expect(sequences(await answers)).toEqual([2, 1])
  expect(await other.state(id)).toMatchObject({ sequence: '2', g0: '2' })
})

test('a replica is not talked to, and a primary that is demoted loses nothing', async () => {
  const id = await room.newRound({ totals: [10] })
  const { claim, link, next } = await openLine()
  await claim(id, ['a'])
  const replica = await startLocalRedis({ appendfsync: 'no' })
  const direct = new Link({ url: replica.url, scripts: room.scripts, clock: patientClock, random: realRandom })
  onTestFinished(async () => {
    await direct.close()
    await replica.stop()
  })
  await direct.request(client => client.replicaof('127.0.0.1', '1'))
  const second = new Link({ url: replica.url, scripts: {}, clock: realClock, random: realRandom })
  onTestFinished(() => second.close())
  await expect(second.request(client => client.get('x'), 200)).rejects.toMatchObject({ code: 'unavailable' })
  expect(second.ready).toBe(false)
  const [down, up] = [next('down'), next('up')]
  await room.link.request(client => client.replicaof('127.0.0.1', '1'))
  const answers = claim(id, ['b'])
  await down
  expect(link.ready).toBe(false)
  await room.link.request(client => client.replicaof('NO', 'ONE'))
  expect(sequences(await answers)).toEqual([2])
  await up
})

test('scripts that the server forgot are sent again by themselves', async () => {
  const id = await room.newRound({ totals: [1000] })
  const { claim, link } = await openLine()
  await claim(id, ['warm'])
  await link.request(client => client.script('FLUSH'))
  const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => claim(id, [`u${i}`])))
  expect(answers.flatMap(sequences).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i + 2))
  expect(await room.state(id)).toMatchObject({ sequence: '101' })
})

test('a slow line delays and loses nothing', async () => {
  const id = await room.newRound({ totals: [100] })
  const { proxy, claim } = await openLine()
  proxy.delayMs = 30
  const from = performance.now()
  const answers = await Promise.all([claim(id, ['a']), claim(id, ['b']), claim(id, ['a'])])
  expect(performance.now() - from).toBeGreaterThanOrEqual(55)
  expect(answers.flatMap(sequences)).toEqual([1, 2, 1])
})

test('a link that is closed answers what waits and what comes', async () => {
  const { proxy, link } = await openLine()
  proxy.way = 'black hole'
  const written = proxy.forwarded('request')
  const waiting = link.request(client => client.get('x'))
  waiting.catch(() => {})
  await written
  await link.close()
  await expect(waiting).rejects.toMatchObject({ code: 'unknown' })
  await expect(link.request(client => client.get('x'))).rejects.toMatchObject({ code: 'unavailable' })
})

test('a request that Redis refuses is answered and not repeated', async () => {
  const { proxy, link } = await openLine()
  const connections = proxy.asked.length
  await room.link.request(client => client.set(keys.campaigns(), 'not a hash'))
  onTestFinished(async () => {
    await room.link.request(client => client.del(keys.campaigns()))
  })
  await expect(link.request(client => client.hget(keys.campaigns(), 'x'))).rejects.toMatchObject({
    code: 'unavailable',
  })
  expect([proxy.asked.length, link.ready]).toEqual([connections, true])
})
