/**
 * What fails by the clock while Redis is away or short of a replica fails at each tick, for one reason that the health reports
 * with what to do. So a fault is logged once until the health changes, as a warning and without its stack, which is always
 * the same; anything else is a bug and is logged with it, each time.
 */
import { Fault } from '../base/assert.ts'
import type { Log } from './log.ts'

/** More kinds of faults between two changes are not kept apart. */
const KEPT = 100

export class FaultLog {
  readonly #log: Pick<Log, 'warn'>
  readonly #reported = new Set<string>()

  constructor(log: Pick<Log, 'warn'>) {
    this.#log = log
  }

  /** Logs the failures of one task, under its name. */
  reporter(task: string): (cause: unknown) => void {
    return cause => {
      if (!(cause instanceof Fault)) return this.#log.warn({ err: cause }, task)
      const line = `${task}: ${cause.message}`
      if (this.#reported.has(line) || this.#reported.size >= KEPT) return
      this.#reported.add(line)
      this.#log.warn({ cause: cause.message }, task)
    }
  }

  /** The health is another one: what still fails is logged again. */
  changed(): void {
    this.#reported.clear()
  }
}
