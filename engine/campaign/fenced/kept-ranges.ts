/**
 * Which sequences of an epoch were read from the log and are in this engine's journal already, so that a list that is asked
 * for again and again adds nothing to it. Ranges that touch become one, so a log that is read through costs two numbers.
 * Pages that lie apart in great number are forgotten and kept anew. Rejected: a bit a sequence, which a list of one page would pay for a million.
 */
const RANGES_MAX = 1000

interface Range {
  readonly from: number
  readonly to: number
}

export class KeptRanges {
  /** By `from`; none touches another. */
  #ranges: readonly Range[] = []

  has(from: number, to: number): boolean {
    return this.#ranges.some(range => range.from <= from && to <= range.to)
  }

  add(from: number, to: number): void {
    const touches = (range: Range) => range.from <= to + 1 && from <= range.to + 1
    const joined = this.#ranges.filter(touches)
    const all = {
      from: Math.min(from, ...joined.map(range => range.from)),
      to: Math.max(to, ...joined.map(range => range.to)),
    }
    const others = this.#ranges.length > RANGES_MAX ? [] : this.#ranges.filter(range => !touches(range))
    this.#ranges = [...others, all].sort((a, b) => a.from - b.from)
  }

  clear(): void {
    this.#ranges = []
  }
}
