/**
 * The stage that a scenario plays on: a running engine, an operator's client, the options, and where to put things.
 *
 * Scenarios get it as their only argument and own nothing of it; run.ts starts and stops the engine around them, which
 * is why a scenario that throws needs no cleaning up of its own.
 */

import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { Keeper } from '../measure/kept-files.ts'
import type { RunningEngine } from '../stage/engine-process.ts'
import type { LiveLine } from '../stage/live-line.ts'
import type { Operator } from '../stage/operator.ts'
import type { Options } from '../stage/options.ts'

export interface Stage {
  readonly engine: RunningEngine
  readonly operator: Operator
  readonly options: Options
  readonly live: LiveLine
  /** For files that live as long as the run. */
  readonly scratch: string
  /** Aborted by an interrupt: end the load, report what there is. */
  readonly interrupted: AbortSignal
}

/** Where the record of one part is kept, unless the options say that none is. */
export async function openKeeper({ options, scratch }: Pick<Stage, 'options' | 'scratch'>): Promise<Keeper> {
  return new Keeper(options.record === 'none' ? undefined : await mkdtemp(join(scratch, 'record-')))
}
