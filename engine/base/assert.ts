/**
 * The two ways out that are not outcomes. A `Fault` is a broken world (Redis gone, a time-out): thrown with a code
 * of the table, caught once, at the server's edge, and turned into an answer. A bug is a broken program: `assert`
 * throws, nothing catches it on purpose, and the process ends, because state that contradicts its own rules must
 * not go on granting.
 */
import type { Code } from './codes.ts'

export type FaultCode = Extract<Code, 'unknown' | 'unavailable' | 'overloaded' | 'fenced'>

export class Fault extends Error {
  readonly code: FaultCode

  constructor(code: FaultCode, detail: string, cause?: unknown) {
    super(detail, cause === undefined ? undefined : { cause })
    this.name = 'Fault'
    this.code = code
  }
}

/** An answer that refuses for a reason the caller can act on: thrown by rules that sit deep, caught at the edge. */
export class Refusal extends Error {
  readonly code: Code
  readonly extra: Readonly<Record<string, unknown>>

  constructor(code: Code, detail: string, extra: Readonly<Record<string, unknown>> = {}) {
    super(detail)
    this.name = 'Refusal'
    this.code = code
    this.extra = extra
  }
}

export class Bug extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'Bug'
  }
}

/** Ends the work when a rule of the program itself does not hold. */
export function assert(holds: unknown, message: string): asserts holds {
  if (!holds) throw new Bug(message)
}
