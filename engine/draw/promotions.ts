/**
 * promotions.log: the seats of a lottery that lapsed and went down the waitlist, a line of JSON each, oldest first.
 *
 *   {"pool":"general","from":"<tag that had the seat>","to":"<tag that has it now>","at":"<RFC 3339>"}
 *
 * A seat goes to the first of the waitlist who was not promoted yet and may have it: anybody for a seat of `general`, for
 * another pool's the entrants of that pool. Who was promoted may let their seat lapse in turn. So the file leaves
 * nothing to choose, and `Promotions` is both what the engine asks for the next one and what the verifier runs.
 * Rejected: a line for a seat that nobody can take; it stays unsold and the result already shows the waitlist's end.
 */
import { isUtf8 } from 'node:buffer'
import { z } from 'zod'
import { isHex } from './digest.ts'
import { TAG_BYTES } from './entry.ts'
import { BundleError, parseJson } from './json-file.ts'

const FILE = 'promotions.log'
const tag = z.string().refine(text => isHex(text, TAG_BYTES), `must be ${TAG_BYTES * 2} lower case hexadecimal digits`)
const schema = z
  .strictObject({ pool: z.string(), from: tag, to: tag, at: z.iso.datetime({ message: 'must be RFC 3339 in UTC' }) })
  .readonly()

/** One line. */
export type Promotion = z.infer<typeof schema>

/** A line to append, with its line feed. */
export function writePromotion({ pool, from, to, at }: Promotion): string {
  return `${JSON.stringify({ pool, from, to, at })}\n`
}

interface Standing {
  /** `tag:pool` of each winner, as in result.json. */
  readonly winners: readonly string[]
  readonly waitlist: readonly string[]
  /** The pool that the record of somebody on the waitlist names. */
  readonly poolOf: (tag: string) => string | undefined
}

/** Who holds which seat, promotion by promotion. */
export class Promotions {
  readonly #seats = new Map<string, string>()
  readonly #waitlist: readonly string[]
  readonly #waiting: Set<string>
  /** By pool, how far down the waitlist nobody is left for a seat of it. */
  readonly #passed = new Map<string, number>()
  readonly #poolOf: (tag: string) => string | undefined

  constructor({ winners, waitlist, poolOf }: Standing) {
    for (const row of winners) this.#seats.set(row.slice(0, TAG_BYTES * 2), row.slice(TAG_BYTES * 2 + 1))
    this.#waitlist = waitlist
    this.#waiting = new Set(waitlist)
    this.#poolOf = poolOf
  }

  /** The pool of the seat that a tag has now. */
  seatOf(tag: string): string | undefined {
    return this.#seats.get(tag)
  }

  /** Who gets a seat of a pool that lapses now, or undefined when nobody who waits may have it. */
  nextFor(pool: string): string | undefined {
    const mayHave = (tag: string) => this.#waiting.has(tag) && (pool === 'general' || this.#poolOf(tag) === pool)
    let place = this.#passed.get(pool) ?? 0
    while (place < this.#waitlist.length && !mayHave(this.#waitlist[place] as string)) place++
    this.#passed.set(pool, place)
    return this.#waitlist[place]
  }

  /** Takes the seat of `from` and gives it to the next; what is wrong with that, or undefined. */
  apply({ pool, from, to }: Promotion): string | undefined {
    const seat = this.#seats.get(from)
    if (seat === undefined) return `${from} has no seat to give up`
    if (seat !== pool) return `${from} has a seat of ${seat}, not of ${pool}`
    const next = this.nextFor(pool)
    if (next !== to) return `the next for a seat of ${pool} is ${next ?? 'nobody'}, not ${to}`
    this.#seats.delete(from)
    this.#waiting.delete(to)
    this.#seats.set(to, pool)
    return undefined
  }
}

/** Checks a whole file; returns the number of promotions. Throws BundleError that names the line. */
export function verifyPromotions(bytes: Uint8Array, standing: Standing): number {
  if (!isUtf8(bytes)) throw new BundleError(FILE, 'is not UTF-8')
  const lines = Buffer.from(bytes).toString().split('\n')
  if (lines.pop() !== '') throw new BundleError(FILE, `line ${lines.length + 1} has no line feed: it was cut`)
  if (lines.length === 0) return 0
  const promotions = new Promotions(standing)
  for (const [i, line] of lines.entries()) {
    const place = `${FILE} line ${i + 1}`
    const wrong = promotions.apply(parseJson(place, Buffer.from(line), schema))
    if (wrong !== undefined) throw new BundleError(place, wrong)
  }
  return lines.length
}
