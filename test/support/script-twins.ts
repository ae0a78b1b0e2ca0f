/**
 * A round in a real Redis and in a keyspace of the simulation, side by side: every script runs on both, and what they say
 * and what they hold has to be the same.
 *
 * Redis's clock is real: it is read before and after a script, and the twin has to agree at one of the moments between.
 * It is moved by moving what the round remembers of it: `last`, which a script never goes behind, and since when a
 * recovery waits. `promote` is what a promotion is for a copy of a round: it was bound to another server's history. The laws are
 * checked by a reader that knows neither side's program: the log alone has to give the state that stands.
 */
import { isDeepStrictEqual } from 'node:util'
import { expect } from 'vitest'
import { holdersIn } from '../../engine/base/holder.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import type { Reply } from '../../engine/store/connection/link.ts'
import type { Script, ScriptName } from '../../engine/store/connection/scripts.ts'
import { Call } from '../sim/redis/call.ts'
import { Keyspace } from '../sim/redis/keyspace.ts'
import { SIMULATED } from '../sim/redis/scripts.ts'
import type { ScriptRoom } from './script-room.ts'

export const EPOCH = '00000000000000aa'
export type Name = Extract<
  ScriptName,
  `round-${string}` | `fence-${string}` | 'claim' | 'restock' | 'hold-end' | 'budget'
>
export type Words = readonly (string | number | Buffer)[]

const plain = (reply: Reply): unknown => (Buffer.isBuffer(reply) ? reply.toString('latin1') : reply)
export const latin1 = (word: string | number | Buffer): string =>
  Buffer.isBuffer(word) ? word.toString('latin1') : String(word)

/** One round in Redis and in a keyspace of the simulation. */
export class Twins {
  readonly keyspace = new Keyspace()
  readonly id: string
  readonly #room: ScriptRoom
  readonly #server: string
  readonly #state: string
  readonly #holders: string
  readonly #log: string
  readonly #budget: string
  readonly #restored: string
  readonly #void: string

  /** `server` is the name of Redis's history. */
  constructor(room: ScriptRoom, server: string, id: string) {
    this.#room = room
    this.#server = server
    this.id = id
    this.#state = keys.roundState(id)
    this.#holders = keys.roundHolders(id)
    this.#log = keys.roundLog(id)
    this.#budget = keys.campaignBudget(id)
    this.#restored = keys.roundRestored(id)
    this.#void = keys.roundVoid(id)
  }

  /** Runs a script on both sides and compares what they say and what they hold; or asks what it would do. */
  async run(name: Name, words: Words, dry = false): Promise<unknown> {
    const channel = keys.roundChannel(this.id)
    const [names, wanted] = {
      claim: [
        [this.#state, this.#holders, this.#log],
        [channel, ...words],
      ],
      'round-create': [
        [this.#state, this.#log, this.#void],
        [channel, ...words],
      ],
      'round-void': [[this.#state, this.#void], words],
      'round-turn': [
        [this.#state, this.#log],
        [channel, ...words],
      ],
      'round-read': [[this.#state], words],
      'round-history': [[this.#state], [channel, ...words]],
      restock: [
        [this.#state, this.#log],
        [channel, ...words],
      ],
      'hold-end': [[this.#state], [channel, ...words]],
      budget: [[this.#budget], words],
      'fence-reserve': [[this.#state], words],
      'fence-restore': [
        [this.#state, this.#holders, this.#log, this.#restored],
        [channel, ...words],
      ],
      'fence-bind': [
        [this.#state, this.#log, this.#restored],
        [channel, ...words],
      ],
      'fence-release': [
        [this.#state, this.#log],
        [channel, ...words],
      ],
    }[name] as [string[], Words]
    const args = dry ? [...wanted, '1'] : wanted
    const before = await this.#room.now()
    const scripts: Readonly<Record<string, Script>> = this.#room.scripts
    const script = scripts[dry ? `${name}-dry` : name] as Script
    const real = (await this.#room.link.script(script, names, args)).map(plain)
    const after = await this.#room.now()
    const there = await this.#there()
    for (let moment = before; ; moment++) {
      const call = new Call(this.keyspace, moment, this.#server)
      const twin = SIMULATED[name]?.(call, names, args.map(latin1))
      if (moment < after && !isDeepStrictEqual([twin, this.keyspace.dump()], [real, there])) {
        for (const { undo } of call.writes.toReversed()) undo()
        continue
      }
      expect(twin, `${name} ${words.map(latin1)}`).toEqual(real)
      expect(this.keyspace.dump()).toEqual(there)
      return real[0]
    }
  }

  /** What Redis holds of the round, as the simulation's keyspace tells it. */
  async #there(): Promise<readonly (readonly [string, unknown])[]> {
    const { link } = this.#room
    const [[state, holders, log, restored, gone], budget] = await Promise.all([
      link.request(client =>
        Promise.all([
          client.hgetall(this.#state),
          client.hgetallBuffer(this.#holders),
          client.xrangeBuffer(this.#log, '-', '+'),
          client.zrange(this.#restored, '0', '-1', 'WITHSCORES'),
          client.get(this.#void),
        ]),
      ),
      link.request(client => client.hgetall(this.#budget)),
    ])
    const entries = log.map(([id, fields]) => ({
      id: latin1(id as Buffer),
      fields: (fields as Buffer[]).map(latin1),
    }))
    const binary = Object.fromEntries(Object.entries(holders).map(([holder, grant]) => [holder, latin1(grant)]))
    const real = Object.entries({
      [this.#state]: state,
      [this.#holders]: binary,
      [this.#log]: entries,
      [this.#budget]: budget,
      [this.#void]: gone ?? '',
      [this.#restored]: Object.fromEntries(restored.flatMap((m, i) => (i % 2 === 0 ? [[m, restored[i + 1]]] : []))),
    })
    const isThere = (value: object | string) => Object.keys(value).length > 0
    return real.filter(([, value]) => isThere(value)).sort(([a], [b]) => (a < b ? -1 : 1))
  }

  /** Lets time pass, for both sides; a negative one sets the clock back, and the round's own time goes on all the same. */
  async moveClock(ms: number): Promise<void> {
    const state = this.keyspace.hash(this.#state)
    if (!state) return
    const last = Number(state.get('last')) + Math.abs(ms)
    const waits = (state.get('waits') ?? '').replace(/\d+$/, since => String(Number(since) - ms))
    await this.#set('last', String(last))
    if (state.has('waits')) await this.#set('waits', waits)
  }

  /** The name of the hold that keeps it shut, empty where there is none. */
  get hold(): string {
    return this.keyspace.hash(this.#state)?.get('hold') ?? ''
  }

  async #set(field: string, value: string): Promise<void> {
    await this.#room.setState(this.id, field, value)
    this.keyspace.apply(['hset', this.#state, [field, value]])
  }

  /** The round was bound to another server: this copy of it was promoted. */
  async promote(): Promise<void> {
    if (!this.keyspace.has(this.#state)) return
    await this.#set('replid', 'a'.repeat(40))
  }

  async lose(part: 'state' | 'holders' | 'log'): Promise<void> {
    const key = { state: this.#state, holders: this.#holders, log: this.#log }[part]
    await this.#room.link.request(client => client.del(key))
    this.keyspace.apply(['del', key, []])
  }

  async checkLaws(start: readonly number[]): Promise<void> {
    const [notice, holders, log] = await Promise.all([
      this.#room.notice(this.id),
      this.#room.holders(this.id),
      this.#room.log(this.id),
    ])
    for (const pool of notice.pools) expect(pool.granted).toBeLessThanOrEqual(pool.total)
    const sequences = Object.values(holders).map(({ sequence }) => sequence)
    expect(sequences.toSorted((a, b) => a - b)).toEqual(sequences.map((_, i) => i + 1))
    expect(replay(log, start)).toEqual({ pools: notice.pools, holders, sequence: notice.sequence })
  }
}

/** The state that the log alone tells. */
function replay(log: Awaited<ReturnType<ScriptRoom['log']>>, totals: readonly number[]) {
  const pools = totals.map(total => ({ total, granted: 0 }))
  const holders: Record<string, { sequence: number; pool: number; bytes: number }> = {}
  let sequence = 0
  for (const { id, fields } of log) {
    const [, pool] = fields.kind?.match(/^restock (\d+)$/) ?? []
    if (pool !== undefined) pools[Number(pool)]!.total += Number(fields.amount)
    if (fields.users !== undefined) {
      const bytes = Buffer.from(fields.pools as string, 'latin1')
      for (const [i, holder] of holdersIn(Buffer.from(fields.users, 'latin1')).entries()) {
        const of = bytes[bytes.length === 1 ? 0 : i] as number
        expect(holders, `${holder} is granted twice in the log`).not.toHaveProperty([holder])
        holders[holder] = { sequence: ++sequence, pool: of, bytes: 5 }
        pools[of]!.granted++
      }
    }
    expect(Number.parseInt(id, 10), 'an entry is named after the last sequence').toBe(sequence)
  }
  return { pools, holders, sequence }
}

let rounds = 0

/** A new round on both sides; `opens` and `closes` are ms from now, 0 for none. */
export async function newTwins(
  room: ScriptRoom,
  {
    totals,
    opens = 0,
    closes = 0,
    fenced = '',
  }: { totals: readonly number[]; opens?: number; closes?: number; fenced?: string },
): Promise<Twins> {
  const id = `rnd_twin${++rounds}`
  const info = await room.replicationOf(keys.roundState(id))
  const twins = new Twins(room, /master_replid:(\w+)/.exec(info)?.[1] ?? '', id)
  const now = await room.now()
  const from = (ms: number) => (ms === 0 ? 0 : now + ms)
  const words = [EPOCH, from(opens), from(closes), '{"a":1}', totals.join(' '), fenced]
  await twins.run('round-create', words)
  await twins.run('round-create', words)
  return twins
}
