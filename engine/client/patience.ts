/**
 * Asking again: which answers pass by themselves, how long to wait for the next attempt, and when to stop.
 *
 * The rule is the outcome table's, by status: what is not 429 and below 500 is an answer, everything else passes. A refusal is
 * certainly not executed when the engine itself says 429 or 503; an answer that is missing, a proxy's 502 and the engine's own
 * `unknown` leave a doubt, which only a certain answer takes away; what was not sent at all is not asked again. Who is in doubt asks until the deadline; who is not
 * stops when the engine's own wait passes it. Waits have a random part, so that a crowd does not come back as one.
 * Rejected: waiting for a round to open or to resume. That is a state of the round and no fault, and the stream shows its end.
 */
import { type Answer, type Asked, TIMER_MS_MAX, type Transport } from './transport.ts'

export interface Patience {
  /** Ends the waiting: the promise rejects with the signal's reason, and what was asked may have been executed. */
  readonly signal?: AbortSignal | undefined
  /** For how long to begin attempts, milliseconds; 30,000 unless given. One that is under way then is waited for. */
  readonly deadlineMs?: number | undefined
  /** For how long to wait for one answer, milliseconds; 10,000 unless given. */
  readonly attemptMs?: number | undefined
  /** Called before each wait. */
  readonly waiting?: ((wait: Wait) => void) | undefined
}

export interface Wait {
  /** The attempt that comes: 2, 3, … */
  readonly attempt: number
  readonly waitMs: number
  /** What was answered. */
  readonly answer: Answer
}

/** What came at last. */
export interface Settled {
  readonly answer: Answer
  /** An earlier attempt, or this one, may have been executed. */
  readonly inDoubt: boolean
}

export const DEADLINE_MS = 30_000
const ATTEMPT_MS = 10_000
const WAIT_MS = 250
const WAIT_MS_MAX = 5000
/** Nobody is asked again sooner, whatever anybody says. */
export const LEAST_MS = 100

/** Whether asking again may end otherwise without anything having to change. */
export const passes = ({ status, unsent }: Pick<Answer, 'status' | 'unsent'>): boolean =>
  !unsent && (status === 0 || status === 429 || status >= 500)

/** What the engine says with 503 before it did anything. */
export const BUSY = ['overloaded', 'fenced', 'unavailable', 'wrong_day']

/** Whether it may have been executed. */
export const isDoubtful = ({ status, code }: Pick<Answer, 'status' | 'code'>): boolean =>
  passes({ status }) && status !== 429 && !(status === 503 && BUSY.includes(code as string))

/** Milliseconds that an answer asks to wait, to the millisecond where it says so; what is over already is no wish. */
export function wantedWait({ body, headers }: Pick<Answer, 'body' | 'headers'>): number | undefined {
  const { retry_after_ms: ms } = body
  const header = headers.get('retry-after') || 'none'
  const wait = typeof ms === 'number' ? ms : Number(header) * 1000
  const until = Number.isNaN(wait) ? Date.parse(header) - Date.now() : wait
  return until > 0 ? until : undefined
}

/** Milliseconds to wait before an attempt (2, 3, …); `wanted` is the engine's own wish. */
export function waitBefore(attempt: number, wanted: number | undefined, random = Math.random()): number {
  const least = wanted ?? Math.min(WAIT_MS_MAX, WAIT_MS * 2 ** (attempt - 2))
  return Math.round(Math.max(LEAST_MS, least) * (1 + random / 2))
}

/** Resolves after so many milliseconds, or rejects with the signal's reason. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(
      () => {
        signal?.removeEventListener('abort', end)
        resolve()
      },
      Math.min(ms, TIMER_MS_MAX),
    )
    if (signal?.aborted) end()
    else signal?.addEventListener('abort', end)
  })
}

/** Asks until an answer is certain or the deadline is there. */
export async function insist(transport: Transport, asked: Asked, patience: Patience = {}): Promise<Settled> {
  const { signal, deadlineMs = DEADLINE_MS, attemptMs = ATTEMPT_MS, waiting } = patience
  const end = performance.now() + deadlineMs
  let inDoubt = false
  for (let attempt = 2; ; attempt++) {
    const answer = await transport.attempt(asked, attemptMs, signal)
    if (!passes(answer)) return { answer, inDoubt }
    inDoubt ||= isDoubtful(answer)
    const left = end - performance.now()
    let waitMs = waitBefore(attempt, wantedWait(answer))
    if (waitMs >= left) {
      if (!inDoubt || left < LEAST_MS) return { answer, inDoubt }
      waitMs = left / 2
    }
    waiting?.({ attempt, waitMs, answer })
    await pause(waitMs, signal)
  }
}
