/**
 * A result as lines for a terminal: the verdict first, then the figures, then what qualifies them.
 *
 * Figures are grouped by their first word and aligned; nothing is coloured, since results are pasted into issues. The
 * marks are ✓ and ✗ and mean the same as the exit code.
 */

import { runFairnessLines } from './fairness/run-text.ts'
import type { MachineCard } from './machine.ts'
import { type Figure, isSound, type PartResult, type Summary } from './result.ts'
import { treeText } from './tree-card.ts'

const NAME_WIDTH = 30

/** By how many digits behind the point; kept, since each costs more to make than a thousand figures to write. */
const FORMATS = new Map(
  [0, 1, 3].map(digits => [digits, new Intl.NumberFormat('en-US', { maximumFractionDigits: digits })]),
)

function valueText({ value, unit }: Figure): string {
  const digits = Math.abs(value) >= 1000 ? 0 : Math.abs(value) >= 10 ? 1 : 3
  return `${FORMATS.get(digits)?.format(value)} ${unit}`
}

export function figureLine(figure: Figure): string {
  return `  ${figure.name.padEnd(NAME_WIDTH)}${valueText(figure)}`
}

/** A sound part of many: the audit's sentence, and what qualifies it. */
const shortLine = ({ name, audit, notes }: PartResult): string =>
  [`✓ ${name}`, audit?.lines[0]?.replace(/^✓ audit: /, '') ?? 'not audited', ...notes].join('; ')

export function partLines(part: PartResult): string[] {
  if (part.summedIn !== undefined && isSound(part)) return [shortLine(part)]
  const settings = Object.entries(part.settings).map(([name, value]) => `${name} ${value}`)
  const outcomes = Object.entries(part.outcomes).map(([code, count]) => `${code} ${count.toLocaleString('en-US')}`)
  return [
    `${isSound(part) ? '✓' : '✗'} ${part.name}`,
    ...(part.audit?.lines ?? []).map(line => `  ${line}`),
    ...part.problems.map(problem => `  ✗ ${problem}`),
    ...part.notes.map(note => `  ! ${note}`),
    ...part.figures.map(figureLine),
    ...(part.fairness === undefined ? [] : runFairnessLines(part.fairness).map(line => `  ${line}`)),
    ...(outcomes.length > 0 ? [`  ${'answers'.padEnd(NAME_WIDTH)}${outcomes.join(', ')}`] : []),
    `  ${'settings'.padEnd(NAME_WIDTH)}${settings.join(', ')}`,
  ]
}

export function machineLines(machine: MachineCard): string[] {
  const parts = [
    machine.cpu,
    `${machine.cores} cores`,
    `${machine.memory_gb} GB`,
    machine.kernel,
    `node ${machine.node}`,
    machine.redis,
  ]
  const lines = [`machine: ${parts.join(', ')}, load before the run ${machine.load_before}`]
  if (machine.busy) lines.push('! the machine was busy before the run: quote ratios from one run, not rates')
  return lines
}

/** What stands behind the parts: machine, program, and how to see the same again. */
export function runLines({ machine, tree, engine, seed, command, ended }: Summary): string[] {
  return [
    ...machineLines(machine),
    `program: ${treeText(tree)}; engine: ${engine}`,
    `seed ${seed}; command: ${command}`,
    ...(ended === 'complete' || ended === 'running' ? [] : [`! ${ended}; what has ended is above`]),
  ]
}

/** The seal, and with what the result can be checked. */
export const sealLines = ({ seal, parts }: Summary, folder: string): string[] => [
  `result: ${folder}, seal ${seal}`,
  ...(parts.some(part => part.record !== undefined) ? [`check it: npm run bench -- audit ${folder}`] : []),
]
