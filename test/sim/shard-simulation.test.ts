/**
 * Simulated clusters in `npm test`: some of each level hold while slots move, a seed is a history, every planted bug of a cluster is
 * found, and the mover and the bus do what a real cluster does with a slot on its way.
 *
 * Seeds are fixed as in simulation.test.ts. What a real Redis Cluster says of slots is in test/cluster.
 */
import { expect, test } from 'vitest'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { endOf } from '../support/kept-terminal.ts'
import { seed } from '../support/seed.ts'
import type { Outcome } from './outcome.ts'
import { simulate } from './run.ts'
import { Ranges } from './shards/ranges.ts'
import { SHARD_PLANTS } from './shards/shard-plants.ts'
import { ShardWorld } from './shards/shard-world.ts'
import { LEVELS, type Level } from './world.ts'

const SHARDS = 3
const WORLDS = effort(1, 500)
const SHARDED = LEVELS.filter(level => level !== 'fenced')
/** Worlds that are cheap and have moves and fail-overs, where they have no more than FEW faults. */
const SHORT = { memory: 17, everysec: 17, always: 7, replicated: 36, fenced: 0 }
const FEW = 40
const isShort = WORLDS === 1
const firstOf = (level: Level): number => (isShort ? SHORT[level] : seed)

const played = new Map<string, Promise<Outcome>>()

/** What comes of a cluster without a bug, played once. */
function sound(level: Level, world: number, faults?: number): Promise<Outcome> {
  const name = [level, world, faults].filter(part => part !== undefined).join(' ')
  const outcome = played.get(name) ?? new ShardWorld({ seed: world, level, shards: SHARDS, faults }).play()
  played.set(name, outcome)
  return outcome
}

/** First, so that others have its world. */
test('a seed is a history of a cluster, too', { timeout: PATIENCE_MS }, async () => {
  const world = () => new ShardWorld({ seed: SHORT.replicated, level: 'replicated', shards: SHARDS, faults: FEW })
  const [first, again] = [world(), world()]
  played.set(`replicated ${SHORT.replicated} ${FEW}`, first.play())
  expect(await sound('replicated', SHORT.replicated, FEW)).toEqual(await again.play())
  expect(first.timeline.steps).toBe(again.timeline.steps)
})

test.each(SHARDED)('clusters at the level %s hold', { timeout: PATIENCE_MS }, async level => {
  const outcomes: Outcome[] = []
  for (let world = 0; world < WORLDS; world++)
    outcomes.push(await sound(level, firstOf(level) + world, isShort ? FEW : undefined))
  const sum = (name: 'grants' | 'faults' | 'moves' | 'failOvers') =>
    outcomes.reduce((total, outcome) => total + outcome[name], 0)
  expect(outcomes.filter(({ violations }) => violations.length > 0)).toEqual([])
  expect(sum('grants')).toBeGreaterThan(50 * WORLDS)
  expect(sum('moves')).toBeGreaterThan(2 * WORLDS)
  expect(sum('failOvers') > 0).toBe(level !== 'memory' && level !== 'everysec')
  console.log(`${level}: ${WORLDS} clusters, ${sum('failOvers')} fail-overs, ${sum('moves')} slots moved`)
})

/** The seed that is known to show it, and then others: a change of the engine moves the moment that it takes. */
const SEEDS_TRIED = 40

test.each(SHARD_PLANTS)('planted in a cluster: $bug', { timeout: PATIENCE_MS }, async plant => {
  const { name, seed: known, level, plant: planted } = plant
  const seeds = [known, ...Array.from({ length: SEEDS_TRIED }, (_, i) => i + 1)]
  let shown = 0
  for (const tried of seeds) {
    const world = { seed: tried, level, shards: SHARDS, faults: plant.faults }
    const { violations } = await new ShardWorld({ ...world, plant: planted }).play()
    if (violations.length === 0) continue
    shown = tried
    break
  }
  expect(shown, `no cluster shows ${name}`).toBeGreaterThan(0)
  if (shown !== known) console.log(`${name} is shown by seed ${shown}, no longer by ${known}`)
  expect((await sound(level, shown, plant.faults)).violations).toEqual([])
})

test('slots lie in equal runs, and one that moved has a row of its own', () => {
  const ranges = new Ranges(SHARDS)
  expect(ranges.runs(new Map())).toEqual([
    [0, 5461, 0],
    [5462, 10_922, 1],
    [10_923, 16_383, 2],
  ])
  expect(
    ranges.runs(
      new Map([
        [0, 2],
        [5461, 1],
        [7000, 0],
      ]),
    ),
  ).toEqual([
    [0, 0, 2],
    [1, 5460, 0],
    [5461, 5461, 1],
    [5462, 6999, 1],
    [7000, 7000, 0],
    [7001, 10_922, 1],
    [10_923, 16_383, 2],
  ])
  const all = ranges.runs(new Map())
  for (let slot = 0; slot < 16_384; slot++) {
    const [run] = all.filter(([from, to]) => slot >= from && slot <= to)
    expect(run?.[2]).toBe(ranges.shardOf(slot))
  }
})

const sim = (...args: readonly string[]) => endOf(terminal => simulate(args, terminal))

test('the command plays clusters, and says what is wrong with its words', { timeout: PATIENCE_MS }, async () => {
  const held = await sim('--seed', '3', '--level', 'memory', '--shards', '3', '--json')
  expect(held.code, held.stderr).toBe(0)
  expect(JSON.parse(held.stdout)).toMatchObject({ worlds: 1, violations: 0, shards: 3, levels: ['memory'] })
  const found = await sim('--seed', '1', '--faults', '30', '--plant', 'shard-not-stopped')
  expect(found.code).toBe(1)
  expect(found.stderr).toMatch(/--seed 1 --level always --faults \d+ --shards 3 --plant shard-not-stopped/)
})

test.each([
  [['--shards', '2'], '--shards: "2" is not a whole number from 3 to 9'],
  [['--shards', '3.5'], '--shards: "3.5" is not'],
  [['--shards', '3', '--level', 'fenced'], '--level: fenced is not kept on a cluster'],
  [['--shards', '3', '--plant', 'late-copy'], '--shards: this plant is of one Redis'],
])('%s is refused by name', async (args, words) => {
  const refused = await sim(...args)
  expect(refused.code).toBe(2)
  expect(refused.stderr).toContain(words)
})
