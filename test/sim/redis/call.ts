/**
 * One command or script under way on a simulated server: what it may read, and what it writes, applied at once and
 * kept in order for the log on disk and for the replicas. Numbers become words as Redis's Lua writes them.
 */
import { type Keyspace, nextId, type Undo, type Write } from './keyspace.ts'

/** What a script published. */
export interface Published {
  readonly channel: string
  readonly text: string
}

export interface Done {
  readonly write: Write
  readonly undo: Undo
  /** What the script that ended with this write published: replicas that apply it publish it, too. */
  readonly told?: readonly Published[] | undefined
}

export class Call {
  readonly writes: Done[] = []
  readonly published: Published[] = []
  readonly timeMs: number
  /** The same in whole microseconds. */
  readonly timeUs: number
  /** The name of the server's history, its master_replid. */
  readonly server: string
  /** The history that the server was promoted from, its master_replid2; empty where it was not. */
  readonly before: string
  readonly #keys: Keyspace

  /** `timeMs` is the server's clock, whole milliseconds since 1970; `timeUs` its microseconds where they count. */
  constructor(keys: Keyspace, timeMs: number, server = '', before = '', timeUs = timeMs * 1000) {
    this.#keys = keys
    this.timeMs = timeMs
    this.timeUs = timeUs
    this.server = server
    this.before = before
  }

  has(key: string): boolean {
    return this.#keys.has(key)
  }

  hash(key: string): ReadonlyMap<string, string> | undefined {
    return this.#keys.hash(key)
  }

  text(key: string): string | undefined {
    return this.#keys.text(key)
  }

  slice(key: string, from: number, to: number): string {
    return this.#keys.slice(key, from, to)
  }

  stream(key: string) {
    return this.#keys.stream(key)
  }

  hset(key: string, ...words: readonly (string | number)[]): void {
    this.write(['hset', key, words.map(String)])
  }

  xadd(key: string, ms: number, ...words: readonly (string | number)[]): void {
    const id = nextId(this.#keys.stream(key), ms).join('-')
    this.write(['xadd', key, [id, ...words.map(String)]])
  }

  publish(channel: string, text: string): void {
    this.published.push({ channel, text })
  }

  write(write: Write): void {
    this.writes.push({ write, undo: this.#keys.apply(write) })
  }
}
