/**
 * May these runs be compared, and what has a reader of the ratio to know?
 *
 * One table: each row looks at a run by itself (a flaw) or at what all runs of both sides should share (facts), and says
 * what that is worth. `refused`: the ratio would mean nothing, since a void run measured nothing, half a run is another
 * run, and other settings are another load. `said`: the ratio stands, and a line beside it says what colours it (the
 * machine, the program, a dirty tree, a machine or engine that was too busy). A setting that no row knows is the load.
 */

import type { PartResult, Summary } from './measure/result.ts'
import { treeText } from './measure/tree-card.ts'
import type { Opened } from './record/seal.ts'

type Facts = Readonly<Record<string, string | number | boolean>>

interface Row {
  readonly weight: 'refused' | 'said'
  /** What is wrong with one run: a sentence each. */
  readonly flaws?: (summary: Summary) => readonly string[]
  /** What all runs should share. */
  readonly ofRun?: (summary: Summary) => Facts
  /** What all runs should share about each part. */
  readonly ofPart?: (part: PartResult) => Facts
}

/** Settings of the engine and not of its load: what a comparison may be about. */
const OF_ENGINE = new Set(['durability', 'workers'])
/** Notes that take a figure back: ENGINE OVERLOADED, GENERATOR LIMITED. */
const LOUD = /^[A-Z]{2,} [A-Z]{2,}:/

const settingsOf = (part: PartResult, ofEngine: boolean): Facts =>
  Object.fromEntries(Object.entries(part.settings).filter(([name]) => OF_ENGINE.has(name) === ofEngine))
const ofParts =
  (tell: (part: PartResult, place: number, all: readonly PartResult[]) => readonly string[]) =>
  ({ parts }: Summary): readonly string[] =>
    parts.flatMap(tell)
/** The command without what says nothing about the run. */
const bare = (command: string): string => command.replace(/ --(out|json|repeat)[ =]\S+/g, '')

const TABLE: readonly Row[] = [
  { weight: 'refused', flaws: ({ ended }) => (ended === 'complete' ? [] : [`did not end: ${ended}`]) },
  { weight: 'refused', flaws: ofParts(({ name, audit }) => (audit?.ok === false ? [`${name} is VOID`] : [])) },
  {
    weight: 'refused',
    flaws: ofParts(({ name }, place, all) =>
      all.findIndex(part => part.name === name) === place ? [] : [`has the part ${name} twice`],
    ),
  },
  { weight: 'refused', ofPart: part => settingsOf(part, false) },
  { weight: 'said', ofPart: part => settingsOf(part, true) },
  { weight: 'said', ofRun: ({ tree }) => ({ program: treeText({ ...tree, dirty: false }) }) },
  { weight: 'said', ofRun: ({ command, seed, engine }) => ({ command: bare(command), seed, engine }) },
  {
    weight: 'said',
    ofRun: ({ machine: { cpu, cores, memory_gb, kernel, node, redis } }) => ({
      ...{ cpu, cores, 'memory (GB)': memory_gb, kernel, node, redis },
    }),
  },
  { weight: 'said', flaws: ({ tree }) => (tree.dirty === true ? ['had changes that are not committed'] : []) },
  { weight: 'said', flaws: ({ machine }) => (machine.busy ? ['began on a busy machine'] : []) },
  { weight: 'said', flaws: ofParts(({ name, problems }) => problems.map(problem => `${name}: ${problem}`)) },
  {
    weight: 'said',
    flaws: ofParts(({ name, notes }) => notes.filter(note => LOUD.test(note)).map(note => `${name}: ${note}`)),
  },
]

export interface Remarks {
  /** Why the runs are not compared; empty where they may be. */
  readonly refused: readonly string[]
  /** What colours the ratio. */
  readonly said: readonly string[]
}

/** The values of one fact, each once. */
const valuesOf = (facts: readonly Facts[], name: string): readonly string[] => [
  ...new Set(facts.map(of => String(of[name] ?? 'none'))),
]

function differing(before: readonly Facts[], after: readonly Facts[]): string[] {
  const all = [...before, ...after]
  const names = [...new Set(all.flatMap(facts => Object.keys(facts)))]
  const told = (facts: readonly Facts[], name: string) => valuesOf(facts, name).join(' and ')
  return names
    .filter(name => valuesOf(all, name).length > 1)
    .map(name => `${name} ${told(before, name)} before, ${told(after, name)} after`)
}

const partNames = (runs: readonly Opened[]): Set<string> =>
  new Set(runs.flatMap(({ summary }) => summary.parts.map(part => part.name)))

function rowRemarks({ flaws, ofRun, ofPart }: Row, before: readonly Opened[], after: readonly Opened[]): string[] {
  const remarks: string[] = []
  if (flaws !== undefined) {
    for (const { folder, summary } of new Set([...before, ...after]))
      remarks.push(...flaws(summary).map(flaw => `${folder} ${flaw}`))
  }
  if (ofRun !== undefined)
    remarks.push(
      ...differing(
        before.map(run => ofRun(run.summary)),
        after.map(run => ofRun(run.summary)),
      ),
    )
  if (ofPart === undefined) return remarks
  const late = partNames(after)
  for (const name of partNames(before)) {
    if (!late.has(name)) continue
    const factsOf = (runs: readonly Opened[]) =>
      runs.flatMap(({ summary }) => summary.parts.filter(part => part.name === name).map(ofPart))
    remarks.push(...differing(factsOf(before), factsOf(after)).map(text => `${name}: ${text}`))
  }
  return remarks
}

/** Parts that only one side has, and one run that stands for several. */
function sideRemarks(before: readonly Opened[], after: readonly Opened[]): Remarks {
  const refused: string[] = []
  const said: string[] = []
  for (const runs of [before, after]) {
    for (const [place, { folder, summary }] of runs.entries()) {
      const first = runs.findIndex(run => run.summary.seal === summary.seal)
      if (first < place) refused.push(`${folder} is ${runs[first]!.folder} once more`)
    }
  }
  const [old, late] = [partNames(before), partNames(after)]
  const common = [...old].filter(name => late.has(name))
  if (common.length === 0) refused.push('no part was run before and after')
  for (const name of old) if (!late.has(name)) said.push(`${name} was run before only`)
  for (const name of late) if (!old.has(name)) said.push(`${name} was run after only`)
  return { refused, said }
}

/** Looks at all runs of both sides. */
export function remarksOn(before: readonly Opened[], after: readonly Opened[]): Remarks {
  const { refused, said } = sideRemarks(before, after)
  const of = (weight: Row['weight']) =>
    TABLE.filter(row => row.weight === weight).flatMap(row => rowRemarks(row, before, after))
  return { refused: [...of('refused'), ...refused], said: [...of('said'), ...said] }
}
