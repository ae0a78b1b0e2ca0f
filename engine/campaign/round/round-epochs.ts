/**
 * The epochs of one worker's rounds at the levels below fenced: whether what it knows of a round is still of the history that
 * its Redis has. After each new connection, and when an event or a read is of another epoch, the server is asked
 * (scripts/round-history.lua); where a promoted copy or a shortened log is another history, the answer has another epoch, and
 * the round goes over to it. So nobody is shown a pause, a stock or an owner that a fail-over lost.
 *
 * Questions about one round are asked one after the other, over one connection: what is answered last is what the address
 * of Redis leads to last, so a deposed primary that still answers somewhere is never adopted over its successor. Rejected:
 * INFO with every batch (that is `fenced`), an order among epochs (a restored backup would never be believed).
 */
import { JoinedReads } from '../../base/joined-reads.ts'
import type { Random } from '../../base/random.ts'
import type { HistoryStore } from '../../store/data/history-store.ts'
import type { Notice } from '../../store/data/notice.ts'
import type { Round } from './round.ts'

export interface EpochsOptions {
  readonly store: HistoryStore
  readonly random: Random
  /** Receives what the server has of a round, in whatever epoch. */
  readonly found: (round: Round, notice: Notice) => void
  /** The server has no state of it. */
  readonly gone: (round: Round) => Promise<void>
  /** A round of another history begins another epoch by this worker's question. */
  readonly begun: (roundId: string, notice: Notice) => void
}

const never = () => false

export class RoundEpochs {
  readonly #options: EpochsOptions
  /** One at a time a round, and one more for all who asked meanwhile: the one under way may be answered by an earlier server. */
  readonly #looks = new JoinedReads<void>()
  /** By round: an epoch of events that the server turned out not to have; a deposed primary may publish it for long. */
  readonly #foreign = new Map<string, string>()
  /** By round, the epochs that it left here, and the highest version of each: one may come back with a server that lacks some. */
  readonly #left = new WeakMap<Round, Map<string, number>>()

  constructor(options: EpochsOptions) {
    this.#options = options
  }

  /** Sees to it, before a round is shown, that its epoch is of this history. Throws Fault. */
  async settle(roundId: string, shown?: Notice): Promise<Notice | undefined> {
    const next = this.#options.random.bytes(8).toString('hex')
    const history = await this.#options.store.look(roundId, shown, next)
    if (history?.begun) this.#options.begun(roundId, history.notice)
    return history?.notice
  }

  /** An event is of another epoch than the round is in. */
  async received(round: Round, epoch: string): Promise<void> {
    const { view } = round
    if (this.#foreign.get(view.id) === epoch) return
    await this.look(round)
    if (view.notice.epoch !== epoch) this.#foreign.set(view.id, epoch)
  }

  /** Resolves when the round stands as the server had it after this was called; throws the Fault that kept it from that. */
  look(round: Round): Promise<void> {
    return this.#looks.ask(round.view.id, () => this.#look(round), never)
  }

  async #look(round: Round): Promise<void> {
    const { view } = round
    let notice = await this.settle(view.id, view.notice)
    if (!notice) return this.#options.gone(round)
    const left = this.#left.get(round) ?? new Map<string, number>()
    const highest = left.get(notice.epoch) ?? 0
    if (highest > notice.version) notice = await this.settle(view.id, { ...notice, version: highest })
    if (!notice) return this.#options.gone(round)
    const { epoch, version } = view.notice
    if (notice.epoch !== epoch) this.#left.set(round, left.set(epoch, version))
    this.#options.found(round, notice)
  }
}
