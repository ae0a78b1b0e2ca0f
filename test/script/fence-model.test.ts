/**
 * The scripts of the level fenced and their simulated twins, side by side on random sequences of claims, raises, promotions,
 * journals that are given back, binds and releases: every reply and every key has to be the same. So what the
 * simulation proves of the level it proves of the Lua that Redis runs.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CODES, type Code } from '../../engine/base/codes.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { openScriptRoom, packUsers } from '../support/script-room.ts'
import { EPOCH, latin1, type Name, newTwins, type Twins, type Words } from '../support/script-twins.ts'
import { seed } from '../support/seed.ts'

const MOST = 14
const POOLS = 3
const HOLDS = ['', 'h1', 'h2'] as const
const RUNS = effort(80, 4000)
const STEPS_MIN = 5

let room: Awaited<ReturnType<typeof openScriptRoom>>
beforeAll(async () => {
  room = await openScriptRoom()
})
afterAll(() => room[Symbol.asyncDispose]())

const [users, general] = [packUsers(['u1', 'u2']), Buffer.from([0])]

interface Step {
  readonly text: string
  readonly run: (twins: Twins) => Promise<unknown>
}

const step = (name: Name, words: fc.Arbitrary<Words>): fc.Arbitrary<Step> =>
  words.map(each => ({ text: `${name} ${each.map(latin1)}`, run: twins => twins.run(name, each) }))

/** A script that can be asked what it would do; now and then it is. */
const dryStep = (name: Name, words: fc.Arbitrary<Words>): fc.Arbitrary<Step> =>
  fc.tuple(words, fc.nat(2)).map(([each, chance]) => {
    const dry = chance === 0
    return {
      text: `${name} ${each.map(latin1)}${dry ? ', dry' : ''}`,
      run: twins => twins.run(name, each, dry),
    }
  })

const fencedEpochs = fc.constantFrom(EPOCH, EPOCH, EPOCH, 'bb', 'cc')
const engines = fc.constantFrom('one', 'two')

const grantLine = fc
  .tuple(fc.integer({ min: 1, max: 12 }), fc.nat(POOLS), fc.integer({ min: 5, max: 7 }), fc.nat(12))
  .map(([sequence, pool, at, user]) => `${sequence} ${pool} ${at} u${user}\n`)

const fencedPlan = fc.array(
  fc.oneof(
    {
      arbitrary: step(
        'claim',
        fc
          .tuple(fencedEpochs, fc.array(fc.nat(12), { minLength: 1, maxLength: 5 }), fc.nat(POOLS - 1), engines)
          .map(([epoch, who, pool, engine]) => [
            epoch,
            packUsers(who.map(user => `u${user}`)),
            Buffer.from([pool]),
            engine,
          ]),
      ),
      weight: 8,
    },
    {
      arbitrary: step(
        'fence-reserve',
        fc.tuple(fencedEpochs, engines, fc.constantFrom(-1, 1, 2, 3, 4, 5), fc.constant(0)),
      ),
      weight: 4,
    },
    {
      arbitrary: step('fence-reserve', fc.tuple(fencedEpochs, engines, fc.constant(3), fc.integer({ min: 1, max: 9 }))),
      weight: 5,
    },
    {
      arbitrary: step(
        'fence-restore',
        fc
          .tuple(
            fencedEpochs,
            engines,
            fc.constantFrom('', EPOCH, 'bb', `${EPOCH} bb`),
            fc.array(grantLine, { maxLength: 4 }),
          )
          .map(([epoch, engine, told, lines]) => [
            epoch,
            engine,
            told,
            lines.join(''),
            lines.length === 3 ? 'another' : '',
          ]),
      ),
      weight: 5,
    },
    {
      arbitrary: step(
        'fence-bind',
        fc.tuple(
          fencedEpochs,
          fc.constantFrom('bb', 'cc'),
          fc.constantFrom(0, 0, 60_000),
          fc.constantFrom(...HOLDS),
          fc.constantFrom('', '', 'another'),
        ),
      ),
      weight: 3,
    },
    { arbitrary: step('hold-end', fc.tuple(fencedEpochs, fc.constantFrom(...HOLDS))), weight: 4 },
    {
      arbitrary: dryStep(
        'fence-release',
        fc.tuple(fencedEpochs, fc.constant(MOST), fc.constantFrom(...HOLDS), fc.constantFrom('r1', 'r2')),
      ),
      weight: 2,
    },
    { arbitrary: fc.constant<Step>({ text: 'promote', run: twins => twins.promote() }), weight: 3 },
    {
      arbitrary: dryStep(
        'restock',
        fc.tuple(
          fencedEpochs,
          fc.nat(POOLS - 1),
          fc.constantFrom(-2, 1, 3),
          fc.constant(MOST),
          fc.constantFrom('', '', 3),
          fc.constantFrom(...HOLDS),
          fc.constantFrom('s1', 's2', 's3'),
        ),
      ),
      weight: 2,
    },
    {
      arbitrary: dryStep(
        'round-turn',
        fc.tuple(
          fencedEpochs,
          fc.constantFrom('pause', 'resume', 'close'),
          fc.constantFrom(...HOLDS),
          fc.constantFrom('t1', 't2', 't3'),
        ),
      ),
      weight: 1,
    },
    {
      arbitrary: fc
        .integer({ min: -150, max: 150 })
        .map((ms): Step => ({ text: `${ms} ms pass`, run: twins => twins.moveClock(ms) })),
      weight: 2,
    },
    { arbitrary: step('round-read', fc.constant([])), weight: 1 },
  ),
  { minLength: STEPS_MIN, maxLength: 30, size: 'max' },
)

test(`the same at the level fenced, over promotions, journals and releases (seed ${seed})`, {
  timeout: PATIENCE_MS,
}, async () => {
  let ran = 0
  const property = fc.asyncProperty(
    fc.array(fc.nat(6), { minLength: POOLS, maxLength: POOLS }),
    fencedPlan,
    async (totals, steps) => {
      const twins = await newTwins(room, { totals, fenced: '1' })
      await twins.run('round-turn', [EPOCH, 'open', '', 'first'])
      for (const step of steps) {
        await step.run(twins)
        ran++
      }
    },
  )
  await fc.assert(property, { seed, numRuns: RUNS })
  expect(ran).toBeGreaterThanOrEqual(RUNS * STEPS_MIN)
})

/** One fail-over that lost a grant and set others aside: scripts and words in order, `promote` between them. */
const FAIL_OVER: readonly (readonly [Name, Words, Code] | 'promote')[] = [
  ['fence-reserve', [EPOCH, 'one', 4, 0], 'granted'],
  ['claim', [EPOCH, users, general, 'one'], 'fenced'],
  ['fence-reserve', [EPOCH, 'one', 4, 4], 'granted'],
  ['fence-reserve', [EPOCH, 'two', 4, 0], 'granted'],
  ['claim', [EPOCH, users, general, 'one'], 'granted'],
  ['claim', [EPOCH, packUsers(['u3', 'u4', 'u5']), general, 'one'], 'unavailable'],
  'promote',
  ['claim', [EPOCH, users, general, 'one'], 'fenced'],
  ['fence-restore', [EPOCH, 'one', EPOCH, '3 0 5 u3\n3 0 5 u4\n', ''], 'granted'],
  ['fence-bind', [EPOCH, 'bb', 60_000, 'h', ''], 'unavailable'],
  ['fence-bind', [EPOCH, 'bb', 0, 'h', 'another'], 'fenced'],
  ['fence-bind', [EPOCH, 'bb', 0, 'h', ''], 'granted'],
  ['fence-bind', [EPOCH, 'cc', 0, 'h', ''], 'replayed'],
  ['fence-restore', ['bb', 'two', '', '4 0 5 u4\n', 'another'], 'fenced'],
  ['fence-restore', ['bb', 'two', '', '4 0 5 u4\n', ''], 'granted'],
  ['fence-release', ['bb', MOST, '', 'r'], 'wrong_state'],
  ['fence-reserve', ['bb', 'one', 4, 0], 'granted'],
]

test('a fail-over, step by step', async () => {
  const twins = await newTwins(room, { totals: [6], fenced: '1' })
  await twins.run('round-turn', [EPOCH, 'open', '', 'first'])
  for (const step of FAIL_OVER) {
    if (step === 'promote') await twins.promote()
    else expect(await twins.run(step[0], step[1]), `${step[0]} ${step[1].map(latin1)}`).toBe(CODES[step[2]].number)
  }
})
