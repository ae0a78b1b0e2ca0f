/**
 * A strict or drawn round in a real Redis and in a keyspace of the simulation, side by side: every script runs on both, and
 * what they say and what they hold has to be the same. What script-twins.ts is to rounds of first come.
 *
 * Redis's clock is real: the twin has to agree at one of the milliseconds between before and after, and the microsecond at
 * which a worker was seen is read from what the script wrote. Compared is every key that a script was ever given.
 */
import { isDeepStrictEqual } from 'node:util'
import { expect } from 'vitest'
import * as keys from '../../engine/store/connection/keys.ts'
import type { Reply } from '../../engine/store/connection/link.ts'
import type { ScriptName } from '../../engine/store/connection/scripts.ts'
import { Call } from '../sim/redis/call.ts'
import { Keyspace, type Write } from '../sim/redis/keyspace.ts'
import { SIMULATED } from '../sim/redis/scripts.ts'
import type { ScriptRoom } from './script-room.ts'
import { EPOCH, latin1, type Words } from './script-twins.ts'

const plain = (reply: Reply): unknown =>
  Buffer.isBuffer(reply) ? latin1(reply) : Array.isArray(reply) ? reply.map(plain) : reply
const pairs = (flat: readonly string[]) =>
  Object.fromEntries(flat.flatMap((word, i) => (i % 2 === 0 ? [[word, flat[i + 1]]] : [])))

let made = 0

/** One round in Redis and in a keyspace of the simulation, with every key that a script was ever given. */
export class Sides {
  readonly id: string
  readonly keyspace = new Keyspace()
  readonly #room: ScriptRoom
  readonly #server: string
  readonly #names = new Set<string>()

  /** `server` is the name of Redis's history. */
  constructor(room: ScriptRoom, server: string, id: string) {
    this.id = id
    this.#room = room
    this.#server = server
  }

  get channel(): string {
    return keys.roundChannel(this.id)
  }

  /** Runs a script on both sides; gives the outcome. */
  async run(name: ScriptName, names: readonly string[], args: Words): Promise<number> {
    for (const key of names) this.#names.add(key)
    const before = await this.#room.now()
    const real = (await this.#room.link.script(this.#room.scripts[name], [...names], [...args])).map(plain)
    const after = await this.#room.now()
    const there = await this.#there()
    const words = args.map(latin1)
    const us = name === 'allot' ? await this.#seenAt(words[2] ?? '') : undefined
    for (let moment = before; ; moment++) {
      const call = new Call(this.keyspace, moment, this.#server, '', us)
      const twin = SIMULATED[name]?.(call, names, words)
      if (moment < after && !isDeepStrictEqual([twin, this.keyspace.dump()], [real, there])) {
        for (const { undo } of call.writes.toReversed()) undo()
        continue
      }
      expect(twin, `${name} ${words}`).toEqual(real)
      expect(this.keyspace.dump()).toEqual(there)
      return real[0] as number
    }
  }

  /** The microsecond at which Redis saw a worker. */
  async #seenAt(worker: string): Promise<number | undefined> {
    const words = await this.#room.link.request(client => client.hget(keys.roundOrder(this.id), `w:${worker}`))
    return words ? Number(words.split(' ')[1]) : undefined
  }

  async #there(): Promise<readonly (readonly [string, unknown])[]> {
    const rows = await Promise.all([...this.#names].map(async key => [key, await this.#valueOf(key)] as const))
    return rows.filter(([, value]) => value !== undefined).sort(([a], [b]) => (a < b ? -1 : 1))
  }

  #valueOf(key: string): Promise<unknown> {
    const ask = async (...words: readonly [string, ...string[]]) =>
      plain((await this.#room.link.request(client => client.callBuffer(...words))) as Reply)
    return this.#room.link
      .request(client => client.type(key))
      .then(async type => {
        if (type === 'hash') return pairs((await ask('HGETALL', key)) as string[])
        if (type === 'zset') return pairs((await ask('ZRANGE', key, '0', '-1', 'WITHSCORES')) as string[])
        if (type === 'string') return ask('GET', key)
        if (type !== 'stream') return undefined
        const entries = (await ask('XRANGE', key, '-', '+')) as [string, string[]][]
        return entries.map(([id, fields]) => ({ id, fields }))
      })
  }

  /** The same change on both sides, behind the scripts' backs. */
  async change(write: Write): Promise<void> {
    const [kind, key, words] = write
    const own = words.map(word => Buffer.from(word, 'latin1'))
    await this.#room.link.request(client => client.call(kind, key, ...own))
    this.#names.add(key)
    this.keyspace.apply(write)
  }

  field(key: string, field: string): string {
    return this.keyspace.hash(key)?.get(field) ?? ''
  }

  /** Sets fields that are there. */
  async move(key: string, moved: (field: string, value: string) => string | undefined): Promise<void> {
    for (const [field, value] of this.keyspace.hash(key) ?? []) {
      const next = moved(field, value)
      if (next !== undefined) await this.change(['hset', key, [field, next]])
    }
  }

  async lose(key: string): Promise<void> {
    if (this.keyspace.has(key)) await this.change(['del', key, []])
  }
}

/** A new round on both sides, scheduled; `closesIn` is ms from now, 0 for never. */
export async function newSides(room: ScriptRoom, totals: readonly number[], closesIn = 0): Promise<Sides> {
  const id = `rnd_mode${++made}`
  const info = await room.replicationOf(keys.roundState(id))
  const sides = new Sides(room, /master_replid:(\w+)/.exec(info)?.[1] ?? '', id)
  const names = [keys.roundState, keys.roundLog, keys.roundVoid].map(key => key(sides.id))
  const closes = closesIn === 0 ? 0 : (await room.now()) + closesIn
  await sides.run('round-create', names, [sides.channel, EPOCH, 0, closes, '{}', totals.join(' '), ''])
  return sides
}
