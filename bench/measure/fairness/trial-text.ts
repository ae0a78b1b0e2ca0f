/**
 * A trial as lines for a terminal: the verdict first, then the battery, the canaries, the museum and the windows.
 *
 * Every row has a mark. For the allocator ✓ means that nothing was found; for a canary ✓ means that it was caught, with
 * the test that caught it and the chance that it was an accident.
 */

import { type TestResult, WARN_BELOW } from './battery.ts'
import type { WindowShare } from './demand.ts'
import type { Canary, Trial } from './trial.ts'

const MARKS = { pass: '✓', warn: '!', fail: '✗', none: '–' } as const

export function chanceText(p: number): string {
  if (Number.isNaN(p)) return '–'
  if (p === 0) return '< 1e-300'
  return p < 0.001 ? p.toExponential(1) : p.toFixed(3)
}

export function testLine({ test, of, finds, statistic, under, p, mark }: TestResult): string {
  const value = Number.isNaN(statistic) ? '–' : statistic.toPrecision(6)
  return `${MARKS[mark]} ${test} ${of.padEnd(15)}${finds.padEnd(27)}${value.padStart(9)} under ${under.padEnd(19)} p ${chanceText(p)}`
}

const count = (value: number): string => value.toLocaleString('en-US')

function canaryLine({ name, foundBy, found, draws, entrants, tests }: Canary): string {
  const own = tests.filter(({ test }) => test === foundBy).map(({ p }) => p)
  const chance = chanceText(Math.min(...own))
  const said = found ? `FAIL on ${foundBy}, p ${chance}` : `NOT FOUND by ${foundBy}, p ${chance}`
  return `${found ? '✓' : '✗'} ${name.padEnd(42)}${said} (${count(draws)} draws of ${count(entrants)})`
}

function windowLine({ windowS, share, times, expected, odds, deviation }: WindowShare): string {
  const kind = windowS === 0 ? 'fcfs' : `window ${windowS} s`
  const shown = Number.isFinite(odds) ? odds.toFixed(2) : '∞'
  return `  ${kind.padEnd(14)}${(share * 100).toFixed(1).padStart(6)} % of the packs, ${times.toFixed(2).padStart(6)} times their share (model ${expected.toFixed(2)} ± ${deviation.toFixed(2)}), odds ${shown}`
}

function exactLine({ again }: Trial): string {
  if (again.compared === 0)
    return '– B0 exact          the second implementation itself is judged: nothing to compare with'
  const mark = again.different === 0 ? '✓' : '✗'
  return `${mark} B0 exact          ${count(again.compared)} draws drawn again by a second implementation, ${count(again.different)} differ`
}

/** What the verdict says in one line. */
function verdictOf({ ok, judged, again, biases, museum }: Trial): string {
  const failed = judged.tests.filter(({ mark }) => mark === 'fail').map(({ test, of }) => `${test} ${of}`)
  const missed = [...biases, ...museum].filter(({ found }) => !found).map(({ name }) => name)
  if (ok && biases.length === 0) return `✓ ${judged.name}: no test of the battery fails`
  if (ok)
    return `✓ fair: no test of the battery fails, and all ${biases.length + museum.length} unfair lotteries were found`
  const told = [
    ...(failed.length > 0 ? [`${judged.name} fails ${failed.join(', ')}`] : []),
    ...(again.different > 0 ? ['a second implementation draws other winners'] : []),
    ...(missed.length > 0 ? [`not found: ${missed.join('; ')}`] : []),
  ]
  return `✗ NOT FAIR: ${told.join('; ')}`
}

function canaryLines({ biases, museum, strength }: Trial): string[] {
  const stronger = strength === 1 ? '' : `, ${strength.toFixed(1)} times as strong, as there are fewer winners`
  return [
    `injected biases${stronger}; each to be found:`,
    ...biases.map(canaryLine),
    'lotteries that failed, played again; each to be found:',
    ...museum.map(canaryLine),
  ]
}

export function trialLines(trial: Trial): string[] {
  const { judged, inequality, biases, demand, seed, form } = trial
  const { draws, entrants, winners } = judged
  const warned = judged.tests.some(({ mark }) => mark === 'warn')
  return [
    verdictOf(trial),
    `replayed draws of ${judged.name}: ${count(draws)} draws of ${count(entrants)} entrants, ${count(winners)} winners, fresh seeds`,
    exactLine(trial),
    ...judged.tests.map(testLine),
    ...(warned
      ? [
          `! a WARN (p < ${WARN_BELOW.toExponential(1)}) comes by chance in one trial of about a thousand: try another --seed`,
        ]
      : []),
    ...Object.entries(inequality).map(
      ([name, { jain, gini }]) => `  over ${name.padEnd(16)} Jain ${jain.toFixed(6)}, Gini ${gini.toFixed(6)}`,
    ),
    ...(biases.length === 0 ? [] : canaryLines(trial)),
    "simulated: the packs that the bots' 1 % of the accounts get, by length of the window (an assumption about people)",
    ...demand.map(windowLine),
    `seed ${seed}, ${form} form; nothing here is about workers or sockets: whole runs of the bench judge those`,
  ]
}
