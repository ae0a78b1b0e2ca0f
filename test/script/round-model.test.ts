/**
 * The round scripts and their simulated twins (test/sim/redis/scripts.ts), side by side on random sequences of claims,
 * turns, restocks, reads, budgets, moved clocks and lost keys: every reply and every key has to be the same.
 *
 * So the simulation runs what Redis runs. After each step the laws are checked too, on Redis itself and by a reader
 * that knows neither: never more than the stock of a pool, sequences 1..n without a gap, one sequence a holder key, and
 * the log replayed from its start gives the state that stands. Requests repeat on purpose (few ids, few users), since
 * repeats are where exactness is lost.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CODES, type Code } from '../../engine/base/codes.ts'
import { packVias } from '../../engine/store/data/claim-store.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { openScriptRoom, packUsers } from '../support/script-room.ts'
import { EPOCH, latin1, type Name, newTwins, type Twins, type Words } from '../support/script-twins.ts'
import { seed } from '../support/seed.ts'

const MOST = 14
const POOLS = 3
const RUNS = effort(80, 4000)
const STEPS_MIN = 5

let room: Awaited<ReturnType<typeof openScriptRoom>>
beforeAll(async () => {
  room = await openScriptRoom()
})
afterAll(() => room[Symbol.asyncDispose]())

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
    scopes: fc.constantFrom(0, 0, 1, 3),
    epoch: epochs,
  })
  .map(({ rows, onePool, scopes, epoch }): Step => {
    const holders = rows.map(([user, slot]) => {
      const id = user === 22 ? `u${'long'.repeat(10)}` : `u${user}`
      return slot === 1 ? id : `${id}/${slot}`
    })
    const pools = Buffer.from(onePool ? [rows[0]?.[2] as number] : rows.map(([, , pool]) => pool))
    // By keys without a scope, by one key with a scope, by keys of both kinds.
    const scopeOf = (i: number) => ['alipay', undefined, 'm.1'][scopes > 0 ? i % scopes : 1]
    const vias = packVias(rows.map((_, i) => [scopeOf(i), 1]))
    return {
      text: `claim ${holders} in ${[...pools]}, ${scopes} scopes`,
      run: twins => twins.run('claim', [epoch, packUsers(holders), pools, '', ...(vias ? [vias] : [])]),
    }
  })

/** A script that can be asked what it would do; now and then it is. */
const drySteps = (name: Name, words: fc.Arbitrary<Words>): fc.Arbitrary<Step> =>
  fc.tuple(words, fc.nat(3)).map(([each, chance]) => {
    const dry = chance === 0
    return {
      text: `${name} ${each.map(latin1)}${dry ? ', dry' : ''}`,
      run: twins => twins.run(name, each, dry),
    }
  })

const turnStep = drySteps(
  'round-turn',
  fc
    .tuple(fc.constantFrom('open', 'open', 'pause', 'resume', 'resume', 'close'), fc.nat(20), epochs)
    .map(([verb, request, epoch]) => [epoch, verb, request % 3 === 0 ? '' : `t${request}`, `t${request}`]),
)

const restockStep = drySteps(
  'restock',
  fc
    .record({
      pool: fc.nat(POOLS - 1),
      add: fc.integer({ min: -4, max: 4 }),
      request: fc.nat(20),
      total: fc.nat(30),
      epoch: epochs,
    })
    .filter(({ add }) => add !== 0)
    .map(({ pool, add, request, total, epoch }) => {
      const wanted = total > 12 ? '' : total
      return [epoch, pool, add, MOST, wanted, request % 3 === 0 ? '' : `s${request}`, `s${request}`]
    }),
)

const holdStep = fc
  .tuple(fc.constantFrom('t', 's'), fc.nat(20), fc.boolean(), epochs)
  .map(([kind, request, newest, epoch]): Step => {
    const end = (twins: Twins) => twins.run('hold-end', [epoch, newest ? twins.hold : `${kind}${request}`])
    return { text: `end ${newest ? 'the hold' : `hold ${kind}${request}`}`, run: end }
  })

const budgetStep = drySteps(
  'budget',
  fc
    .tuple(fc.nat(9), fc.integer({ min: -20, max: 60 }))
    .map(([request, amount]) => [`r${request}`, amount, 100, request % 2 === 0 ? '' : '1']),
)

const voidStep = fc.nat(25).map((request): Step => {
  const words = [request > 20 ? '' : `s${request}`]
  return { text: `give up ${words}`, run: twins => twins.run('round-void', words) }
})

const readStep = fc.constant<Step>({ text: 'read', run: twins => twins.run('round-read', []) })
const clockStep = fc
  .integer({ min: -150, max: 150 })
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
      { arbitrary: holdStep, weight: 4 },
      { arbitrary: clockStep, weight: 4 },
      { arbitrary: readStep, weight: 2 },
      { arbitrary: budgetStep, weight: 2 },
      { arbitrary: voidStep, weight: 2 },
      { arbitrary: loseStep, weight: 1 },
    ),
    { minLength: STEPS_MIN, maxLength: 30, size: 'max' },
  ),
})

test(`the scripts and their twins say and hold the same (seed ${seed})`, { timeout: PATIENCE_MS }, async () => {
  let ran = 0
  const property = fc.asyncProperty(plan, async ({ totals, opens, closes, steps }) => {
    const twins = await newTwins(room, { totals, opens, closes })
    if (opens === 0) await twins.run('round-turn', [EPOCH, 'open', '', 'first'])
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
  ['claim', [other, users, general, ''], 'fenced'],
  ['claim', [EPOCH, users, general, ''], 'granted'],
  ['claim', [EPOCH, users, general, 'one'], 'fenced'],
  ['fence-reserve', [EPOCH, 'one', 9, 0], 'fenced'],
  ['round-turn', [other, 'open', '', 'a'], 'fenced'],
  ['round-turn', [EPOCH, 'resume', '', 'a'], 'wrong_state'],
  ['round-turn', [EPOCH, 'open', 'h', 'a'], 'granted'],
  ['round-turn', [EPOCH, 'open', 'h', 'a'], 'replayed'],
  ['hold-end', [other, 'h'], 'fenced'],
  ['hold-end', [EPOCH, 'x'], 'granted'],
  ['hold-end', [EPOCH, 'hold'], 'granted'],
  ['restock', [other, 0, 1, MOST, '', '', 'b'], 'fenced'],
  ['restock', [EPOCH, 0, -6, MOST, '', '', 'b'], 'below_granted'],
  ['restock', [EPOCH, 0, MOST, MOST, '', '', 'b'], 'invalid'],
  ['restock', [EPOCH, 0, 1, MOST, 4, '', 'b'], 'changed'],
  ['restock', [EPOCH, 0, 1, MOST, 5, '', 'b'], 'granted'],
  ['restock', [EPOCH, 0, 1, MOST, 5, '', 'b'], 'replayed'],
  ['round-void', ['b'], 'replayed'],
  ['round-void', ['g'], 'granted'],
  ['restock', [EPOCH, 0, 1, MOST, '', '', 'g'], 'unavailable'],
  ['round-void', ['g'], 'granted'],
  ['round-void', [''], 'replayed'],
  ['budget', ['c', 100, 100, ''], 'granted'],
  ['budget', ['d', 1, 100, ''], 'budget_exceeded'],
  ['budget', ['d', 1, 100, '1'], 'granted'],
  ['round-turn', [EPOCH, 'close', '', 'e'], 'granted'],
  ['restock', [EPOCH, 0, 1, MOST, '', '', 'f'], 'wrong_state'],
  ['round-read', [], 'granted'],
  ['round-history', [EPOCH, 1, other], 'replayed'],
  ['round-history', [other, 999, 'cc'], 'replayed'],
  ['round-history', [EPOCH, 999, other], 'granted'],
  ['round-history', [EPOCH, 999, 'cc'], 'replayed'],
]

test('every outcome of each script is compared', async () => {
  const twins = await newTwins(room, { totals: [5] })
  for (const [name, words, outcome] of WALK)
    expect(await twins.run(name, words), `${name} ${words.map(latin1)}`).toBe(CODES[outcome].number)
  await twins.lose('state')
  expect(await twins.run('round-read', [])).toBe(CODES.fenced.number)
})

test('the comparison itself can fail: one grant that only Redis has is found', async () => {
  const twins = await newTwins(room, { totals: [5] })
  await twins.run('round-turn', [EPOCH, 'open', '', 'first'])
  await room.claim(twins.id, ['u1'], 0, EPOCH)
  await expect(twins.run('claim', [EPOCH, packUsers(['u2']), Buffer.from([0]), ''])).rejects.toThrow('to deeply equal')
})
