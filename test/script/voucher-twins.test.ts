/**
 * The scripts that tills run and their simulated twins (test/sim/redis/voucher-scripts.ts), side by side on random sequences:
 * every reply and every key of the campaign has to be the same. So what the simulation proves of vouchers after the
 * claim it proves of the Lua that Redis runs.
 *
 * Redis's clock is real: it is read before and after a script, and the twin has to agree at one of the moments between.
 * Time passes for both by what rehearsals use, the campaign's `ahead`.
 */
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import * as keys from '../../engine/store/connection/keys.ts'
import type { Reply } from '../../engine/store/connection/link.ts'
import type { ScriptName } from '../../engine/store/connection/scripts.ts'
import { bookKeys } from '../../engine/store/data/voucher-store.ts'
import { Call } from '../sim/redis/call.ts'
import { Keyspace } from '../sim/redis/keyspace.ts'
import { VOUCHERS } from '../sim/redis/voucher-scripts.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { openScriptRoom } from '../support/script-room.ts'
import { seed } from '../support/seed.ts'

const RUNS = effort(40, 3000)
const STEPS_MIN = 8
const VALID_MS = 200_000

let room: Awaited<ReturnType<typeof openScriptRoom>>
beforeAll(async () => {
  room = await openScriptRoom()
})
afterAll(() => room[Symbol.asyncDispose]())

type Plain = string | number | null | readonly Plain[]
const plain = (reply: Reply): Plain =>
  Buffer.isBuffer(reply) ? reply.toString('latin1') : Array.isArray(reply) ? reply.map(plain) : (reply as Plain)

const CALLERS = [keys.callerKeys('p', 1), keys.callerKeys('p', 2)]
let made = 0
const met = new Set<string>()

class Sides {
  readonly id = `cmp_twin${++made}`
  readonly keyspace = new Keyspace()
  readonly hashes: readonly string[]
  /** Since when by Redis's clock, and how much the campaign's is ahead. */
  readonly start: number
  #ahead = 0

  constructor(start: number) {
    this.start = start
    const { campaignVouchers, campaignTouched, campaignRedemptions, campaignRequests } = keys
    const { campaignAnswers, campaignUsage, campaignBudget, campaignState, campaignBalances } = keys
    const touched = [campaignVouchers, campaignTouched, campaignRedemptions, campaignRequests]
    const all = [...touched, campaignAnswers, campaignUsage, campaignBudget, campaignState, campaignBalances]
    this.hashes = [...all.map(key => key(this.id)), ...CALLERS]
  }

  #keysOf(name: ScriptName): readonly string[] {
    const { id } = this
    if (name === 'campaign-create') return bookKeys(id)
    if (name === 'key-own') return CALLERS
    if (name === 'voucher-read') return [...bookKeys(id), keys.campaignVouchers(id), keys.campaignAnswers(id)]
    const voucher = [...bookKeys(id), keys.campaignVouchers(id), keys.campaignTouched(id), keys.campaignDue(id)]
    if (name !== 'redeem' && name !== 'reverse') return voucher
    const request = [keys.campaignRedemptions(id), keys.campaignRequests(id), keys.campaignAnswers(id)]
    const budget = name === 'reverse' ? [keys.campaignBudget(id)] : []
    return [...voucher, ...request, keys.campaignUsage(id), ...budget]
  }

  async run(name: ScriptName, args: readonly (string | number)[]): Promise<void> {
    const names = this.#keysOf(name)
    const before = await room.now()
    const real = (await room.link.script(room.scripts[name], [...names], [...args])).map(plain)
    const after = await room.now()
    const there = await this.#there()
    for (let moment = before; ; moment++) {
      const call = new Call(this.keyspace, moment)
      const twin = VOUCHERS[name]?.(call, names, args.map(String))
      if (moment < after && !isDeepStrictEqual([twin, this.keyspace.dump()], [real, there])) {
        for (const { undo } of call.writes.toReversed()) undo()
        continue
      }
      expect(twin, `${name} ${args}`).toEqual(real)
      expect(this.keyspace.dump(), `${name} ${args}`).toEqual(there)
      const outcomes =
        name === 'redeem' && Array.isArray(real[1]) ? (real[1] as Plain[][]).map(([code]) => code) : [real[0]]
      for (const outcome of outcomes) met.add(`${name} ${outcome}`)
      return
    }
  }

  async #there() {
    const [due, log] = [keys.campaignDue(this.id), keys.campaignLedger(this.id)]
    // The callers' keys and the campaign's lie in different cluster slots.
    const [hashes, scores, entries] = await Promise.all([
      Promise.all(this.hashes.map(key => room.link.request(client => client.hgetall(key)))),
      room.link.request(client => client.zrange(due, '0', '-1', 'WITHSCORES')),
      room.link.request(client => client.xrange(log, '-', '+')),
    ])
    const scored = Object.fromEntries(scores.flatMap((member, i) => (i % 2 === 0 ? [[member, scores[i + 1]]] : [])))
    const rows: [string, unknown][] = hashes.map((hash, i) => [this.hashes[i] as string, hash])
    rows.push([due, scored], [log, entries.map(([id, fields]) => ({ id, fields }))])
    return rows.filter(([, value]) => Object.keys(value as object).length > 0).sort(([a], [b]) => (a < b ? -1 : 1))
  }

  async passes(ms: number): Promise<void> {
    this.#ahead += ms
    await this.put(keys.campaignState(this.id), 'ahead', String(this.#ahead))
  }

  async put(key: string, field: string, value: string): Promise<void> {
    await room.link.request(client => client.hset(key, field, value))
    this.keyspace.apply(['hset', key, [field, value]])
  }

  facts(serial: number): string {
    const expires = this.start + VALID_MS
    return `1:${serial} 1:0:${Math.floor(expires / 60_000)} ${expires} 1000`
  }

  /** The day and the lease that a redemption is judged on; now and then another one. */
  grounds(kind: number): string {
    const day = `d${kind % 2} ${kind === 5 ? this.start + 10 * VALID_MS : 0} ${this.start + 20 * VALID_MS}`
    return `${day} 0 ${kind === 4 ? 1 : this.start + VALID_MS}`
  }
}

interface Step {
  readonly text: string
  readonly run: (sides: Sides) => Promise<void>
}

const serials = fc.nat(2)
const orders = fc.constantFrom('o1', 'o2')
const merchants = fc.constantFrom('m1', 'm2')
const bound = fc.constantFrom('', '', 'm1', 'm2')
const step = (text: string, run: Step['run']): Step => ({ text, run })

const redemption = fc.tuple(serials, fc.nat(7), orders, merchants, fc.constantFrom('', '1'), fc.nat(3))
type Asked = readonly [number, number, string, string, string, number]
const wordsOf = (sides: Sides, [serial, key, order, merchant, own, most]: Asked): string[] => [
  ...[sides.facts(serial), `p k${key}`, `f${serial}`, ['0 0 0', '1 0 0', '0 1 0', '0 0 1500'][most] as string],
  ...[`rdm_${key}`, '700', `0 ${merchant} u`, order, own, '5000', 'general', `{"id":"rdm_${key}"}`],
]

const plan = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc
        .tuple(fc.nat(5), fc.array(redemption, { minLength: 1, maxLength: 3 }))
        .map(([kind, asked]) =>
          step('redeem', sides =>
            sides.run('redeem', [sides.grounds(kind), ...asked.flatMap(each => wordsOf(sides, each))]),
          ),
        ),
    },
    {
      weight: 4,
      arbitrary: fc
        .tuple(fc.nat(7), fc.nat(3), fc.constantFrom(0, 0, 300, 900), fc.constantFrom('available', 'returned'), bound)
        .map(([redeemed, key, amount, unused, merchant]) => {
          const words = [`rdm_${redeemed}`, `p back${key}${amount}`, `f${redeemed}`, `rev_${++made}`, amount, unused]
          return step('reverse', sides => sides.run('reverse', [...words, merchant, 'note', '{"id":"r","amount":']))
        }),
    },
    {
      weight: 4,
      arbitrary: fc
        .tuple(serials, bound, orders, fc.constantFrom(30_000, 1000))
        .map(([serial, merchant, order, ttl]) =>
          step('lock', sides =>
            sides.run('voucher-lock', [sides.facts(serial), 'p', merchant, order, ttl, `lck_${++made}`]),
          ),
        ),
    },
    {
      weight: 3,
      arbitrary: fc
        .tuple(serials, bound, orders)
        .map(([serial, merchant, order]) =>
          step('unlock', sides => sides.run('voucher-unlock', [sides.facts(serial), 'p', merchant, order])),
        ),
    },
    {
      weight: 2,
      arbitrary: fc.constant(
        step('read', sides => sides.run('voucher-read', [[0, 1, 2].map(serial => sides.facts(serial)).join(',')])),
      ),
    },
    {
      weight: 1,
      arbitrary: fc
        .array(fc.tuple(fc.nat(9), fc.nat(2)), { minLength: 1, maxLength: 4 })
        .map(pairs =>
          step('keys', sides => sides.run('key-own', [60, ...pairs.flatMap(([k, f]) => [`k${k}`, `f${f}`])])),
        ),
    },
    {
      weight: 2,
      arbitrary: fc.constantFrom(20_000, 40_000, 90_000).map(ms => step('time', sides => sides.passes(ms))),
    },
  ),
  { minLength: STEPS_MIN, maxLength: 40, size: 'max' },
)

test(`tills' scripts and their twins say and hold the same (seed ${seed})`, { timeout: PATIENCE_MS }, async () => {
  const property = fc.asyncProperty(plan, async steps => {
    const sides = new Sides(await room.now())
    for (const key of CALLERS) await room.link.request(client => client.del(key))
    await sides.run('voucher-read', [sides.facts(0)])
    for (const funds of [90_000, 1]) await sides.run('campaign-create', [funds])
    await sides.put(keys.campaignBudget(sides.id), 'sum', '5000')
    for (const { run } of steps) await run(sides)
  })
  await fc.assert(property, { seed, numRuns: RUNS })
  for (const name of Object.keys(VOUCHERS))
    expect(
      [...met].some(each => each.startsWith(`${name} `)),
      name,
    ).toBe(true)
  console.log(`outcomes met: ${[...met].sort().join(', ')}`)
})
