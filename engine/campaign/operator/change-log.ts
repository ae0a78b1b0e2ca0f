/**
 * Who did what: each change that an operator asks for is written down before it is made (`asked`) and once more with
 * its end, so that not even a change whose answer was lost is without an entry.
 *
 * Writing down never stops a change: whoever pauses a release must not be refused because the log is in trouble. What
 * could not be written goes to the engine's own log as an error. Rejected: writing inside each change's script; the
 * scripts lie in many slots, and a log a slot has no order.
 */
import { signerIn } from '../../auth/callers.ts'
import { rfc3339 } from '../../base/clock.ts'
import { newId, type Random } from '../../base/random.ts'
import type { AuditFields, AuditStore } from '../../store/data/audit-store.ts'

/** A longer body is kept by its length: the log is about who did what, and a campaign keeps its own rules. */
const BODY_CHARS_MAX = 4096

export interface OperatorChange extends Pick<AuditFields, 'who' | 'action' | 'target'> {
  readonly body: unknown
}

/** Writes down how it ended: the status of an answer, or the code of a refusal. */
export type Ending = (outcome: string) => Promise<void>

export interface ChangeLogOptions {
  readonly store: AuditStore
  readonly random: Random
  /** Gets what could not be written, and why. */
  readonly failed: (cause: unknown, entry: AuditFields) => void
}

function bodyOf(body: unknown): string {
  const json = body === undefined ? '' : JSON.stringify(body)
  return json.length > BODY_CHARS_MAX ? JSON.stringify({ omitted_chars: json.length }) : json
}

export class ChangeLog {
  readonly #options: ChangeLogOptions

  constructor(options: ChangeLogOptions) {
    this.#options = options
  }

  /** Writes down that this is asked; what it gives writes down the end. */
  async begin({ who, action, target, body }: OperatorChange): Promise<Ending> {
    const request = newId(this.#options.random, 'req')
    const words = { who, action, target, body: bodyOf(body) }
    await this.#append({ ...words, request, outcome: 'asked' })
    return outcome => this.#append({ ...words, request: `${request} end`, outcome })
  }

  /** The entries behind a number, oldest first, as the API shows them. */
  async *rows(after: number) {
    for await (const { number, at, request, who, ...rest } of this.#options.store.entries()) {
      if (Number(number) <= after) continue
      const { via } = signerIn(who)
      const by = { request, who, ...(via === undefined ? {} : { via }) }
      yield { number: Number(number), at: rfc3339(Number(at)), ...by, ...rest }
    }
  }

  async #append(words: AuditFields): Promise<void> {
    try {
      await this.#options.store.append(words)
    } catch (cause) {
      this.#options.failed(cause, words)
    }
  }
}
