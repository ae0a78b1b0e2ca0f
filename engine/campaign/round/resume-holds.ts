/**
 * Ends the holds of rounds: a change that lets grants resume keeps a round shut until every worker's right to refuse without
 * asking has lapsed, LEASE_MS after the change. Nobody can tell that by Redis's clock, which may jump; so every worker
 * that receives a hold, in a reply or an event, waits for that long on its own monotonic clock and then says so
 * (scripts/hold-end.lua). The hold was there before it was received, so its lease is over then; the first to say it is
 * enough, and whoever comes later changes nothing.
 *
 * A timer a hold and worker, nothing a claim. Rejected: an end by Redis's clock (it stood still behind one that was set back,
 * and passed too early on one that jumped ahead), and the word of the worker alone that made the change (it may die).
 */
import type { Clock } from '../../base/clock.ts'
import type { Notice } from '../../store/data/notice.ts'
import type { RoundStore } from '../../store/data/round-store.ts'

/** Timers may be early by a millisecond, and moments are read in whole ones. */
const MARGIN_MS = 2

export interface ResumeHoldsOptions {
  readonly rounds: Pick<RoundStore, 'endHold' | 'leaseMs'>
  readonly clock: Clock
  /** Receives what ending a hold brought. */
  readonly ended: (roundId: string, notice: Notice) => void
  readonly failed: (fault: unknown) => void
}

export class ResumeHolds {
  readonly #options: ResumeHoldsOptions
  readonly #ending = new Map<string, { readonly name: string; readonly done: Promise<void> }>()

  constructor(options: ResumeHoldsOptions) {
    this.#options = options
  }

  /** Takes in what a notice says of a hold; cheap where it says nothing. */
  received(roundId: string, { epoch, hold }: Notice): void {
    // A hold that outlives its epoch, in a history that lost only its end, is ended again under the next one.
    const name = `${epoch} ${hold}`
    if (hold === undefined || this.#ending.get(roundId)?.name === name) return
    const done = this.#end(roundId, epoch, hold)
    this.#ending.set(roundId, { name, done })
    const forget = () => {
      if (this.#ending.get(roundId)?.name === name) this.#ending.delete(roundId)
    }
    // Where it failed, the next notice that has the hold begins it again.
    done.then(forget, (fault: unknown) => {
      forget()
      this.#options.failed(fault)
    })
  }

  /** Resolves when the hold that was received last is over; throws the Fault that kept it. */
  over(roundId: string): Promise<void> {
    return this.#ending.get(roundId)?.done ?? Promise.resolve()
  }

  /** Says so whatever this worker believes by then: a deposed primary may have sent it a later version without a hold. */
  async #end(roundId: string, epoch: string, hold: string): Promise<void> {
    const { rounds, clock, ended } = this.#options
    await new Promise<void>(resolve => clock.after(rounds.leaseMs + MARGIN_MS, resolve))
    ended(roundId, await rounds.endHold(roundId, epoch, hold))
  }
}
