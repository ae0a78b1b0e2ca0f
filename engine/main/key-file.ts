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
  /** Why the file is not in force, or empty from when it is again. */
  readonly judged: (refused: string) => void
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
    if (this.#said === '') return
    this.#options.log.info(`${SETTING}: the file is sound again; its keys are in force`)
    this.#judge('')
  }

  #complain(cause: unknown): void {
    // Of what is wrong with a key the reader of keys speaks, who knows nothing of files.
    const message = (cause as Error).message.replace(/^FAIRGRAB_KEYS: /, `${SETTING}: ${this.#options.path}: `)
    if (message === this.#said) return
    this.#options.log.error(`${message}; the keys that were read before stay in force`)
    this.#judge(message)
  }

  #judge(refused: string): void {
    this.#said = refused
    this.#options.judged(refused)
  }
}
