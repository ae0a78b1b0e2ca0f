/**
 * Time as an argument. `wallMs` is the calendar (it may jump), `monotonicMs` only grows and is what every deadline
 * and lease is measured by, `after` is the only timer and `soon` the end of this turn of the event loop. main.ts makes the
 * real clock; tests and the simulation pass one that they move by hand, so that no test sleeps.
 */
export interface Clock {
  /** Milliseconds since 1970, UTC. */
  wallMs(): number
  /** Milliseconds since some fixed moment of this process; never goes back. */
  monotonicMs(): number
  /** When that moment was: milliseconds since 1970, with a fraction. Fixed, so that stamps made with it never go back. */
  readonly originMs: number
  /** Calls `run` once after `ms`; the returned function cancels it. */
  after(ms: number, run: () => void): () => void
  /** Calls `run` once when what arrived in this turn of the event loop has been handled. */
  soon(run: () => void): void
}

export const realClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  originMs: performance.timeOrigin,
  after(ms, run) {
    const timer = setTimeout(run, ms)
    return () => clearTimeout(timer)
  },
  soon: run => void setImmediate(run),
}

/** Calls `run` every `ms` after it ended, until the returned function is called; errors go to `failed`. */
export function every(clock: Clock, ms: number, run: () => Promise<void> | void, failed: (cause: unknown) => void) {
  let stopped = false
  let cancel = () => {}
  const turn = async () => {
    try {
      await run()
    } catch (cause) {
      failed(cause)
    }
    if (!stopped) cancel = clock.after(ms, turn)
  }
  cancel = clock.after(ms, turn)
  return () => {
    stopped = true
    cancel()
  }
}

let lastMs = Number.NaN
let lastText = ''

/** RFC 3339 UTC with milliseconds. The last answer is kept: a batch of grants shares one moment. */
export function rfc3339(ms: number): string {
  if (ms !== lastMs) {
    lastMs = ms
    lastText = new Date(ms).toISOString()
  }
  return lastText
}

/** Whether something resolves until a moment, monotonic ms. A failure is false, and is reported where it happens. */
export function resolvesBy(clock: Clock, done: Promise<unknown>, deadline: number): Promise<boolean> {
  return new Promise(resolve => {
    const cancel = clock.after(Math.max(0, deadline - clock.monotonicMs()), () => resolve(false))
    const settle = (ok: boolean) => {
      cancel()
      resolve(ok)
    }
    done.then(
      () => settle(true),
      () => settle(false),
    )
  })
}
