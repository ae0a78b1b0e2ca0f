/**
 * Is the audit awake? `node test/bench/canary.ts [seed] [rounds] [claims]` plants every fault at new random places.
 *
 * Each round makes a sound run from its own seed, which must pass, and then one run a fault, which the named check
 * must void. Without arguments the seed comes from the clock, so that each night tries places that nobody tried
 * before; a line that says MISSED names the seed that shows it again. The exit code is 1 if anything was missed.
 *
 * The tests run the same table on fixed seeds; this is for as many seeds as there is time for.
 */
import { DRAW_CHECKS, type DrawEvidence } from '../../bench/audit/draw-checks.ts'
import { runCheck } from '../../bench/audit/finding.ts'
import { auditRun } from '../../bench/audit/verdict.ts'
import { DRAW_PLANTS, publishWith } from './draw-plants.ts'
import { evidenceOf, makeDrawnRun, publish } from './drawn-run.ts'
import { PLANTS, plantFault } from './plants.ts'
import { makeRun, seededDice } from './synthetic.ts'

const first = Number(process.argv[2] ?? Date.now() % 1_000_000)
const rounds = Number(process.argv[3] ?? 3)
const claims = Number(process.argv[4] ?? 20_000)
let missed = 0
const miss = (line: string): void => {
  missed++
  console.log(`✗ MISSED ${line}`)
}

for (let seed = first; seed < first + rounds; seed++) {
  if (!auditRun(makeRun(seed, claims)).ok) miss(`seed ${seed}: a false alarm on a sound run`)
  for (const plant of PLANTS) {
    const run = makeRun(seed, claims)
    plantFault(plant, run, seededDice(seed))
    const caught = auditRun(run).checks.some(check => check.id === plant.caughtBy && !check.ok)
    if (!caught) miss(`seed ${seed}: ${plant.fault}, which ${plant.caughtBy} should see`)
  }
}

const failed = (evidence: DrawEvidence): string[] =>
  DRAW_CHECKS.filter(check => !runCheck(check, evidence).ok).map(check => check.id)

for (let seed = first; seed < first + rounds; seed++) {
  const people = Math.ceil(claims / 10)
  const sound = makeDrawnRun(seed, people)
  if (failed(evidenceOf(sound, publish(sound))).length > 0) miss(`seed ${seed}: a false alarm on a sound draw`)
  for (const plant of DRAW_PLANTS) {
    const run = makeDrawnRun(seed, people)
    const published = publishWith(plant, run, publish)
    if (!failed(evidenceOf(run, published)).includes(plant.caughtBy)) {
      miss(`seed ${seed}: ${plant.fault}, which ${plant.caughtBy} should see`)
    }
  }
}
const kinds = PLANTS.length + DRAW_PLANTS.length
const tried = `${rounds * kinds} faults of ${kinds} kinds from seed ${first}`
console.log(`${missed === 0 ? '✓' : '✗'} canary: ${tried}, ${missed} missed`)
process.exitCode = missed === 0 ? 0 : 1
