/**
 * The feed: the plan's taps and the taps that answers cause, merged by time.
 *
 * Who was refused taps again a little later. Those taps wait in a wheel of 1,024 buckets of 4 ms, each an intrusive
 * linked list over typed arrays, so that inserting and taking cost a few nanoseconds and allocate nothing. A tap in
 * the wheel is planned for the end of its bucket: it is never late by the wheel's own coarseness.
 *
 * The feed has its own time. At the pace `real` the caller asks only for what is due by the clock; at `max` it asks
 * for whatever is next, and the feed's time is that of the last tap taken. A binary heap of objects was rejected: at
 * 300,000 retries a second it was the most expensive part of the generator.
 */

import type { Plan } from '../people/arrival.ts'
import { KIND } from '../people/arrival.ts'

const BUCKET_US = 4000
const BUCKETS = 1024

function grown<T extends Int32Array | Uint32Array | Uint8Array>(old: T, make: (length: number) => T): T {
  const larger = make(old.length * 2)
  larger.set(old)
  return larger
}

export class Feed {
  readonly #plan: Plan
  #cursor = 0
  readonly #heads = new Int32Array(BUCKETS).fill(-1)
  #bucket = 0
  /** The feed's time: of the last tap taken, or up to which taps were asked for. */
  #presentUs: number
  #waiting = 0
  #free = -1
  #used = 0
  #users = new Uint32Array(1024)
  #attempts = new Uint8Array(1024)
  #links = new Int32Array(1024)

  /** The tap that `next` took. */
  user = 0
  plannedUs = 0
  attempt = 0
  kind = 0

  constructor(plan: Plan) {
    this.#plan = plan
    this.plannedUs = plan.timeUs[0] ?? 0
    this.#presentUs = this.plannedUs
  }

  get exhausted(): boolean {
    return this.#waiting === 0 && this.#cursor === this.#plan.user.length
  }

  /** Taps not yet taken, those in the wheel included. */
  get left(): number {
    return this.#waiting + this.#plan.user.length - this.#cursor
  }

  /** When the plan has its next tap; taps in the wheel may be earlier by their bucket. */
  get dueUs(): number {
    const planned = this.#plan.timeUs[this.#cursor] ?? Number.POSITIVE_INFINITY
    return this.#waiting === 0 ? planned : Math.min(planned, (this.#bucket + 1) * BUCKET_US)
  }

  /** Takes the next tap that is planned at or before `limitUs` into the fields; false when there is none. */
  next(limitUs: number): boolean {
    const planned = this.#plan.timeUs[this.#cursor] ?? Number.POSITIVE_INFINITY
    if (Number.isFinite(limitUs)) this.#presentUs = Math.max(this.#presentUs, limitUs)
    if (this.#waiting > 0 && this.#turnTo(Math.min(limitUs, planned))) return this.#takeWaiting()
    if (planned > limitUs || planned === Number.POSITIVE_INFINITY) return false
    this.user = this.#plan.user[this.#cursor]!
    this.kind = this.#plan.kind[this.#cursor++]!
    this.plannedUs = planned
    this.#presentUs = Math.max(this.#presentUs, planned)
    this.attempt = 0
    return true
  }

  /** Puts a tap into the wheel; it comes out in the bucket after `atUs`. */
  again(user: number, attempt: number, atUs: number): void {
    const wanted = Math.floor(atUs / BUCKET_US)
    if (this.#waiting === 0) this.#bucket = Math.floor(this.#presentUs / BUCKET_US)
    const bucket = Math.min(Math.max(wanted, this.#bucket), this.#bucket + BUCKETS - 1)
    const entry = this.#allocate()
    const head = ((bucket % BUCKETS) + BUCKETS) % BUCKETS
    this.#users[entry] = user
    this.#attempts[entry] = attempt
    this.#links[entry] = this.#heads[head]!
    this.#heads[head] = entry
    this.#waiting++
  }

  #allocate(): number {
    if (this.#free >= 0) {
      const entry = this.#free
      this.#free = this.#links[entry]!
      return entry
    }
    if (this.#used === this.#users.length) {
      this.#users = grown(this.#users, length => new Uint32Array(length))
      this.#attempts = grown(this.#attempts, length => new Uint8Array(length))
      this.#links = grown(this.#links, length => new Int32Array(length))
    }
    return this.#used++
  }

  /** Turns the wheel to the first bucket with a tap that ends at or before `limitUs`. */
  #turnTo(limitUs: number): boolean {
    while ((this.#bucket + 1) * BUCKET_US <= limitUs) {
      if ((this.#heads[((this.#bucket % BUCKETS) + BUCKETS) % BUCKETS] as number) >= 0) return true
      this.#bucket++
    }
    return false
  }

  #takeWaiting(): boolean {
    const head = ((this.#bucket % BUCKETS) + BUCKETS) % BUCKETS
    const entry = this.#heads[head]!
    this.#heads[head] = this.#links[entry]!
    this.#links[entry] = this.#free
    this.#free = entry
    this.#waiting--
    this.user = this.#users[entry]!
    this.attempt = this.#attempts[entry]!
    this.kind = KIND.retry
    this.plannedUs = (this.#bucket + 1) * BUCKET_US
    this.#presentUs = Math.max(this.#presentUs, this.plannedUs)
    return true
  }
}
