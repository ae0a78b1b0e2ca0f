/**
 * The published keys as they are now. They are read at the start, again every ten minutes, and when a token names a key that is
 * not known, for that at most once a minute, so that a key may sign a minute after it was published. While they cannot be
 * read, the last good set stays in force and is asked for more often. Where they come from is an argument.
 *
 * A key that is published no longer is marked as gone, which ends what it verified; one that is published again unchanged stays
 * the same object, so a reading that brings nothing new costs nobody a second verification.
 */
import type { Clock } from '../base/clock.ts'
import { type Algorithm, type PublishedKey, readKeySet } from './key-set.ts'

const AGAIN_MS = 600_000
const AGAIN_WHILE_AWAY_MS = 10_000
const FOR_UNKNOWN_MS = 60_000

export interface KeySource {
  /** The text of the set; rejects with a sentence where it cannot be had. */
  readonly read: () => Promise<string>
  readonly clock: Clock
  /** A set that is in force from now on: how many keys, whether it differs from the last one, and what was skipped of it. */
  readonly loaded: (count: number, isNew: boolean, skipped: readonly string[]) => void
  readonly failed: (why: string) => void
}

export class PublishedKeys {
  readonly #source: KeySource
  /** Undefined until they were read once. */
  #keys: readonly PublishedKey[] | undefined
  #reading: Promise<void> | undefined
  #isAway = false
  #why = ''
  #askedAt = Number.NEGATIVE_INFINITY
  #stop = () => {}
  #stopped = false

  constructor(source: KeySource) {
    this.#source = source
  }

  /** Reads them now and from time to time, until `close`. */
  start(): Promise<void> {
    return this.#read()
  }

  /** Why they could not be read the last time, and whether a set is in force all the same; undefined while all is well. */
  get trouble(): { readonly why: string; readonly inForce: boolean } | undefined {
    return this.#isAway ? { why: this.#why, inForce: this.#keys !== undefined } : undefined
  }

  close(): void {
    this.#stopped = true
    this.#stop()
  }

  /** The key of a token: by its `kid`, or without one the only key of its algorithm. */
  find(kid: string | undefined, algorithm: Algorithm): PublishedKey | undefined {
    const fitting = (this.#keys ?? []).filter(
      key => key.algorithm === algorithm && (kid === undefined || key.kid === kid),
    )
    return fitting.length === 1 ? fitting[0] : undefined
  }

  /**
   * For a token whose key is not known: a reading to wait for, `away` when nobody can say whether there is such a key, undefined
   * when there is none.
   */
  missing(kid: string | undefined): Promise<void> | 'away' | undefined {
    // Without a name a token fits what is there, or nothing does.
    if (kid === undefined && this.#keys !== undefined) return undefined
    if (this.#reading) return this.#reading
    const now = this.#source.clock.monotonicMs()
    if (now - this.#askedAt >= FOR_UNKNOWN_MS) {
      this.#askedAt = now
      return this.#read()
    }
    return this.#keys === undefined || this.#isAway ? 'away' : undefined
  }

  /** One reading at a time. */
  #read(): Promise<void> {
    this.#reading ??= this.#source
      .read()
      .then(text => this.#take(text))
      .catch((cause: Error) => {
        this.#isAway = true
        this.#why = cause.message
        this.#source.failed(cause.message)
      })
      .finally(() => {
        this.#reading = undefined
        this.#readAgain()
      })
    return this.#reading
  }

  /** The next reading is counted from the last one, whoever asked for that. */
  #readAgain(): void {
    this.#stop()
    if (this.#stopped) return
    this.#stop = this.#source.clock.after(this.#isAway ? AGAIN_WHILE_AWAY_MS : AGAIN_MS, () => void this.#read())
  }

  #take(text: string): void {
    const { keys, skipped } = readKeySet(text)
    const before = new Map((this.#keys ?? []).map(key => [key.identity, key]))
    const now = keys.map(key => before.get(key.identity) ?? key)
    for (const key of before.values()) if (!now.includes(key)) key.isGone = true
    const isNew = this.#keys === undefined || now.length !== before.size || now.some(key => !before.has(key.identity))
    this.#keys = now
    this.#isAway = false
    this.#source.loaded(now.length, isNew, skipped)
  }
}
