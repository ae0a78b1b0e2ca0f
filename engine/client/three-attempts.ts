/**
 * Asking for somebody who waits at a terminal, or for a run that is measured elsewhere: one answer as it is, and three attempts at
 * once where a connection broke off. For programs of Node; the package has it not.
 *
 * The engine closes a connection on which nothing comes for ten seconds, and one that was kept may close just when it is used
 * again, above all behind a computation that let no timer run. Every request here may be asked twice: a read, a claim, and a
 * change under its key. An engine that refuses connections is not there, which is said at once. Rejected: the patience of a platform
 * (patience.ts). Whoever typed a command wants to see `overloaded` and decide.
 */
import type { Answer, Asked, Transport } from './transport.ts'

const ATTEMPTS = 3
/** No engine thinks about one request for so long. */
const ANSWER_MS = 300_000
/** What the system or Node says of a connection that ended while it was used. */
const BROKEN = ['ECONNRESET', 'EPIPE', 'ECONNABORTED', 'UND_ERR_SOCKET']

/** Whether an error, or what it was caused by, is a connection that ended while it was used. */
export function isBrokenOff(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return BROKEN.includes(String((error as { code?: unknown }).code)) || isBrokenOff(error.cause)
}

/** Why no answer came, without the words in which fetch wraps it. */
export const reasonOf = ({ cause }: Pick<Answer, 'cause'>): unknown =>
  cause instanceof TypeError && cause.cause !== undefined ? cause.cause : cause

/** The answer, whatever its status; 0 with its cause where none came. */
export async function askThrice(transport: Transport, asked: Asked): Promise<Answer> {
  for (let left = ATTEMPTS - 1; ; left--) {
    const answer = await transport.attempt(asked, ANSWER_MS)
    if (left === 0 || !isBrokenOff(answer.cause)) return answer
  }
}
