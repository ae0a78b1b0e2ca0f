/**
 * The audit is audited: every planted fault must be seen by the check that is there for it.
 *
 * The table of test/bench/plants.ts is planted at random places over some seeds, and once in a long history, where
 * the one contradiction stands among many requests. A run is sound before the fault is planted (audit.test.ts
 * holds that), so what the check reports is the fault. Every check has a plant: one that nothing can trip would be
 * decoration.
 *
 * The seeds are fixed and stand in the titles; `node test/bench/canary.ts` tries others.
 */
import { describe, expect, it } from 'vitest'
import { auditRun, CHECKS, printVerdict } from '../../bench/audit/verdict.ts'
import { effort } from '../support/effort.ts'
import { PLANTS, plantFault } from './plants.ts'
import { makeRun, seededDice } from './synthetic.ts'

const SEEDS = [11, 222, 3333, 44_444, 555_555].slice(0, effort(2, 5))
const SHORT = effort(2500, 10_000)
const LONG = effort(10_000, 50_000)

function seenBy(plant: (typeof PLANTS)[number], seed: number, claims: number): readonly string[] {
  const run = makeRun(seed, claims)
  plantFault(plant, run, seededDice(seed))
  const verdict = auditRun(run)
  expect(verdict.ok).toBe(false)
  expect(printVerdict(verdict)[0]).toContain('the run is VOID')
  const failed = verdict.checks.filter(check => !check.ok)
  for (const { violations, examples } of failed) {
    expect(violations).toBeGreaterThan(0)
    expect(examples.length).toBeGreaterThan(0)
    expect(examples.length).toBeLessThanOrEqual(5)
  }
  return failed.map(check => check.id)
}

describe(`planted faults, seeds ${SEEDS.join(', ')}`, () => {
  it.each(PLANTS)('$fault: seen by $caughtBy', plant => {
    for (const seed of SEEDS) expect(seenBy(plant, seed, SHORT), `seed ${seed}`).toContain(plant.caughtBy)
  })

  it('every check is tripped by a plant, and every plant names a check', () => {
    expect(new Set(PLANTS.map(plant => plant.caughtBy))).toEqual(new Set(CHECKS.map(check => check.id)))
  })
})

describe(`planted faults in ${LONG} requests, seed 7`, () => {
  it.each(PLANTS)('$fault: seen by $caughtBy', plant => {
    expect(seenBy(plant, 7, LONG)).toContain(plant.caughtBy)
  })
})
