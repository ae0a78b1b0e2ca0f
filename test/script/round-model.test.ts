/**
 * The round scripts and their simulated twins (test/sim/redis/scripts.ts), side by side on random sequences of claims,
 * turns, restocks, reads, budgets, moved clocks and lost keys: every reply and every key has to be the same.
 *
 * So the simulation runs what Redis runs. After each step the laws are checked too, on Redis itself and by a reader
 * that knows neither: never more than the stock of a pool, sequences 1..n without a gap, one sequence a holder key, and
 * the log replayed from its start gives the state that stands. Requests repeat on purpose (few ids, few users), since
 * repeats are where exactness is lost. Redis's clock is real: its answer tells the twin the moment, and `last`, which a
 * script never goes behind, moves both ahead.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CODES, type Code } from '../../engine/base/codes.ts'
import { holdersIn } from '../../engine/base/holder.ts'
import * as keys from '../../engine/store/keys.ts'
import type { Reply } from '../../engine/store/link.ts'
import { Call } from '../sim/redis/call.ts'
import { Keyspace } from '../sim/redis/keyspace.ts'
import { SIMULATED } from '../sim/redis/scripts.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { openScriptRoom, packUsers } from '../support/script-room.ts'
import { seed } from '../support/seed.ts'

const MOST = 14
const POOLS = 3
const LEASE_MS = 60
const RUNS = effort(80, 4000)
const STEPS_MIN = 5
const EPOCH = '00000000000000aa'

let room: Awaited<ReturnType<typeof openScriptRoom>>
beforeAll(async () => {
  room = await openScriptRoom()
})
afterAll(() => room[Symbol.asyncDispose]())

type Name = 'claim' | 'round-create' | 'round-turn' | 'round-read' | 'restock' | 'budget'
type Words = readonly (string | number | Buffer)[]

const plain = (reply: Reply): unknown => (Buffer.isBuffer(reply) ? reply.toString('latin1') : reply)
const latin1 = (word: string | number | Buffer): string =>
  Buffer.isBuffer(word) ? word.toString('latin1') : String(word)

/** One round in Redis and in a keyspace of the simulation. */
class Twins {
  readonly keyspace = new Keyspace()
  readonly id: string
  readonly #state: string
  readonly #holders: string
  readonly #log: string
  readonly #budget: string

  constructor(id: string) {
    this.id = id
    this.#state = keys.roundState(id)
    this.#holders = keys.roundHolders(id)
    this.#log = keys.roundLog(id)
    this.#budget = keys.campaignBudget(id)
  }

  /** Runs a script on both sides and compares what they say and what they hold. */
  async run(name: Name, words: Words): Promise<unknown> {
    const channel = keys.roundChannel(this.id)
    const [names, args] = {
      claim: [
        [this.#state, this.#holders, this.#log],
        [channel, ...words],
      ],
      'round-create': [
        [this.#state, this.#log],
        [channel, ...words],
      ],
      'round-turn': [
        [this.#state, this.#log],
        [channel, ...words],
      ],
      'round-read': [[this.#state], words],
      restock: [
        [this.#state, this.#log],
        [channel, ...words],
      ],
      budget: [[this.#budget], words],
    }[name] as [string[], Words]
    const real = (await room.link.script(room.scripts[name], names, args)).map(plain)
    const at = Number(String(real[1]).split(' ')[4] ?? 0)
    const call = new Call(this.keyspace, Number.isNaN(at) ? 0 : at)
    const twin = SIMULATED[name]?.(call, names, args.map(latin1))
    expect(twin, `${name} ${words.map(latin1)}`).toEqual(real)
    await this.compare()
    return real[0]
  }

  async compare(): Promise<void> {
    const [state, holders, log, budget] = await room.link.request(client =>
      Promise.all([
        client.hgetall(this.#state),
        client.hgetallBuffer(this.#holders),
        client.xrangeBuffer(this.#log, '-', '+'),
        client.hgetall(this.#budget),
      ]),
    )
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
    })
    const isThere = (value: object) => Object.keys(value).length > 0
    const there = real.filter(([, value]) => isThere(value)).sort(([a], [b]) => (a < b ? -1 : 1))
    expect(this.keyspace.dump()).toEqual(there)
  }

  /** Neither side's clock is before this moment any more. */
  async moveClock(ms: number): Promise<void> {
    if (!this.keyspace.has(this.#state)) return
    const last = Number(this.keyspace.hash(this.#state)?.get('last')) + ms
    await room.setState(this.id, 'last', last)
    this.keyspace.apply(['hset', this.#state, ['last', String(last)]])
  }

  async lose(part: 'state' | 'holders' | 'log'): Promise<void> {
    const key = { state: this.#state, holders: this.#holders, log: this.#log }[part]
    await room.link.request(client => client.del(key))
    this.keyspace.apply(['del', key, []])
  }

  async checkLaws(start: readonly number[]): Promise<void> {
    const [notice, holders, log] = await Promise.all([room.notice(this.id), room.holders(this.id), room.log(this.id)])
    for (const pool of notice.pools) expect(pool.granted).toBeLessThanOrEqual(pool.total)
    const sequences = Object.values(holders).map(({ sequence }) => sequence)
    expect(sequences.toSorted((a, b) => a - b)).toEqual(sequences.map((_, i) => i + 1))
    expect(replay(log, start)).toEqual({ pools: notice.pools, holders, sequence: notice.sequence })
  }
}

/** The state that the log alone tells. */
function replay(log: Awaited<ReturnType<typeof room.log>>, totals: readonly number[]) {
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

interface Step {
  readonly text: string
  readonly run: (twins: Twins) => Promise<unknown>
  /** The laws no longer hold of a round that lost a key. */
  readonly loses?: boolean
}

/** Now and then an engine believes in another epoch. */
const epochs = fc.constantFrom(...Array<string>(15).fill(EPOCH), 'ffffffffffffffff')

const claimStep = fc
  .record({
    rows: fc.array(fc.tuple(fc.nat(22), fc.integer({ min: 1, max: 2 }), fc.nat(POOLS - 1)), {
      minLength: 1,
      maxLength: 20,
    }),
    onePool: fc.boolean(),
    epoch: epochs,
  })
  .map(({ rows, onePool, epoch }): Step => {
    const holders = rows.map(([user, slot]) => {
      const id = user === 22 ? `u${'long'.repeat(10)}` : `u${user}`
      return slot === 1 ? id : `${id}/${slot}`
    })
    const pools = Buffer.from(onePool ? [rows[0]?.[2] as number] : rows.map(([, , pool]) => pool))
    return {
      text: `claim ${holders} in ${[...pools]}`,
      run: twins => twins.run('claim', [epoch, packUsers(holders), pools]),
    }
  })

const turnStep = fc
  .tuple(fc.constantFrom('open', 'open', 'pause', 'resume', 'resume', 'close'), fc.nat(20), epochs)
  .map(([verb, request, epoch]): Step => {
    const words = [epoch, verb, LEASE_MS, `t${request}`]
    return { text: words.join(' '), run: twins => twins.run('round-turn', words) }
  })

const restockStep = fc
  .record({ pool: fc.nat(POOLS - 1), add: fc.integer({ min: -4, max: 4 }), request: fc.nat(20), epoch: epochs })
  .filter(({ add }) => add !== 0)
  .map(({ pool, add, request, epoch }): Step => {
    const words = [epoch, pool, add, MOST, LEASE_MS, `s${request}`]
    return { text: `restock ${words.join(' ')}`, run: twins => twins.run('restock', words) }
  })

const budgetStep = fc.tuple(fc.nat(4), fc.integer({ min: -20, max: 60 })).map(([request, amount]): Step => {
  const words = [`r${request}`, amount, 100]
  return { text: `budget ${words.join(' ')}`, run: twins => twins.run('budget', words) }
})

const readStep = fc.constant<Step>({ text: 'read', run: twins => twins.run('round-read', []) })
const clockStep = fc
  .integer({ min: 0, max: 150 })
  .map((ms): Step => ({ text: `${ms} ms pass`, run: twins => twins.moveClock(ms) }))
const loseStep = fc
  .constantFrom('state' as const, 'holders' as const, 'log' as const)
  .map((part): Step => ({ text: `lose the ${part}`, run: twins => twins.lose(part), loses: true }))

const plan = fc.record({
  totals: fc.array(fc.nat(8), { minLength: POOLS, maxLength: POOLS }),
  opens: fc.constantFrom(0, 1, 300),
  closes: fc.constantFrom(0, 0, 900),
  steps: fc.array(
    fc.oneof(
      { arbitrary: claimStep, weight: 12 },
      { arbitrary: turnStep, weight: 5 },
      { arbitrary: restockStep, weight: 4 },
      { arbitrary: clockStep, weight: 4 },
      { arbitrary: readStep, weight: 2 },
      { arbitrary: budgetStep, weight: 2 },
      { arbitrary: loseStep, weight: 1 },
    ),
    { minLength: STEPS_MIN, maxLength: 30, size: 'max' },
  ),
})

let rounds = 0
async function twinsOf(totals: readonly number[], opens = 0, closes = 0): Promise<Twins> {
  const twins = new Twins(`rnd_twin${++rounds}`)
  const now = await room.now()
  const from = (ms: number) => (ms === 0 ? 0 : now + ms)
  const words = [EPOCH, from(opens), from(closes), '{"a":1}', totals.join(' ')]
  await twins.run('round-create', words)
  await twins.run('round-create', words)
  return twins
}

test(`the scripts and their twins say and hold the same (seed ${seed})`, { timeout: PATIENCE_MS }, async () => {
  let ran = 0
  const property = fc.asyncProperty(plan, async ({ totals, opens, closes, steps }) => {
    const twins = await twinsOf(totals, opens, closes)
    if (opens === 0) await twins.run('round-turn', [EPOCH, 'open', 0, 'first'])
    let whole = true
    for (const step of steps) {
      await step.run(twins)
      whole &&= step.loses !== true
      if (whole) await twins.checkLaws(totals)
      ran++
    }
  })
  await fc.assert(property, { seed, numRuns: RUNS })
  expect(ran).toBeGreaterThanOrEqual(RUNS * STEPS_MIN)
})

const [other, users, general] = ['ffffffffffffffff', packUsers(['u1', 'u2']), Buffer.from([0])]

/** Scripts and words in order, and the outcome that both sides have to give. */
const WALK: readonly (readonly [Name, Words, Code])[] = [
  ['claim', [other, users, general], 'fenced'],
  ['claim', [EPOCH, users, general], 'granted'],
  ['round-turn', [other, 'open', 0, 'a'], 'fenced'],
  ['round-turn', [EPOCH, 'resume', 0, 'a'], 'wrong_state'],
  ['round-turn', [EPOCH, 'open', LEASE_MS, 'a'], 'granted'],
  ['round-turn', [EPOCH, 'open', LEASE_MS, 'a'], 'granted'],
  ['restock', [other, 0, 1, MOST, 0, 'b'], 'fenced'],
  ['restock', [EPOCH, 0, -6, MOST, 0, 'b'], 'below_granted'],
  ['restock', [EPOCH, 0, MOST, MOST, 0, 'b'], 'invalid'],
  ['restock', [EPOCH, 0, 1, MOST, 0, 'b'], 'granted'],
  ['budget', ['c', 100, 100], 'granted'],
  ['budget', ['d', 1, 100], 'budget_exceeded'],
  ['round-turn', [EPOCH, 'close', 0, 'e'], 'granted'],
  ['restock', [EPOCH, 0, 1, MOST, 0, 'f'], 'wrong_state'],
  ['round-read', [], 'granted'],
]

test('every outcome of each script is compared', async () => {
  const twins = await twinsOf([5])
  for (const [name, words, outcome] of WALK)
    expect(await twins.run(name, words), `${name} ${words.map(latin1)}`).toBe(CODES[outcome].number)
  await twins.lose('state')
  expect(await twins.run('round-read', [])).toBe(CODES.fenced.number)
})

test('the comparison itself can fail: one grant that only Redis has is found', async () => {
  const twins = await twinsOf([5])
  await twins.run('round-turn', [EPOCH, 'open', 0, 'first'])
  await room.claim(twins.id, ['u1'], 0, EPOCH)
  await expect(twins.run('claim', [EPOCH, packUsers(['u2']), Buffer.from([0])])).rejects.toThrow('to deeply equal')
})
