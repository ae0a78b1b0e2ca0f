/**
 * Fail-overs that lose the last grants, at the level fenced: the promoted copy missed what was acknowledged, and no
 * sequence is sold twice, nothing acknowledged is lost, and grants go on within seconds.
 *
 * Each step of the protocol is aimed at, before and after it is done: the copy is cut off there and promoted a few
 * answers later, or cut off before and promoted there, or an engine dies there, its journal with it in every other
 * turn. A journal that is destroyed may take with it what only it knew; even then no sequence has two holders.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { FailoverRoom } from '../support/failover-room.ts'
import { type FencedEngine, POINTS, type Point } from '../support/fenced-engine.ts'
import { tell } from '../support/figures.ts'
import { below, random } from '../support/seed.ts'

const AIMED = effort(1, 100)
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

interface Turn {
  readonly point: Point
  readonly dies: boolean
  readonly destroyed: boolean
  readonly next: () => number
}

/** Milliseconds from the promotion to the next grant. */
async function turn({ point, dies, destroyed, next }: Turn): Promise<number> {
  const engines = [await room.engine(), await room.engine()] as [FencedEngine, FencedEngine]
  const [aimed, other] = engines
  await room.begin(aimed)
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
    room.cut()
    await room.told(below(next, 20))
    // Only a copy that has everything may be promoted next, so the trap waits for the first one's replica.
    const first = Promise.withResolvers<void>()
    const second = room.aim(point, aimed, 1, () => first.promise.then(promote))
    await room.promote().then(first.resolve, first.reject)
    await second
  } else if (NEED_REPLICA.includes(point)) {
    await room.aim(point, aimed, n, async () => room.cut())
    await room.told(below(next, 20))
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

test.each(POINTS)(
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
