/**
 * Virtual time and the one source of chance of a simulated world: nothing in it waits, and nothing in it is by accident.
 *
 * Events run in the order of their times, those of one time in the order in which they were made. Between two events
 * every promise that can go on does so: a tick that is asked for inside a microtask runs when no microtask is left, so
 * the world needs no turn of the real event loop and costs a third of a microsecond a step. Every so many steps it
 * lets the process breathe, for signals and for what is printed.
 *
 * Rejected: fake timers of the test runner, which patch globals and know nothing of several clocks; awaiting a fixed
 * number of promises between events, which silently breaks when the engine awaits once more.
 */
import type { Random } from '../../engine/base/random.ts'

interface Event {
  readonly at: number
  readonly serial: number
  run: (() => void) | undefined
}

/** How many steps pass before the process may look at signals and print. */
const STEPS_A_BREATH = 20_000

const isBefore = (a: Event, b: Event): boolean => a.at < b.at || (a.at === b.at && a.serial < b.serial)

export class Timeline {
  /** Milliseconds since the world began, with fractions. */
  now = 0
  steps = 0
  readonly #heap: Event[] = []
  #serial = 0

  /** Calls `run` after `ms`; the returned function takes it back. */
  after(ms: number, run: () => void): () => void {
    return this.at(this.now + ms, run)
  }

  /** Calls `run` at a moment: what has to stay in order names the same one, since sums of fractions differ. */
  at(ms: number, run: () => void): () => void {
    const event: Event = { at: Math.max(this.now, ms), serial: this.#serial++, run }
    this.#push(event)
    return () => {
      event.run = undefined
    }
  }

  /** Runs what happens until `done` says so after a step, or until `untilMs`. Throws what an event throws. */
  run(done: () => boolean, untilMs = Number.POSITIVE_INFINITY): Promise<void> {
    return new Promise((resolve, reject) => {
      const step = () => {
        try {
          if (done()) return resolve()
          const event = this.#take()
          if (!event) throw new Error('the world has nothing left to do and is not done')
          if (event.at > untilMs) throw new Error(`the world is not done after ${untilMs} ms`)
          this.now = event.at
          this.steps++
          event.run?.()
        } catch (cause) {
          return reject(cause)
        }
        if (this.steps % STEPS_A_BREATH === 0) setImmediate(step)
        else queueMicrotask(settled)
      }
      const settled = () => process.nextTick(step)
      step()
    })
  }

  /** The next event that was not taken back. */
  #take(): Event | undefined {
    for (;;) {
      const first = this.#heap[0]
      if (!first) return undefined
      const last = this.#heap.pop() as Event
      if (last !== first) this.#sink(last)
      if (first.run) return first
    }
  }

  #push(event: Event): void {
    const heap = this.#heap
    let place = heap.length
    while (place > 0) {
      const parent = (place - 1) >> 1
      const above = heap[parent] as Event
      if (isBefore(above, event)) break
      heap[place] = above
      place = parent
    }
    heap[place] = event
  }

  #sink(event: Event): void {
    const heap = this.#heap
    let place = 0
    for (;;) {
      let child = 2 * place + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Event, heap[child] as Event)) child++
      const below = heap[child] as Event
      if (isBefore(event, below)) break
      heap[place] = below
      place = child
    }
    heap[place] = event
  }
}

/** Chance of one seed: mulberry32, the same on every machine. It is also the engine's `Random`. */
export class Chance implements Random {
  #state: number

  constructor(seed: number) {
    this.#state = Math.imul(seed ^ 0x5f3759df, 0x9e3779b1) | 0
  }

  float(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length)
    for (let i = 0; i < length; i++) bytes[i] = this.float() * 256
    return bytes
  }

  between(from: number, to: number): number {
    return from + this.float() * (to - from)
  }

  /** An integer in [0, bound). */
  below(bound: number): number {
    return Math.floor(this.float() * bound)
  }

  happens(share: number): boolean {
    return this.float() < share
  }

  pick<T>(rows: readonly T[]): T {
    return rows[this.below(rows.length)] as T
  }

  /** A span around `ms` with a long tail: mostly short, now and then many times as long. */
  span(ms: number): number {
    return -Math.log(1 - this.float()) * ms
  }
}
