/**
 * What a Redis server holds, as far as rounds need it: hashes, streams, strings. Values are texts of Latin-1, so that
 * binary ones are what Redis sees, byte for byte.
 *
 * Every change is a Write, the form in which it goes to the log on disk and to replicas, and applying one gives back
 * how it is undone. So losing an unsynced tail, and a primary that returns as a replica with writes that nobody else
 * has, are the last few writes undone, and a crash costs what it loses and not what is held. Rejected: copies of all
 * keys at each sync, which made long worlds slow.
 */
interface Entry {
  readonly id: string
  readonly fields: readonly string[]
}

export interface Stream {
  readonly entries: Entry[]
  /** The two numbers of the last id that was given. */
  readonly last: [ms: number, serial: number]
}

/** A refusal of the server: a ReplyError for who asked. */
export class Refused extends Error {}

type Hash = Map<string, string>
/** A text that is written in place, as long lists of entries are, is bytes: a copy a write would fill the memory. */
type Value = Hash | Stream | string | Buffer

/** A change: what is done, to which key, with which words. */
export type Write =
  | readonly [kind: 'hset', key: string, words: readonly string[]]
  | readonly [kind: 'hdel', key: string, words: readonly string[]]
  | readonly [kind: 'xadd', key: string, words: readonly string[]]
  | readonly [kind: 'set', key: string, words: readonly [string]]
  | readonly [kind: 'setrange', key: string, words: readonly [at: string, text: string]]
  | readonly [kind: 'del', key: string, words: readonly []]
  | readonly [kind: 'restore', key: string, words: readonly [string]]
  | readonly [kind: 'flush', key: '', words: readonly []]

export type Undo = () => void

/** The id that XADD gives for `<ms>-*`; throws what Redis answers when it would go back. */
export function nextId(stream: Stream | undefined, ms: number): [ms: number, serial: number] {
  const [lastMs, lastSerial] = stream?.last ?? [0, 0]
  if (ms < lastMs) throw new Refused('ERR The ID specified in XADD is equal or smaller than the target stream top item')
  return [ms, ms === lastMs ? lastSerial + 1 : 0]
}

/** The value that a text of `dumped` stands for: a new one, nobody else's. */
function restored(text: string): Value {
  const { hash, value } = JSON.parse(text) as { hash?: readonly (readonly [string, string])[]; value: Value }
  return hash ? new Map(hash) : value
}

export class Keyspace {
  #keys = new Map<string, Value>()

  has(key: string): boolean {
    return this.#keys.has(key)
  }

  hash(key: string): ReadonlyMap<string, string> | undefined {
    return this.#keys.get(key) as Hash | undefined
  }

  stream(key: string): Stream | undefined {
    return this.#keys.get(key) as Stream | undefined
  }

  text(key: string): string | undefined {
    const value = this.#keys.get(key)
    return Buffer.isBuffer(value) ? value.toString('latin1') : (value as string | undefined)
  }

  /** Part of a text, without making all of it. */
  slice(key: string, from: number, to: number): string {
    const value = this.#keys.get(key) ?? ''
    return Buffer.isBuffer(value) ? value.toString('latin1', from, to) : (value as string).slice(from, to)
  }

  /** The names of all keys. */
  names(): Iterable<string> {
    return this.#keys.keys()
  }

  /** A key's whole value as a text, from which another server makes it; empty where there is none. */
  dumped(key: string): string {
    const kept = this.#keys.get(key)
    const value = Buffer.isBuffer(kept) ? kept.toString('latin1') : kept
    return value === undefined ? '' : JSON.stringify(value instanceof Map ? { hash: [...value] } : { value })
  }

  /** Everything, for comparisons: keys in order, hashes as sorted pairs. */
  dump(): readonly (readonly [string, unknown])[] {
    const plain = (value: Value) => {
      if (typeof value === 'string') return value
      if (Buffer.isBuffer(value)) return value.toString('latin1')
      return value instanceof Map ? Object.fromEntries([...value].sort()) : value.entries
    }
    return [...this.#keys].map(([key, value]) => [key, plain(value)] as const).sort(([a], [b]) => (a < b ? -1 : 1))
  }

  apply([kind, key, words]: Write): Undo {
    switch (kind) {
      case 'hset':
        return this.#setFields(key, words)
      case 'hdel':
        return this.#dropFields(key, words)
      case 'xadd':
        return this.#append(key, words)
      case 'set':
        return this.#put(key, words[0])
      case 'setrange':
        return this.#setRange(key, Number(words[0]), words[1])
      case 'del':
        return this.#put(key, undefined)
      case 'restore':
        return this.#put(key, restored(words[0]))
      case 'flush': {
        const before = this.#keys
        this.#keys = new Map()
        return () => {
          this.#keys = before
        }
      }
    }
  }

  #put(key: string, value: Value | undefined): Undo {
    const before = this.#keys.get(key)
    if (value === undefined) this.#keys.delete(key)
    else this.#keys.set(key, value)
    return () => {
      if (before === undefined) this.#keys.delete(key)
      else this.#keys.set(key, before)
    }
  }

  #setRange(key: string, at: number, text: string): Undo {
    const before = this.#keys.get(key) ?? ''
    const isShort = at + text.length > (before as string | Buffer).length
    if (isShort || !Buffer.isBuffer(before)) {
      const bytes = Buffer.alloc(Math.max(at + text.length, (before as string | Buffer).length))
      if (Buffer.isBuffer(before)) before.copy(bytes)
      else bytes.write(before as string, 'latin1')
      bytes.write(text, at, 'latin1')
      return this.#put(key, bytes)
    }
    const old = Buffer.from(before.subarray(at, at + text.length))
    before.write(text, at, 'latin1')
    return () => {
      old.copy(before, at)
    }
  }

  #setFields(key: string, words: readonly string[]): Undo {
    const known = this.#keys.get(key) as Hash | undefined
    const hash = known ?? new Map<string, string>()
    if (!known) this.#keys.set(key, hash)
    const before: (string | undefined)[] = []
    for (let i = 0; i < words.length; i += 2) {
      before.push(hash.get(words[i] as string))
      hash.set(words[i] as string, words[i + 1] as string)
    }
    return () => {
      for (let i = before.length - 1; i >= 0; i--) {
        const value = before[i]
        if (value === undefined) hash.delete(words[2 * i] as string)
        else hash.set(words[2 * i] as string, value)
      }
      if (!known) this.#keys.delete(key)
    }
  }

  #dropFields(key: string, fields: readonly string[]): Undo {
    const hash = this.#keys.get(key) as Hash | undefined
    if (!hash) return () => {}
    const words = fields.flatMap(field => (hash.has(field) ? [field, hash.get(field) as string] : []))
    for (const field of fields) hash.delete(field)
    if (hash.size === 0) this.#keys.delete(key)
    return () => {
      if (hash.size === 0) this.#keys.set(key, hash)
      for (let i = 0; i < words.length; i += 2) hash.set(words[i] as string, words[i + 1] as string)
    }
  }

  #append(key: string, words: readonly string[]): Undo {
    const known = this.#keys.get(key) as Stream | undefined
    const stream: Stream = known ?? { entries: [], last: [0, 0] }
    if (!known) this.#keys.set(key, stream)
    const [id = '', ...fields] = words
    const [ms, serial] = id.split('-').map(Number) as [number, number]
    const [lastMs, lastSerial] = stream.last
    stream.entries.push({ id, fields })
    stream.last[0] = ms
    stream.last[1] = serial
    return () => {
      stream.entries.pop()
      stream.last[0] = lastMs
      stream.last[1] = lastSerial
      if (!known) this.#keys.delete(key)
    }
  }
}
