/**
 * The rounds that a worker has read, by id and by number, in the order in which they were read. It is the first look-up of each claim.
 * Of those that are over only the last are kept, so that a worker which has served ten thousand rounds costs what one with a hundred
 * does.
 */
import { CLOSED_ROUNDS_KEPT } from '../../base/limits.ts'
import type { Round } from './round.ts'

export class LoadedRounds {
  readonly #byId = new Map<string, Round>()
  readonly #byNumber = new Map<number, Round>()

  add(round: Round): void {
    const { id, config } = round.view
    this.#byId.set(id, round)
    this.#byNumber.set(config.number, round)
  }

  get(id: string): Round | undefined {
    return this.#byId.get(id)
  }

  ofNumber(number: number): Round | undefined {
    return this.#byNumber.get(number)
  }

  values(): Iterable<Round> {
    return this.#byId.values()
  }

  delete(round: Round): void {
    this.forgetNumber(round)
    this.#byId.delete(round.view.id)
  }

  /** Its number may be another round's by now. */
  forgetNumber(round: Round): void {
    const { number } = round.view.config
    if (this.#byNumber.get(number) === round) this.#byNumber.delete(number)
  }

  /** Forgets the oldest of those that are over, and returns them. */
  letGo(isOver: (round: Round) => boolean): readonly Round[] {
    if (this.#byId.size <= CLOSED_ROUNDS_KEPT) return []
    const gone = [...this.#byId.values()].filter(isOver).slice(0, -CLOSED_ROUNDS_KEPT)
    for (const round of gone) this.delete(round)
    return gone
  }
}
