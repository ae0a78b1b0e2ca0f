/**
 * Reads that many ask for at the same time: for each key one is under way, and whoever asks meanwhile shares the next one
 * where the first does not show what was asked for. It left before the question, so what it lacks may have been made since
 * and be known to whoever asks. So a crowd costs two reads, and nobody gets the answer that something is absent by a read that
 * is older than the question.
 *
 * Rejected: one read a question, which lets a crowd keep Redis busy; joining whatever is under way, which refused good
 * vouchers.
 */
export class JoinedReads<T> {
  readonly #underWay = new Map<string, Promise<T>>()

  /** What a read shows that began after this was called, or an earlier one that is under way where that `suffices`. */
  async ask(key: string, read: () => Promise<T>, suffices: (shown: T) => boolean): Promise<T> {
    const earlier = this.#underWay.get(key)
    if (earlier) {
      // What it failed of may be over by now.
      const shown = await earlier.then(value => ({ value })).catch(() => undefined)
      if (shown && suffices(shown.value)) return shown.value
    }
    // The earlier one is over: what is under way now was begun behind it.
    return this.#underWay.get(key) ?? this.#begin(key, read)
  }

  #begin(key: string, read: () => Promise<T>): Promise<T> {
    const reading = read().finally(() => this.#underWay.delete(key))
    this.#underWay.set(key, reading)
    return reading
  }
}
