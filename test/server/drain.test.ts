/**
 * The end of a real node: SIGTERM while claims are under way and sockets are open, and a terminal that closes.
 *
 * The embedded redis-server is frozen for a moment, so that a claim is certainly in flight when the signal comes. From
 * then on /readyz says 503, no new claim is taken, the one in flight is answered as soon as Redis is thawed, the
 * sockets close with 1012, the node exits with 0, and Redis is the last to go, with everything that was acknowledged in
 * its log. An operator's change is under way too: its answer takes a quarter of a second after the claim's, and it is a
 * request like any other.
 */
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as until } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { Api, expectProblem, type Granted, makeRound, type Round } from '../support/api.ts'
import { KEYS, startNode } from '../support/engine.ts'
import { readMetrics, sumOf } from '../support/metrics.ts'
import { untilHolds } from '../support/polled.ts'
import { RawConnection } from '../support/raw-http.ts'
import { Stalls } from '../support/stalls.ts'
import { openStream } from '../support/stream-client.ts'

/** Longer than a draining worker waits for probes when nothing else is under way. */
const NOTICE_MS = 600

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** The process id behind the socket, and the moment when the server ends. */
async function watchRedis(dataDir: string): Promise<{ readonly pid: number; readonly gone: Promise<number> }> {
  const client = connect(join(dataDir, 'redis.sock'))
  const gone = new Promise<number>(resolve => client.once('close', () => resolve(performance.now())))
  client.on('error', () => undefined)
  client.write('INFO server\r\n')
  let text = ''
  for await (const chunk of client.iterator({ destroyOnReturn: false })) {
    text += String(chunk)
    if (/process_id:\d+/.test(text)) break
  }
  client.resume()
  return { pid: Number(/process_id:(\d+)/.exec(text)?.[1]), gone }
}

/** Claims that the node has taken and not answered. */
const unanswered = async (api: Api): Promise<number> =>
  sumOf(readMetrics(String((await api.get('/metrics')).body)), 'fairgrab_claims_unanswered')

test('SIGTERM: not ready, everything under way is answered, 1012, exit 0, Redis last', async () => {
  using stalls = new Stalls()
  const node = await startNode()
  const redis = await watchRedis(node.dataDir)
  onTestFinished(async () => {
    if (isAlive(redis.pid)) process.kill(redis.pid, 'SIGCONT')
    await node.stop()
  })
  const api = new Api(node.url, KEYS.operator)
  const round = await makeRound(api, { stock: 100 })
  const byHand = await makeRound(api, { opens_at: null })
  const first = await api.post<Granted>(`/v1/rounds/${round.id}/claims`, { user_id: 'before' })
  expect(first.status).toBe(201)
  const sockets = await Promise.all([openStream(node.url, { credential: KEYS.platform }), openStream(node.url)])
  const probe = new RawConnection(node.url)
  const ready = 'GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n'
  expect((await probe.ask(ready)).status).toBe(200)
  process.kill(redis.pid, 'SIGSTOP')
  const claimed = api.post<Granted>(`/v1/rounds/${round.id}/claims`, { user_id: 'in-flight' })
  const streamed = sockets[0].ask({ op: 'claim', id: 7, round_id: round.id, user_id: 'in-flight-too' })
  await untilHolds(async () => (await unanswered(api)) >= 2)
  const opening = api.post<Round>(`/v1/rounds/${byHand.id}/open`)
  const closed = Promise.all(sockets.map(async ({ closed: code }) => [await code, performance.now()] as const))
  node.signal('SIGTERM')
  while (!(await probe.ask(ready.replace('readyz', 'readyz?verbose'))).body.includes('"draining":true'));
  expect(await probe.ask(ready)).toMatchObject({ status: 503, body: 'not ready\n' })
  // Whoever is impatient asks twice; that must not cut the drain short and leave Redis behind.
  node.signal('SIGTERM')
  const late = await api.post(`/v1/rounds/${round.id}/claims`, { user_id: 'late' })
  expectProblem(late, 'overloaded')
  await until(NOTICE_MS)
  process.kill(redis.pid, 'SIGCONT')
  const [claim, result, opened] = await Promise.all([claimed, streamed, opening])
  // Frozen for so long, Redis may have been asked twice: then the second question finds what the first one granted.
  expect([200, 201]).toContain(claim.status)
  expect(claim.body.claim).toMatchObject({ user_id: 'in-flight', sequence: expect.any(Number) })
  expect(result).toMatchObject({ op: 'result', id: 7, outcome: 'granted' })
  expect([opened.status, opened.body.state]).toEqual([200, 'open'])
  const codes = await closed
  expect(codes.map(([code]) => code)).toEqual([1012, 1012])
  expect(await node.ended).toBe(0)
  const [gone, last] = [await redis.gone, Math.max(...codes.map(([, at]) => at))]
  // Where this process slept through both ends it cannot tell which was first.
  expect(last - gone).toBeLessThanOrEqual(stalls.between(gone, last))
  await expect.poll(() => isAlive(redis.pid), { timeout: 60_000 }).toBe(false)
  const manifest = readFileSync(join(node.dataDir, 'appendonlydir', 'appendonly.aof.manifest'), 'utf8')
  expect(manifest).toMatch(/incr/)
  const again = await startNode({ FAIRGRAB_DATA_DIR: node.dataDir })
  for (const [user, sequence] of [
    ['before', first.body.claim.sequence],
    ['in-flight', claim.body.claim.sequence],
  ] as const) {
    const read = await new Api(again.url, KEYS.platform).post<Granted>(`/v1/rounds/${round.id}/claims`, {
      user_id: user,
    })
    expect([read.status, read.body.claim.sequence]).toEqual([200, sequence])
  }
  await again.stop()
})

test('SIGHUP, as a terminal that closes sends it, ends a node as SIGTERM does, its Redis with it', async () => {
  const node = await startNode()
  onTestFinished(() => node.stop())
  const redis = await watchRedis(node.dataDir)
  node.signal('SIGHUP')
  expect(await node.ended).toBe(0)
  await redis.gone
  await expect.poll(() => isAlive(redis.pid)).toBe(false)
})
