/**
 * The audit's own draw against values from a third hand, and its checks against sound runs and planted frauds.
 *
 * The expected root, seed and winners were computed by a short Python program from the published format (hashlib, and
 * AES of the cryptography package), so that the second implementation is not held against itself. Every plant has to be
 * found by the check that is there for it, and every check has a plant; `node test/bench/canary.ts` tries other seeds.
 */

import { describe, expect, it, test } from 'vitest'
import { drawAgain, merkleRoot, orderOf, scoresOf, seedOf, sha256 } from '../../bench/audit/draw.ts'
import { DRAW_CHECKS } from '../../bench/audit/draw-checks.ts'
import { runCheck } from '../../bench/audit/finding.ts'
import { DRAW_PLANTS, publishWith } from './draw-plants.ts'
import { evidenceOf, makeDrawnRun, publish } from './drawn-run.ts'

const SEEDS = [11, 222, 3333]
const ENTRIES = Buffer.concat(
  Array.from({ length: 200 }, (_, place) =>
    Buffer.concat([sha256(`entry ${place}`).subarray(0, 16), Uint8Array.of(place % 5 === 0 ? 1 : 0)]),
  ),
)
const SEED = Buffer.from('91ff4cb62fb20e63ad49683ca187a068bb18c9370c84cf8ec33a00ba390f59d8', 'hex')
const RULES = {
  stock: 10,
  pools: [
    { name: 'general', total: 7 },
    { name: 'assisted', total: 3 },
  ],
  waitlist: 4,
} as const

test('root and seed are those of the third hand', () => {
  const root = merkleRoot(ENTRIES, 64)
  expect(root.toString('hex')).toBe('6f7c144a4b1f3f612e9de00ba417a6c3c31cb687ff83450f561ffe7b8775f5a4')
  const parts = { rulesHash: sha256('{"v":1}'), root, count: 200, beacon: sha256('beacon') }
  expect(seedOf(parts).toString('hex')).toBe(SEED.toString('hex'))
})

test.each([
  ['general-first', [197, 161, 199, 25, 191, 139, 29, 80, 20, 30], [0, 0, 0, 0, 0, 0, 0, 1, 1, 1], [184, 64, 162, 137]],
  ['pool-first', [197, 161, 199, 25, 191, 139, 29, 184, 80, 20], [0, 0, 0, 1, 0, 0, 0, 0, 1, 1], [64, 162, 137, 124]],
] as const)(
  'winners, their seats and the waitlist in the order %s are those of the third hand',
  (quota_order, winners, seats, waitlist) => {
    const drawn = drawAgain(ENTRIES, { ...RULES, quota_order }, SEED)
    expect([[...drawn.winners], [...drawn.seats], [...drawn.waitlist]]).toEqual([winners, seats, waitlist])
  },
)

test('the first places of an order are the same whether all or few are wanted', () => {
  const scores = scoresOf(ENTRIES, SEED)
  const all = orderOf(scores, 200)
  expect(all.length).toBe(200)
  for (const wanted of [0, 1, 17, 199])
    expect([...orderOf(scores, wanted)].slice(0, wanted)).toEqual([...all].slice(0, wanted))
  // Equal first 48 bits are told apart by the rest.
  const close = Buffer.concat([Buffer.alloc(16, 1), Buffer.alloc(16, 1)])
  close[15] = 9
  expect([...orderOf(close, 2)]).toEqual([1, 0])
})

const failedOn = (...given: Parameters<typeof evidenceOf>): readonly string[] =>
  DRAW_CHECKS.map(check => runCheck(check, evidenceOf(...given))).flatMap(({ ok, id, examples }) =>
    ok ? [] : [id, ...examples],
  )

describe(`drawn runs of the seeds ${SEEDS.join(', ')}`, () => {
  it.each(SEEDS)('a sound one of seed %i passes, and no check had nothing to look at', seed => {
    const run = makeDrawnRun(seed, 3000)
    const results = DRAW_CHECKS.map(check => runCheck(check, evidenceOf(run, publish(run))))
    expect(results.filter(({ ok, checked }) => !ok || checked === 0)).toEqual([])
  })

  it.each(DRAW_PLANTS)('$fault: seen by $caughtBy', plant => {
    for (const seed of SEEDS) {
      const run = makeDrawnRun(seed, 1000)
      expect(failedOn(run, publishWith(plant, run, publish)), `seed ${seed}`).toContain(plant.caughtBy)
    }
  })

  it('every check is tripped by a plant', () => {
    expect(new Set(DRAW_PLANTS.map(({ caughtBy }) => caughtBy))).toEqual(new Set(DRAW_CHECKS.map(({ id }) => id)))
  })
})
