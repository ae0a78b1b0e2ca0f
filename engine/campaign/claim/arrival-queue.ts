/**
 * Strict order. The claims of one strict round in one worker get a stamp when they arrive and are allotted by stamps
 * over all workers: a worker registers its claims and reports its mark (nothing older will come from it), and what every
 * mark has passed is decided (scripts/allot.lua). One call is under way at a time. Alone, a worker's claims are decided
 * in the call that brings them; beside others a claim waits until they have reported their marks: while anybody waits, Redis
 * calls for them, and who waits asks again every millisecond.
 *
 * Within one stamp a keyed hash decides, so the claims of a frame have no order among themselves that could be had by
 * being first in it. A person who asks twice while their first claim waits costs nothing: the second one takes the first
 * one's answer. Rejected: sending decisions as events (they can be lost, a question cannot), and an outbox a worker in Redis
 * (a second truth that has to be kept).
 */
import { hash } from 'node:crypto'
import { Fault, type FaultCode } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'
import { CODES } from '../../base/codes.ts'
import { HOLDER_BYTES_MAX } from '../../base/holder.ts'
import { ANSWER_DEADLINE_MS } from '../../base/limits.ts'
import {
  ALLOT_HEAD_BYTES,
  type Allotment,
  type AllotStore,
  type Decided,
  TIE_BYTES,
} from '../../store/data/allot-store.ts'
import { packVias } from '../../store/data/claim-store.ts'
import type { Ask } from '../round/asks.ts'
import type { DeciderParts } from '../round/round.ts'
import { Backlog, GRACE_MS, stampOf } from './claim-queue.ts'
import type { Queue } from './ordered.ts'
import { askRenewed } from './renewed.ts'

/** Between two calls while a claim waits for another worker's mark. */
const HEARTBEAT_MS = 1

/** A claim, and those of the same holder that came while it waited. */
interface Arrival {
  readonly holder: string
  /** Microseconds since 1970. */
  readonly stamp: number
  readonly tie: Buffer
  readonly pool: number
  /** The scope of the key that asked first. */
  readonly via: string | undefined
  readonly asked: { readonly ask: Ask; readonly place: number }[]
  /** It was sent, so it may have been registered. */
  registered: boolean
}

export interface ArrivalQueueOptions extends Pick<DeciderParts, 'round' | 'events' | 'renew'> {
  readonly store: AllotStore
  readonly clock: Clock
  readonly batchClaims: number
  /** This worker's name among those that claim in the round. */
  readonly worker: string
  /** Keys the ties. */
  readonly secret: string
}

export class ArrivalQueue implements Queue {
  readonly #options: ArrivalQueueOptions
  /** Not sent yet, oldest first. */
  readonly #fresh: Arrival[] = []
  /** Sent and not decided, oldest first. */
  #registered: Arrival[] = []
  /** Part of the call that is under way. */
  #sent: readonly Arrival[] = []
  /** By pool and holder: one who asks in two pools has two claims. */
  readonly #waiting = new Map<string, Arrival>()
  readonly #backlog = new Backlog()
  readonly #scratch = Buffer.allocUnsafe(HOLDER_BYTES_MAX)
  #mark = 0
  #frontier = 0
  #awaited = 0
  #busy = false
  #scheduled = false
  /** A key with a scope asked here: from then on each call is looked through for scopes. */
  #scoped = false
  #heartbeat: (() => void) | undefined

  constructor(options: ArrivalQueueOptions) {
    this.#options = options
  }

  /** Reports the first mark, so that others wait for this worker from now on. */
  join(): Promise<void> {
    return this.#send()
  }

  /** Milliseconds that a claim which comes now would wait for being sent, as far as it is known. */
  get waitMs(): number {
    return this.#backlog.waitMs(this.#fresh.length)
  }

  push(ask: Ask): void {
    if (ask.via !== undefined) this.#scoped = true
    const stamp = Math.max(stampOf(this.#options.clock, ask.askedAt), this.#mark + 1)
    for (let place = 0; place < ask.count; place++) {
      const end = ask.write(this.#scratch, 0, 1)
      const holder = this.#scratch.toString('latin1', this.#scratch[0] === 0xd9 ? 2 : 1, end)
      const waiting = this.#waiting.get(keyOf(ask.pool, holder))
      if (waiting) {
        waiting.asked.push({ ask, place })
        continue
      }
      const tie = this.#tieOf(stamp, holder)
      const arrival = { holder, stamp, tie, pool: ask.pool, via: ask.via, asked: [{ ask, place }], registered: false }
      this.#waiting.set(keyOf(ask.pool, holder), arrival)
      this.#fresh.push(arrival)
    }
    this.#schedule()
  }

  /** Somebody's claim with this stamp waits for this worker's mark. */
  awaited(stamp: number): void {
    if (stamp <= this.#mark) return
    this.#awaited = stamp
    this.#schedule()
  }

  /** Answers what has waited for too long: what was sent with `unknown`, the rest was certainly not executed. */
  sweep(now: number): void {
    const isOver = ({ asked, registered }: Arrival) =>
      now - (asked[0]?.ask.askedAt ?? now) >= ANSWER_DEADLINE_MS + (registered ? GRACE_MS : 0)
    for (const arrival of this.#sent) if (isOver(arrival)) this.#fail(arrival, 'unknown')
    while (this.#registered[0] && isOver(this.#registered[0]))
      this.#fail(this.#registered.shift() as Arrival, 'unknown')
    while (this.#fresh[0] && isOver(this.#fresh[0])) this.#fail(this.#fresh.shift() as Arrival, 'overloaded')
  }

  /** Calls at the end of this turn of the event loop, if there is something to say or to ask. */
  #schedule(): void {
    if (this.#scheduled || this.#busy || !this.#hasNews()) return
    this.#scheduled = true
    this.#options.clock.soon(() => {
      this.#scheduled = false
      if (!this.#busy && this.#hasNews()) void this.#send()
    })
  }

  #hasNews(): boolean {
    const [first] = this.#registered
    return (
      this.#fresh.length > 0 || this.#awaited > this.#mark || (first !== undefined && first.stamp <= this.#frontier)
    )
  }

  async #send(): Promise<void> {
    const { store, round, events, worker, clock, batchClaims, renew } = this.#options
    const { view } = round
    this.#heartbeat?.()
    this.#busy = true
    const sent = this.#take(batchClaims)
    const again = new Set(sent.filter(({ registered }) => registered))
    const claims = Buffer.concat(sent.map(bytesOf))
    const vias = this.#scoped ? packVias(sent.map(({ via }) => [via, 1])) : undefined
    for (const arrival of sent) arrival.registered = true
    this.#sent = sent
    const sentAt = clock.monotonicMs()
    this.#backlog.took(sent.length, this.#fresh.length, sentAt)
    const next = this.#fresh[0]
    this.#mark = Math.max(this.#mark, next ? next.stamp - 1 : Math.max(stampOf(clock, sentAt), this.#awaited))
    try {
      const epochs = { epoch: () => view.notice.epoch, renew }
      const own = { worker, mark: this.#mark }
      const allotment = await askRenewed(epochs, epoch => store.allot(view.id, epoch, own, claims, vias))
      if (allotment.notice.epoch !== view.notice.epoch)
        throw new Fault('unknown', 'it was decided in an epoch that a fail-over ended')
      this.#settle(sent, allotment, sentAt)
    } catch (fault) {
      events.failed(fault, view)
      const code = fault instanceof Fault ? fault.code : 'unknown'
      for (const arrival of sent) this.#fail(arrival, again.has(arrival) ? 'unknown' : code)
    }
    this.#sent = []
    this.#busy = false
    round.finish()
    this.#schedule()
    if (this.#registered.length > 0 && !this.#scheduled) this.#heartbeat = clock.after(HEARTBEAT_MS, () => this.#beat())
  }

  #beat(): void {
    this.#heartbeat = undefined
    if (!this.#busy) void this.#send()
  }

  /** What the next call carries: those that must be decided by now, then the oldest that are new. */
  #take(most: number): Arrival[] {
    const after = this.#registered.findIndex(({ stamp }) => stamp > this.#frontier)
    const due = this.#registered.splice(0, Math.min(most, after < 0 ? this.#registered.length : after))
    return [...due, ...this.#fresh.splice(0, most - due.length)]
  }

  #settle(sent: readonly Arrival[], allotment: Allotment, sentAt: number): void {
    this.#frontier = allotment.frontier
    this.#learn(sent, allotment, sentAt)
    const open = new Set(sent)
    for (const decided of allotment.decided) {
      const arrival = sent[decided.index] as Arrival
      open.delete(arrival)
      this.#forget(arrival)
      this.#answer(arrival, decided)
    }
    // What was sent is newer than whatever waited before it, but for those that had to be decided and still are not.
    this.#registered = [...this.#registered, ...open].sort((a, b) => a.stamp - b.stamp)
  }

  /** What an allotment shows of the round, before anybody is answered. */
  #learn(sent: readonly Arrival[], { notice, decided }: Allotment, sentAt: number): void {
    const { round, events, clock } = this.#options
    const { view } = round
    for (const { index, sequence, pool } of decided)
      if (sequence > 0) view.holders.addText((sent[index] as Arrival).holder, sequence, pool)
    view.take(notice, sentAt)
    const outcomes = Uint8Array.from(decided, ({ outcome }) => outcome)
    events.decided(view, notice, outcomes, (clock.monotonicMs() - sentAt) / 1000)
  }

  /** The first who asked gets the answer, the others what a repeat gets. */
  #answer({ asked, stamp, pool }: Arrival, { outcome, sequence, pool: own, at }: Decided): void {
    const { round, events } = this.#options
    const holds = sequence > 0
    const repeat = holds ? CODES.replayed.number : outcome
    for (const [i, { ask, place }] of asked.entries()) {
      const answer = [i > 0 ? repeat : outcome, sequence, holds ? own : pool] as const
      events.arrived?.(round.view.id, stamp, ...answer)
      ask.settle(place, ...answer, at)
    }
  }

  /** Answers all who asked; what comes for the claim later is for nobody. */
  #fail(arrival: Arrival, code: FaultCode): void {
    this.#forget(arrival)
    const asked = arrival.asked.splice(0)
    const outcome = CODES[code].number
    this.#options.events.answered(outcome, asked.length)
    for (const { ask, place } of asked) ask.settle(place, outcome, 0, arrival.pool, 0)
  }

  #forget(arrival: Arrival): void {
    const key = keyOf(arrival.pool, arrival.holder)
    if (this.#waiting.get(key) === arrival) this.#waiting.delete(key)
  }

  #tieOf(stamp: number, holder: string): Buffer {
    const { secret, worker } = this.#options
    return hash('sha256', `${secret} ${worker} ${stamp} ${holder}`, 'buffer').subarray(0, TIE_BYTES)
  }
}

const keyOf = (pool: number, holder: string) => `${pool} ${holder}`

function bytesOf({ stamp, registered, tie, pool, holder }: Arrival): Buffer {
  const bytes = Buffer.allocUnsafe(ALLOT_HEAD_BYTES + holder.length)
  bytes.writeDoubleBE(stamp, 0)
  bytes[8] = registered ? 1 : 0
  bytes.set(tie, 9)
  bytes[9 + TIE_BYTES] = pool
  bytes[10 + TIE_BYTES] = holder.length
  bytes.write(holder, ALLOT_HEAD_BYTES, 'latin1')
  return bytes
}
