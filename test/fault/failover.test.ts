/**
 * Fail-overs that lose the last grants, at the level fenced: the promoted copy missed what was acknowledged, and no
 * sequence is sold twice, nothing acknowledged is lost, and grants go on within seconds.
 *
 * Each step of the protocol is aimed at, before and after it is done: the copy is cut off there and promoted a few
 * answers later, or cut off before and promoted there, or an engine dies there, its journal with it in every other
 * turn. A journal that is destroyed may take with it what only it knew; even then no sequence has two holders. These
 * engines have no HTTP door, so no witness (test/support/witness) hears them; whole nodes have one.
 */
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { type Copy, follow, startCopy } from '../support/copies.ts'
import { openRound } from '../support/crowd.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { CHUNK, FailoverRoom } from '../support/failover-room.ts'
import { type FencedEngine, POINTS, type Point } from '../support/fenced-engine.ts'
import { tell } from '../support/figures.ts'
import { launchNode, type NodeProcess } from '../support/node-process.ts'
import { below, random, seed } from '../support/seed.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { Witness } from '../support/witness/witness.ts'

const AIMED = effort(1, 100)
const SPLITS = effort(1, 20)
const AT_RANDOM = effort(1, 100)
const AWAY = effort(1, 20)
/** Packs that are left before the copy is cut off; half of them are told then. */
const TOLD = 4
/** So many claims are answered by the node that is alone. */
const ALONE = 20
const STOCK = effort(8_000, 400_000)
/** A raise begins when so many grants are left; see CHUNK in test/support/failover-room.ts. */
const RAISED_AT = CHUNK / 2
/** When the copy is away, what is left of the reserve is told by then. */
const USED_UP_MS = 2000
const RECOVERY_MS_MAX = 5000
/** Points that are only passed while the replica answers: it can be cut off there, not before. */
const NEED_REPLICA: readonly Point[] = ['noted', 'lift', 'lifted']
/** Points of a recovery: the second fail-over falls into the first one's. */
const OF_RECOVERY: readonly Point[] = ['mark', 'marked', 'restore', 'restored', 'bind', 'bound']

let room: FailoverRoom
beforeAll(async () => {
  room = await FailoverRoom.open()
})
afterAll(() => room[Symbol.asyncDispose]())

/** So many grants later a recovery is over. */
const GOES_ON = 200

interface Aimed {
  readonly aimed: FencedEngine
  readonly promote: () => Promise<void>
}

interface Turn {
  readonly point: Point
  readonly dies: boolean
  readonly destroyed: boolean
  readonly next: () => number
}

/** A fail-over, and `promote` at a point of its recovery. */
async function twice({ point, aimed, next, promote }: Pick<Turn, 'point' | 'next'> & Aimed): Promise<void> {
  let [ready, fired] = [Promise.withResolvers<void>(), false]
  const second = room.aim(point, aimed, 1, () => {
    fired = true
    // Only a copy that has everything may be promoted next, so the trap waits for the first one's replica.
    return ready.promise.then(promote)
  })
  while (!fired) {
    room.cut()
    await room.told(below(next, 20))
    ready = Promise.withResolvers()
    await room.promote().then(ready.resolve, ready.reject)
    // An engine that the other one did not wait for may find everything done and pass nothing; then it goes again.
    await Promise.race([second, room.told(GOES_ON)])
  }
  await second
}

/** Milliseconds from the promotion to the next grant. */
async function turn({ point, dies, destroyed, next }: Turn): Promise<number> {
  const engines = [await room.engine(), await room.engine()] as [FencedEngine, FencedEngine]
  const [aimed, other] = engines
  await room.begin(aimed)
  await room.joined(engines)
  for (const engine of engines) room.load(engine)
  await room.told(40)
  let from = 0
  const promote = async () => {
    if (dies) await room.kill(aimed, destroyed)
    from = performance.now()
    await room.promote()
  }
  const n = 1 + below(next, 2)
  if (OF_RECOVERY.includes(point)) {
    await twice({ point, aimed, next, promote })
  } else if (NEED_REPLICA.includes(point)) {
    await room.aim(point, aimed, n, async () => room.cut())
    // Far enough that grants pass the reserve that the copy knows, and lean on what was only noted there; or to the end of
    // the reserve, where a machine that was slow between the two steps has less than that left of it.
    const used = Promise.withResolvers<void>()
    const soon = setTimeout(used.resolve, USED_UP_MS)
    await Promise.race([room.told(RAISED_AT + below(next, 30)), used.promise])
    clearTimeout(soon)
    await promote()
  } else {
    room.cut()
    await room.aim(point, aimed, n, promote)
  }
  await room.told(1)
  const tookMs = performance.now() - from
  await room.told(40)
  await room.quiet()
  // A dead engine's journal comes back with its next life; who asks again before that is no holder to anybody else.
  const last = dies && !destroyed ? await room.engine({ folder: aimed.folder }) : other
  await room.askAgain(last)
  expect(await room.faults(last, destroyed), point).toEqual([])
  for (const engine of new Set(dies ? [other, last] : engines)) await room.retire(engine)
  return tookMs
}

/** The short form has time for every second point; which ones follows from the seed. */
const AIMED_AT = AIMED > 1 ? POINTS : POINTS.filter((_, i) => (i + seed) % 2 === 0)

test.each(AIMED_AT)(
  `cut and promoted at: %s`,
  async point => {
    const next = random(POINTS.indexOf(point))
    let slowest = 0
    for (let i = 0; i < AIMED; i++) {
      // Nobody dies, an engine dies with its journal, an engine dies and comes back with it; short: one of them a point.
      const fate = (i + POINTS.indexOf(point)) % 3
      slowest = Math.max(slowest, await turn({ point, dies: fate > 0, destroyed: fate === 1, next }))
    }
    expect(slowest).toBeLessThan(RECOVERY_MS_MAX)
    tell({ aimedFailOvers: AIMED, soldTwice: 0, slowestMs: Math.round(slowest) })
  },
  PATIENCE_MS,
)

/** One engine stays with the old primary, which lives on; nobody may be told what the other side gives too. */
async function split(next: () => number): Promise<number> {
  const [left, right] = [await room.engine({ old: true }), await room.engine()]
  await room.begin(right)
  await room.joined([left, right])
  for (const engine of [left, right]) room.load(engine)
  await room.told(40)
  room.cut()
  await room.told(below(next, 20))
  await room.promote({ split: true })
  const before = room.granted
  await room.told(100)
  const during = room.granted - before
  room.heal()
  await room.told(40)
  await room.quiet()
  await room.askAgain(left)
  await room.askAgain(right)
  expect(await room.faults(right, false)).toEqual([])
  for (const engine of [left, right]) await room.retire(engine)
  return during
}

test(
  `${SPLITS} split brains: the old side ends within its reserve, and what it told comes back`,
  async () => {
    const next = random(100)
    let acknowledged = 0
    for (let i = 0; i < SPLITS; i++) acknowledged += await split(next)
    expect(acknowledged).toBeGreaterThan(0)
    tell({ splitBrains: SPLITS, soldTwice: 0 })
  },
  PATIENCE_MS,
)

async function copy(): Promise<Copy> {
  const started = await startCopy()
  onTestFinished(() => started[Symbol.asyncDispose]())
  return started
}

/** Nodes that find the primary by a name that moves, and its replica behind a stream that can be cut. */
async function startLagging(nodes: number, workers: number) {
  let [primary, replica] = [await copy(), await copy()]
  const [name, stream] = [await TcpProxy.open({ port: primary.port }), await TcpProxy.open({ port: primary.port })]
  const streamPort = Number(new URL(stream.url).port)
  await follow(replica, primary, streamPort)
  const level = { FAIRGRAB_DURABILITY: 'fenced', FAIRGRAB_REPLICAS: '1', LOG_LEVEL: 'error' }
  const settings = { REDIS_URL: name.url, ...level, FAIRGRAB_WORKERS: String(workers) }
  const all = await Promise.all(Array.from({ length: nodes }, () => launchNode(settings)))
  onTestFinished(async () => {
    for (const node of all) await node.stop()
    for (const proxy of [name, stream]) await proxy.close()
  })
  await Promise.all(all.map(node => node.serves()))
  /** The primary is killed, the replica takes its place and name, and gets the old one as its own. */
  const failOver = async (): Promise<void> => {
    await primary.redis.kill()
    await replica.admin.replicaof('NO', 'ONE')
    ;[primary, replica] = [replica, primary]
    name.upstream = stream.upstream = { port: primary.port }
    stream.way = 'pass'
    await replica.redis.restart()
    await follow(replica, primary, streamPort)
  }
  return { nodes: all, stream, failOver }
}

test(
  `${AT_RANDOM} fail-overs of a node of two workers at random moments, each behind a copy that lags`,
  async () => {
    const next = random(101)
    const { nodes, stream, failOver } = await startLagging(1, 2)
    const { url } = nodes[0] as NodeProcess
    const round = await openRound(url, STOCK)
    await using witness = await Witness.open({ nodes: [url], level: 'fenced', worst: 'fail-over', dense: true })
    const few = { people: STOCK * 1.25, singles: 200, streams: 1, window: 2, frame: 64 }
    using crowd = witness.crowd({ url, roundId: round.id, ...few }, round, STOCK)
    let [slowest, slowestOwn] = [0, 0]
    const lagAndMove = async () => {
      stream.way = 'black hole'
      await crowd.told(crowd.granted + below(next, 500))
      const from = performance.now()
      await failOver()
      // Nothing may be granted before a replica has everything again, which for Redis is a full copy of what grew to be large.
      const copied = performance.now()
      await crowd.told(crowd.granted + 1)
      slowest = Math.max(slowest, performance.now() - from)
      slowestOwn = Math.max(slowestOwn, performance.now() - copied)
    }
    const through = async () => {
      for (let i = 0; i < AT_RANDOM; i++) {
        await crowd.told(Math.floor((STOCK * (i + next())) / (AT_RANDOM + 1)))
        await witness.fault(lagAndMove)
      }
    }
    await Promise.all([crowd.ask(), through()])
    await crowd.askAgain()
    expect(await crowd.audit()).toEqual({ faults: [], granted: STOCK, remaining: 0 })
    expect(await witness.verdict()).toEqual([])
    expect(crowd.count('sold_out')).toBeGreaterThan(0)
    expect(slowestOwn).toBeLessThan(RECOVERY_MS_MAX)
    const times = { slowestMs: Math.round(slowest), slowestAfterCopyMs: Math.round(slowestOwn) }
    tell({ randomFailOvers: AT_RANDOM, acknowledged: crowd.acknowledged, lost: 0, ...times })
  },
  PATIENCE_MS,
)

/** Cuts the replica off, and resolves when people were told grants that it lacks; where the reserve is used up, once more. */
async function toldUncopied(witness: Witness, stream: TcpProxy): Promise<void> {
  for (;;) {
    await witness.shows(({ remaining }) => remaining >= TOLD)
    stream.way = 'black hole'
    const told = witness.told(TOLD / 2).then(() => true)
    if (await Promise.race([told, new Promise<void>(resume => setTimeout(resume, USED_UP_MS))])) return
    stream.way = 'pass'
    await told
  }
}

test(
  `${AWAY} fail-overs while one of two nodes is away: nobody hears of an end that is none, every told code is known`,
  async () => {
    const { nodes, stream, failOver } = await startLagging(2, 1)
    const [away, stays] = nodes as [NodeProcess, NodeProcess]
    await using witness = await Witness.open({
      nodes: [away.url, stays.url],
      level: 'fenced',
      worst: 'fail-over',
      dense: true,
    })
    witness.watch()
    for (let i = 0; i < AWAY; i++) {
      await witness.fault(async () => {
        await toldUncopied(witness, stream)
        await away.killAll()
        await failOver()
        await witness.shows(({ quarantined }) => quarantined > 0)
        await witness.asked(ALONE)
        away.launch()
        await away.serves()
        await witness.shows(({ quarantined }) => quarantined === 0)
      })
      await witness.calm()
    }
    expect(await witness.verdict()).toEqual([])
    tell({ failOversAway: AWAY })
  },
  PATIENCE_MS,
)
