/**
 * What follows a change of an operator that was made: a hold that has to end, the index of rounds, money that is counted. Whoever
 * makes changes waits for it here.
 *
 * Where it fails the change is not undone. So no answer may say that nothing was done, which the codes of its faults
 * would say (`unavailable`, `fenced`); the answer is `unknown`: look, and ask again. Rejected: answering as if all was well.
 */
import { Fault } from '../../base/assert.ts'

/** Waits for what follows; a Fault becomes `unknown`, everything else stays what it is. */
export const behindChange = <T>(rest: Promise<T>): Promise<T> =>
  rest.catch((cause: unknown) => {
    throw cause instanceof Fault ? new Fault('unknown', `the change was made; ${cause.message}`, cause) : cause
  })
