/**
 * Two workers of one node share a port, a round and the metrics; a worker that dies is replaced.
 *
 * The kernel spreads connections over the workers, so the test opens enough of them that each has some, and finds out
 * by counting the sockets that each process holds. What the node says about itself is the sum of both, whoever is
 * asked. Then one worker is killed: its clients come back to the other, and what was granted stays granted once.
 */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { setTimeout as until } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Api, type Granted, makeRound, type Round } from '../support/api.ts'
import { KEYS, startNode, type TestNode } from '../support/engine.ts'
import { type Metrics, readMetrics, sumOf } from '../support/metrics.ts'
import { openStream, type StreamClient } from '../support/stream-client.ts'

const SOCKETS = 32
const FRAMES = 5
const FRAME = 100

let node: TestNode
let api: Api
beforeAll(async () => {
  node = await startNode({ FAIRGRAB_WORKERS: '2', FAIRGRAB_DURABILITY: 'memory', LOG_LEVEL: 'fatal' })
  api = new Api(node.url, KEYS.operator)
})
afterAll(async () => {
  await node.stop()
})

function isWorker(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('worker.ts')
  } catch {
    // It ended since the list of children was read.
    return false
  }
}

/** The process ids of the node's workers. */
function workers(): readonly number[] {
  const children = readFileSync(`/proc/${node.pid}/task/${node.pid}/children`, 'utf8').trim().split(' ').map(Number)
  return children.filter(isWorker)
}

const socketsOf = (pid: number): number =>
  readdirSync(`/proc/${pid}/fd`).filter(fd => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('socket:')
    } catch {
      return false
    }
  }).length

/** What both workers say: a scrape leaves out one that is too slow for it. */
async function metrics(): Promise<Metrics> {
  for (;;) {
    const told = readMetrics(String((await api.get('/metrics')).body))
    if (sumOf(told, 'fairgrab_workers') === 2) return told
  }
}

test('both serve one port and one round, and the node answers for both', async () => {
  expect(workers()).toHaveLength(2)
  const before = workers().map(socketsOf)
  const sockets = await Promise.all(
    Array.from({ length: SOCKETS }, () => openStream(node.url, { credential: KEYS.platform })),
  )
  const more = workers().map((pid, i) => socketsOf(pid) - (before[i] as number))
  expect(more.every(count => count > 0)).toBe(true)
  const round = await makeRound(api, { stock: SOCKETS * FRAMES * FRAME - 1000 })
  const ask = (socket: StreamClient, i: number) =>
    Array.from({ length: FRAMES }, (_, k) => {
      const user_ids = Array.from({ length: FRAME }, (_, u) => `w${i}-${k}-${u}`)
      return socket.ask({ op: 'claims', id: k, round_id: round.id, user_ids })
    })
  const frames = await Promise.all(sockets.flatMap(ask))
  const sequences = frames.flatMap(frame => frame.sequences as number[]).filter(sequence => sequence > 0)
  const stock = SOCKETS * FRAMES * FRAME - 1000
  expect(sequences.sort((a, b) => a - b)).toEqual(Array.from({ length: stock }, (_, i) => i + 1))
  const told = await metrics()
  expect(sumOf(told, 'fairgrab_claims_total', { outcome: 'granted' })).toBe(stock)
  expect(sumOf(told, 'fairgrab_claims_total', { outcome: 'sold_out' })).toBe(1000)
  expect(sumOf(told, 'fairgrab_claims_total')).toBe(SOCKETS * FRAMES * FRAME)
  expect(sumOf(told, 'fairgrab_redis_up')).toBe(2)
  expect(sumOf(told, 'fairgrab_stream_sockets')).toBe(SOCKETS)
  expect(sumOf(told, 'fairgrab_stock_granted', { round: round.id })).toBe(stock)
  await Promise.all(sockets.map(socket => socket.close()))
})

test('a worker that is killed is replaced, and loses nothing', async () => {
  const round = await makeRound(api, { stock: 10 })
  const path = `/v1/rounds/${round.id}/claims`
  const first = await api.post<Granted>(path, { user_id: 'kept' })
  const sockets = await Promise.all(Array.from({ length: SOCKETS }, () => openStream(node.url)))
  const [killed] = workers() as [number]
  process.kill(killed, 'SIGKILL')
  const codes = await Promise.race(sockets.map(({ closed }) => closed))
  expect(codes).toBe(1006)
  const pongs = await Promise.allSettled(sockets.map(socket => socket.ask({ op: 'ping', id: 1 })))
  expect(new Set(pongs.map(({ status }) => status))).toEqual(new Set(['fulfilled', 'rejected']))
  // A connection may still meet the dead worker's queue; a client asks again.
  const again = async (): Promise<Granted> =>
    api.post<Granted>(path, { user_id: 'kept' }).then(({ body }) => body, again)
  expect(await again()).toEqual({ ...first.body, replayed: true })
  while (workers().length < 2 || sumOf(await metrics(), 'fairgrab_redis_up') < 2) await until(20)
  expect(workers()).not.toContain(killed)
  expect((await api.get<Round>(`/v1/rounds/${round.id}`)).body.stock.granted).toBe(1)
  for (const { socket } of sockets) socket.terminate()
})
