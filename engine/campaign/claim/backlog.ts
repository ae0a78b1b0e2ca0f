/**
 * How long a claim that comes now would wait in a queue, by the pace of the last second in which the queue never ran
 * empty. Until there was such a second it is 0: a burst is queued and served, however large (limits bound it); only a
 * queue that goes on growing is kept apart from a burst, and then what could not be answered in time is refused at once.
 *
 * Two numbers a batch, nothing a claim. Rejected: the age of the oldest claim, which is small while a queue grows and
 * large when it is too late; a limit of the length, which is right for one speed of Redis only.
 */
const WINDOW_MS = 1000

export class Backlog {
  #from: number | undefined
  #taken = 0
  /** Claims a millisecond. */
  #pace: number | undefined

  /** A batch left the queue, and so many claims stayed; `now` in monotonic milliseconds. */
  took(claims: number, left: number, now: number): void {
    if (left === 0) {
      this.#from = undefined
      this.#pace = undefined
      return
    }
    if (this.#from === undefined) {
      this.#from = now
      this.#taken = 0
      return
    }
    this.#taken += claims
    const ms = now - this.#from
    if (ms < WINDOW_MS) return
    this.#pace = this.#taken / ms
    this.#from = now
    this.#taken = 0
  }

  /** Milliseconds that a claim behind `waiting` others would wait; 0 while that is not known. */
  waitMs(waiting: number): number {
    return this.#pace === undefined ? 0 : waiting / this.#pace
  }
}
