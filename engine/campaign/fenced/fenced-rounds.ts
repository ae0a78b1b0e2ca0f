/**
 * The level fenced in one worker: a FencedRound for each round that it serves, a look at all of them now and then and
 * after each new connection, and the journals that an earlier life of this worker left behind.
 *
 * An engine that stands idle looks too: a recovery waits for every engine of a round, so one that did not notice would make
 * it set sequences aside.
 */
import { type Clock, every } from '../../base/clock.ts'
import { FENCE_LOOK_MS } from '../../base/limits.ts'
import type { Fence } from '../round/fence.ts'
import { type FencedOptions, FencedRound } from './fenced-round.ts'

export class FencedRounds implements Fence {
  readonly #options: FencedOptions
  readonly #rounds = new Map<string, FencedRound>()
  readonly #stop: () => void

  constructor(options: FencedOptions) {
    this.#options = options
    const clock: Clock = options.clock
    this.#stop = every(clock, FENCE_LOOK_MS, () => this.look(false), options.failed)
  }

  /** The way of a round's claims to Redis; the first time it begins to join the round. */
  of(roundId: string): FencedRound {
    const known = this.#rounds.get(roundId)
    if (known) return known
    const round = new FencedRound(roundId, this.#options)
    this.#rounds.set(roundId, round)
    void round.recover()
    return round
  }

  /** Looks at every round, or at those that are not over; what fails is reported and tried again. */
  async look(all = true): Promise<void> {
    const rounds = [...this.#rounds.values()].filter(round => all || !round.settled)
    await Promise.all(rounds.map(round => round.look().catch(this.#options.failed)))
  }

  /** Loads the rounds that have a journal, so that what was lost meanwhile is given back. */
  async begin(load: (roundId: string) => Promise<unknown>): Promise<void> {
    for (const roundId of await this.#options.journal.rounds()) await load(roundId).catch(this.#options.failed)
  }

  /** Ends in order; nothing may be asked any more. */
  async finish(): Promise<void> {
    await Promise.all([...this.#rounds.values()].map(round => round.signOff()))
    await this.close()
  }

  async close(): Promise<void> {
    this.#stop()
    for (const round of this.#rounds.values()) round.close()
    await this.#options.journal.close()
  }
}
