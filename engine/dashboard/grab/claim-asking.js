/**
 * Asks for a claim until the answer is certain. This is the part of the page that a platform copies first.
 *
 * A claim is named by round and user, so asking again is always safe and always the same claim: after no answer, after
 * `unknown`, after a node that was busy or fenced. Between two attempts it waits as long as the engine says, else longer
 * each time, and always a random part more, so that a crowd does not come back as one. A refusal that is certain ends it at once.
 * Rejected: a queue of our own in front of the engine, and stopping at the first fault, which makes people reload.
 */
import { ask } from '../base/engine-api.js'

/** What does not say yet how it ended, or says that it may end otherwise in a moment. */
const UNCERTAIN = ['unknown', 'overloaded', 'fenced', 'unavailable', 'rate_limited', 'internal']
const ATTEMPTS = 8
const WAIT_MS = 250
const WAIT_MS_MAX = 5000

/** Milliseconds to wait before an attempt (2, 3, …); `wanted` is the engine's own wish. */
export function waitBefore(attempt, wanted, random = Math.random()) {
  const least = wanted === undefined ? Math.min(WAIT_MS_MAX, WAIT_MS * 2 ** (attempt - 2)) : wanted
  return Math.round(least * (1 + random / 2))
}

/**
 * `asking` receives each wait: { attempt, code, waitMs }. Gives the last answer, { status, body }.
 * `request`: { roundId, credential, body }, where the body may have user_id and pool.
 */
export async function askForClaim({ roundId, credential, body }, asking) {
  const path = `/v1/rounds/${encodeURIComponent(roundId)}/claims`
  for (let attempt = 1; ; attempt++) {
    const answer = await ask('POST', path, { key: credential, body })
    const { code, retry_after_ms: wanted } = answer.body
    if (attempt === ATTEMPTS || !UNCERTAIN.includes(code)) return answer
    const waitMs = waitBefore(attempt + 1, wanted)
    asking({ attempt: attempt + 1, code, waitMs })
    await new Promise(done => setTimeout(done, waitMs))
  }
}
