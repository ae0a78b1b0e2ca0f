/**
 * Hours of everything: round after round is claimed under faults of all kinds in the order of a seed, and at the end it
 * is looked at what grew.
 *
 * One node of two workers lives through it behind a network that can be cut. In each round some faults are drawn, each
 * comes in the middle of the answers: Redis is killed, frozen, loses its scripts; connections are cut at a byte or all
 * together; a worker dies; the viewers are cut off and come back. Each round ends with everybody asking again and
 * with the audit. Between rounds, when nothing is under way, the memory and the open files of each process are noted.
 *
 * Workers die in the first half only, so that those of the second half live long enough to have a slope: the line
 * through their memory (least squares), per hour and per round, after a third of their life. A worker keeps
 * who holds a round for ten minutes after the last claim, so its memory rises by rounds until then; what must not move is
 * the number of files.
 *
 * SOAK_MINUTES says how long. Rejected: many short runs, in which nothing has the time to pile up.
 */
import { setTimeout as last } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { expect, test } from 'vitest'
import { Api } from '../support/api.ts'
import { Audience } from '../support/audience.ts'
import { ANSWER_MS_MAX, openRound } from '../support/crowd.ts'
import { effort } from '../support/effort.ts'
import { KEYS } from '../support/engine.ts'
import { tell } from '../support/figures.ts'
import { readMetrics, sumOf } from '../support/metrics.ts'
import { type NodeProcess, startNodeProcess } from '../support/node-process.ts'
import { type Held, heldBy } from '../support/process-files.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'
import { below, random, seed } from '../support/seed.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { Witness } from '../support/witness/witness.ts'

const SECONDS = process.env.SOAK_MINUTES ? 60 * Number(process.env.SOAK_MINUTES) : effort(4, 1800)
const STOCK = effort(3000, 20_000)
/** People a pack: when all who are shy were sent away by a long outage, a fifth of them, the others still take all of it. */
const CROWD = 1.3
const VIEWERS = effort(50, 500)
const FAULTS_A_ROUND = 3
const FROZEN_MS_MAX = 600
const CUT_BYTES_MAX = 6000
/** Between two rounds connections to Redis may be under repair, and health has one of its own. */
const FILES_BESIDE = 12
const PROGRESS_MS = 10_000
const LEFT_WITHIN_MS = 30_000
/** Fewer notes than this make no line. */
const SLOPE_NOTES_MIN = 5

interface Room {
  readonly redis: RedisProcess
  readonly proxy: TcpProxy
  readonly node: NodeProcess
  readonly audience: Audience
  readonly next: () => number
}

const FAULTS = {
  redisKilled: ({ redis }: Room) => redis.restart(),
  redisFrozen: async ({ redis, next }: Room) => {
    await redis.kill('SIGSTOP')
    await last(below(next, FROZEN_MS_MAX))
    await redis.kill('SIGCONT')
  },
  scriptsFlushed: async ({ redis }: Room) => {
    const admin = new Redis({ path: redis.socketPath as string })
    await admin.script('FLUSH')
    admin.disconnect()
  },
  connectionCut: ({ proxy, next }: Room) =>
    proxy.cutAfter(next() < 0.5 ? 'request' : 'reply', below(next, CUT_BYTES_MAX)),
  allCut: ({ proxy }: Room) => proxy.disconnect(),
  viewersCut: ({ audience }: Room) => audience.cut(),
  workerKilled: ({ node }: Room) => node.killWorker(),
} satisfies Record<string, (room: Room) => Promise<void> | void>

type Fault = keyof typeof FAULTS
const ALL = Object.keys(FAULTS) as Fault[]
const GENTLE = ALL.filter(fault => fault !== 'workerKilled')

interface Note extends Held {
  readonly round: number
  readonly hours: number
}

/** One round under the faults that the seed has for it; resolves with how many acknowledged answers there were. */
async function playRound(room: Room, faults: readonly Fault[], counts: Map<Fault, number>): Promise<number> {
  const { node, audience, next } = room
  const round = await openRound(node.url, STOCK)
  const { id } = round
  await using witness = await Witness.open({ nodes: [node.url], level: 'always', worst: 'end of Redis' })
  const many = { people: STOCK * CROWD, singles: STOCK / 10, streams: 2, window: 1 }
  using crowd = witness.crowd({ url: node.url, roundId: id, ...many }, round, STOCK)
  await audience.come(node.url, id, 100)
  const act = async () => {
    for (const [turn, fault] of faults.entries()) {
      await crowd.told(Math.floor((STOCK * (turn + next())) / (faults.length + 1)))
      await FAULTS[fault](room)
      counts.set(fault, (counts.get(fault) ?? 0) + 1)
    }
  }
  let acting = true
  const ask = async () => {
    await crowd.ask()
    // A cut at a byte needs bytes.
    while (acting) await crowd.askAgain()
  }
  await Promise.all([
    ask(),
    witness.fault(act).finally(() => {
      acting = false
    }),
  ])
  await crowd.askAgain()
  expect([faults, await crowd.audit()]).toEqual([faults, { faults: [], granted: STOCK, remaining: 0 }])
  expect(crowd.slowestMs).toBeLessThan(ANSWER_MS_MAX)
  expect([faults, await witness.verdict()]).toEqual([faults, []])
  await audience.leave()
  return crowd.acknowledged
}

/** The engine hears a moment later than they do that people have gone. */
const allLeft = ({ url }: NodeProcess) =>
  expect
    .poll(
      async () =>
        sumOf(readMetrics(String((await new Api(url, KEYS.operator).get('/metrics')).body)), 'fairgrab_stream_sockets'),
      {
        timeout: LEFT_WITHIN_MS,
        interval: 20,
      },
    )
    .toBe(0)

/** Least squares: how many MiB more for one more of `x`. */
function slope(notes: readonly Note[], x: (note: Note) => number): number {
  const mean = (of: (note: Note) => number) => notes.reduce((sum, note) => sum + of(note), 0) / notes.length
  const [midX, midY] = [mean(x), mean(note => note.residentMiB)]
  const spread = notes.reduce((sum, note) => sum + (x(note) - midX) ** 2, 0)
  return spread === 0 ? 0 : notes.reduce((sum, note) => sum + (x(note) - midX) * (note.residentMiB - midY), 0) / spread
}

/** Prints what became of each process; the steepest slope of a worker, KiB a round, and the most files that one gained. */
function report(notes: readonly Note[]): { readonly steepestKiB: number; readonly gained: number } {
  let [steepestKiB, gained] = [0, 0]
  for (const pid of new Set(notes.map(note => note.pid))) {
    const all = notes.filter(note => note.pid === pid)
    const { name, residentMiB: from } = all[0] as Note
    const { residentMiB } = all.at(-1) as Note
    // The fewest of each half: a note may be taken while the last viewers leave.
    const [early, late] = [all.slice(0, Math.ceil(all.length / 2)), all.slice(Math.floor(all.length / 2))]
    const [first, files] = [early, late].map(half => Math.min(...half.map(note => note.files))) as [number, number]
    const settled = all.slice(Math.ceil(all.length / 3))
    const [hour, round] = [slope(settled, note => note.hours), slope(settled, note => note.round)]
    if (name === 'worker' && settled.length >= SLOPE_NOTES_MIN) steepestKiB = Math.max(steepestKiB, round * 1024)
    gained = Math.max(gained, files - first)
    const memory = `${from.toFixed(0)} to ${residentMiB.toFixed(0)} MiB`
    const slopes = `${hour.toFixed(1)} MiB an hour, ${(round * 1024).toFixed(1)} KiB a round after warming up`
    console.log(`${name} ${pid}: ${all.length} rounds, ${memory}, ${slopes}, files ${first} to ${files}`)
  }
  return { steepestKiB: Math.round(steepestKiB), gained }
}

test(
  `${SECONDS} seconds of mixed faults from the seed ${seed}: each round holds, and no process keeps files`,
  async () => {
    await using redis = await startLocalRedis()
    await using proxy = await TcpProxy.open({ path: redis.socketPath as string })
    await using node = await startNodeProcess({ REDIS_URL: proxy.url, LOG_LEVEL: 'fatal', FAIRGRAB_WORKERS: '2' })
    await using audience = new Audience(VIEWERS)
    const room: Room = { redis, proxy, node, audience, next: random(7) }
    const counts = new Map<Fault, number>()
    const notes: Note[] = []
    const from = performance.now()
    const elapsedS = () => (performance.now() - from) / 1000
    let [acknowledged, rounds, toldAt] = [0, 0, from]
    while (elapsedS() < SECONDS) {
      const choice = elapsedS() < SECONDS / 2 ? ALL : GENTLE
      const faults = Array.from({ length: FAULTS_A_ROUND }, () => choice[below(room.next, choice.length)] as Fault)
      acknowledged += await playRound(room, faults, counts)
      const round = ++rounds
      await allLeft(node)
      const held = [...heldBy(node.pid), ...heldBy(redis.pid).map(each => ({ ...each, name: 'redis' }))]
      notes.push(...held.map(each => ({ ...each, round, hours: elapsedS() / 3600 })))
      if (performance.now() - toldAt < PROGRESS_MS) continue
      toldAt = performance.now()
      const memory = held.map(({ name, residentMiB, files }) => `${name} ${residentMiB.toFixed(0)} MiB ${files} files`)
      console.log(`${elapsedS().toFixed(0)} of ${SECONDS} s, seed ${seed}: ${rounds} rounds; ${memory.join(', ')}`)
    }
    console.log(`seed ${seed}: ${[...counts].map(([fault, count]) => `${fault} ${count}`).join(', ')}`)
    const { steepestKiB, gained } = report(notes)
    expect(gained).toBeLessThanOrEqual(FILES_BESIDE)
    tell({ rounds, acknowledged, ...Object.fromEntries(counts), slowestKiBARound: steepestKiB })
  },
  SECONDS * 2000 + 300_000,
)
