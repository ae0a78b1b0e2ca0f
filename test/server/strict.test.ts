/**
 * A strict round at four workers: whoever arrived first, by the engine's own stamps, is served first.
 *
 * The workers stand in this process and share nothing but Redis. Each records when each decided claim arrived
 * (FAIRGRAB_ARRIVALS), and the order of the sequences is held against those stamps: not one inversion, and nobody is
 * sold out who came before a winner. The patience for silent workers is raised in Redis, because a test machine may
 * stand still for 50 ms. The second test stops a worker on purpose: the other one is not held up by it.
 */
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { treeOf } from '../../bench/measure/process-cost.ts'
import { CODES } from '../../engine/base/codes.ts'
import { roundOrder } from '../../engine/store/connection/keys.ts'
import { Api, type Granted, makeRound, type Round } from '../support/api.ts'
import { KEYS, levelAt, startNode, startTestWorker, type TestNode, type TestWorker } from '../support/engine.ts'
import { type RedisServer, rawRedis, startOwnRedis } from '../support/redis.ts'
import { below, random } from '../support/seed.ts'
import { openStream } from '../support/stream-client.ts'

const WORKERS = 4
const STREAMS = 12
const FRAMES = 25
const FRAME = 20
const USERS = 5000
const STOCK = 2000
const AN_HOUR_US = 3_600_000_000
const DECIDED: readonly string[] = ['granted', 'sold_out']

let redis: RedisServer
let client: Redis
let folder: string
let workers: TestWorker[] = []
beforeAll(async () => {
  redis = await startOwnRedis({ appendfsync: 'always' })
  client = rawRedis(redis.url)
  folder = mkdtempSync(join(tmpdir(), 'fg-arrivals-'))
  const settings = { FAIRGRAB_ARRIVALS: folder }
  workers = await Promise.all(Array.from({ length: WORKERS }, () => startTestWorker(redis.url, settings)))
})
afterAll(async () => {
  await Promise.all(workers.map(worker => worker.stop()))
  client.disconnect()
  await redis.stop()
  await rm(folder, { recursive: true, force: true })
})

/** To the workers of a node; its supervisor goes on. */
function signal({ pid }: TestNode, name: NodeJS.Signals): void {
  const pids = treeOf(pid).flatMap(use => (use.name.startsWith('worker') ? [use.pid] : []))
  expect(pids).toHaveLength(1)
  for (const worker of pids) process.kill(worker, name)
}

interface Arrived {
  readonly stamp: number
  readonly sequence: number
  readonly outcome: number
}

/** What the workers recorded of a round. */
function arrivals(roundId: string): readonly Arrived[] {
  const files = readdirSync(folder).filter(name => name.startsWith(roundId))
  return files.flatMap(name => {
    const bytes = readFileSync(join(folder, name))
    return Array.from({ length: bytes.length / 16 }, (_, i) => ({
      stamp: bytes.readDoubleBE(i * 16),
      sequence: bytes.readUInt32BE(i * 16 + 8),
      outcome: bytes[i * 16 + 12] as number,
    }))
  })
}

/** One stream's frames one after the other, of users that others ask for too. The sequences of those who hold. */
async function ask(round: Round, stream: number): Promise<readonly number[]> {
  const next = random(stream)
  const { url } = workers[stream % WORKERS] as TestWorker
  const socket = await openStream(url, { credential: KEYS.platform })
  const sequences: number[] = []
  for (let id = 1; id <= FRAMES; id++) {
    let user_ids = Array.from({ length: FRAME }, () => `u${below(next, USERS)}`)
    // Whom a machine that stood still left without a decision asks again.
    while (user_ids.length > 0) {
      const answer = await socket.ask({ op: 'claims', id, round_id: round.id, user_ids })
      // A worker that stood still refuses a frame as a whole.
      if (answer.outcomes === undefined) continue
      const outcomes = answer.outcomes as readonly string[]
      sequences.push(...(answer.sequences as number[]).filter(sequence => sequence > 0))
      user_ids = user_ids.filter((_, place) => !DECIDED.includes(outcomes[place] as string))
    }
  }
  await socket.close()
  return sequences
}

test('four workers allot by the stamps of arrival: no inversion, nobody passed over', async () => {
  const api = new Api((workers[0] as TestWorker).url, KEYS.operator)
  const round = await makeRound(api, { stock: STOCK, allocation: { mode: 'fcfs', strict: true } })
  expect(round.allocation).toEqual({ mode: 'fcfs', strict: true })
  await client.hset(roundOrder(round.id), 'patience', AN_HOUR_US)
  const told = await Promise.all(Array.from({ length: STREAMS }, (_, stream) => ask(round, stream)))
  const sequences = [...new Set(told.flat())].sort((a, b) => a - b)
  expect(sequences).toEqual(Array.from({ length: STOCK }, (_, i) => i + 1))
  expect((await api.get(`/v1/rounds/${round.id}`)).body).toMatchObject({ state: 'sold_out', late: 0 })

  await Promise.all(workers.splice(0).map(worker => worker.stop()))
  const seen = arrivals(round.id)
  const granted = seen.filter(({ outcome }) => outcome === CODES.granted.number)
  const bySequence = granted.toSorted((a, b) => a.sequence - b.sequence)
  expect(new Set(bySequence.map(({ sequence }) => sequence)).size).toBe(bySequence.length)
  expect(bySequence.length).toBeGreaterThan(STOCK / 2)
  const inversions = bySequence.filter(({ stamp }, i) => stamp < (bySequence[i - 1]?.stamp ?? 0))
  expect(inversions).toEqual([])
  const last = bySequence.at(-1)?.stamp ?? 0
  const lost = seen.filter(({ outcome }) => outcome === CODES.sold_out.number)
  expect(lost.filter(({ stamp }) => stamp < last)).toEqual([])
})

test('a worker that stands still holds nobody up for long', async () => {
  const settings = { REDIS_URL: redis.url, ...levelAt(redis.url), LOG_LEVEL: 'fatal' }
  const [still, other] = await Promise.all([startNode(settings), startNode(settings)])
  try {
    const api = new Api(other.url, KEYS.operator)
    const round = await makeRound(api, { stock: 10, allocation: { mode: 'fcfs', strict: true } })
    const patience = (us: number) => client.hset(roundOrder(round.id), 'patience', us)
    await patience(AN_HOUR_US)
    const path = `/v1/rounds/${round.id}/claims`
    const claim = async (node: TestNode, user_id: string): Promise<number> => {
      const answer = await new Api(node.url, KEYS.platform).post<Granted>(path, { user_id })
      // In doubt on a machine that stood still itself: the same claim again has the same answer.
      return answer.status < 500 ? answer.body.claim.sequence : claim(node, user_id)
    }
    expect(await claim(still, 'first')).toBe(1)
    expect(await claim(other, 'second')).toBe(2)
    signal(still, 'SIGSTOP')
    await patience(50_000)
    expect(await claim(other, 'waits')).toBe(3)
    signal(still, 'SIGCONT')
    expect(await claim(still, 'is-back')).toBe(4)
  } finally {
    signal(still, 'SIGCONT')
    await Promise.all([still.stop(), other.stop()])
  }
})
