/**
 * The keys of FAIRGRAB_KEYS_FILE while a node runs. The file is looked at every second, and what it has is taken when it is found
 * twice, since somebody may be writing it; whoever asks for it (SIGHUP) has it read at once. A file that cannot be used changes
 * nothing: the keys that were read last stay in force, and the reason is said once.
 *
 * Rejected: watching the file by the system. Orchestrators put a new one in its place behind two links, which such a watch misses.
 */
import { parseKeys } from '../auth/callers.ts'
import { type Clock, every } from '../base/clock.ts'
import { secretIn } from '../config.ts'
import type { Log } from '../ops/log.ts'

const LOOK_MS = 1000
const SETTING = 'FAIRGRAB_KEYS_FILE'

export interface KeyFileOptions {
  readonly path: string
  /** What it had at the start. */
  readonly keys: string
  readonly log: Pick<Log, 'info' | 'error'>
  /** Keys that are in force from now on, checked. */
  readonly changed: (keys: string) => void
}

export class KeyFile {
  readonly #options: KeyFileOptions
  #inForce: string
  #seen: string
  #said = ''

  constructor(options: KeyFileOptions) {
    this.#options = options
    this.#inForce = options.keys
    this.#seen = options.keys
  }

  /** Looks at the file every second until the returned function is called. */
  follow(clock: Clock): () => void {
    return every(
      clock,
      LOOK_MS,
      () => this.#look(),
      cause => this.#complain(cause),
    )
  }

  /** Takes what the file has now. */
  take(): void {
    try {
      this.#take(secretIn(SETTING, this.#options.path))
    } catch (cause) {
      this.#complain(cause)
    }
  }

  #look(): void {
    const found = secretIn(SETTING, this.#options.path)
    const isSame = found === this.#seen
    this.#seen = found
    if (isSame) this.#take(found)
  }

  #take(keys: string): void {
    if (keys !== this.#inForce) {
      const { length } = parseKeys(keys)
      this.#inForce = keys
      this.#options.changed(keys)
      this.#options.log.info({ keys: length }, 'the keys in the file are others; they are in force')
    }
    this.#said = ''
  }

  #complain(cause: unknown): void {
    const { message } = cause as Error
    if (message !== this.#said) this.#options.log.error(`${message}; the keys that were read before stay in force`)
    this.#said = message
  }
}
