/**
 * The scripts of strict and drawn rounds and their simulated twins (test/sim/redis/allot-script.ts, enter-script.ts,
 * draw-scripts.ts), side by side on random sequences: every reply and every key has to be the same.
 *
 * Silence, the end of a window and the end of a lease are made by moving what Redis keeps of them. Buckets are three, so
 * that people meet in them and they grow; some lists begin so long that they leave their chunk. A window's steps come mostly in
 * their order, since chance alone ends no draw.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { holderOfTag } from '../../engine/base/holder.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import type { ScriptName } from '../../engine/store/connection/scripts.ts'
import { packVias } from '../../engine/store/data/claim-store.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { newSides, type Sides } from '../support/mode-twins.ts'
import { openScriptRoom, packUsers } from '../support/script-room.ts'
import { EPOCH, type Words } from '../support/script-twins.ts'
import { seed } from '../support/seed.ts'

const RUNS = effort(15, 3000)
const STEPS_MIN = 8
const POOLS = 2
const STAMPS_FROM = 1_764_000_000_000_000
const HOUR_MS = 3_600_000
const BUCKETS = 3
const CHUNK = 3854
const RECORD = 17

let room: Awaited<ReturnType<typeof openScriptRoom>>
beforeAll(async () => {
  room = await openScriptRoom()
})
afterAll(() => room[Symbol.asyncDispose]())

interface Step {
  readonly text: string
  readonly run: (sides: Sides) => Promise<unknown>
}

const epochs = fc.constantFrom(...Array<string>(15).fill(EPOCH), 'ffffffffffffffff')
type KeyOf = (roundId: string) => string
const on = (sides: Sides, name: ScriptName, of: readonly KeyOf[], words: Words) =>
  sides.run(
    name,
    of.map(key => key(sides.id)),
    words,
  )
const { roundState, roundHolders, roundLog, roundOrder, roundWaiting, roundDraw, roundBatches } = keys
const bundleOf =
  (window: number): KeyOf =>
  id =>
    keys.roundBundle(id, window)

function turning(verb: string, request: number, epoch = EPOCH): Step {
  const words = [epoch, verb, request % 3 === 0 ? '' : `t${request}`, `t${request}`]
  return {
    text: `turn ${words}`,
    run: sides => on(sides, 'round-turn', [roundState, roundLog], [sides.channel, ...words]),
  }
}
const turnStep = fc
  .tuple(fc.constantFrom('open', 'pause', 'resume', 'resume', 'close'), fc.nat(20), epochs)
  .map(words => turning(...words))

const restockStep = fc
  .tuple(fc.nat(POOLS - 1), fc.integer({ min: -2, max: 4 }), fc.constantFrom('', '', '', 5), fc.nat(20))
  .map(([pool, add, total, request]): Step => {
    const words = [EPOCH, pool, add, 30, total, request % 3 === 0 ? '' : `s${request}`, `s${request}`]
    return {
      text: `restock ${words}`,
      run: sides => on(sides, 'restock', [roundState, roundLog], [sides.channel, ...words]),
    }
  })

const holdStep = fc.constant<Step>({
  text: 'end the hold',
  run: sides => on(sides, 'hold-end', [roundState], [sides.channel, EPOCH, sides.field(roundState(sides.id), 'hold')]),
})

const clockStep = fc.nat(150).map(
  (ms): Step => ({
    text: `${ms} ms pass`,
    run: sides =>
      sides.move(roundState(sides.id), (field, value) => (field === 'last' ? `${Number(value) + ms}` : undefined)),
  }),
)

const loseStep = (...lost: readonly KeyOf[]) =>
  fc.constantFrom(...lost).map((key): Step => ({ text: 'a key is lost', run: sides => sides.lose(key(sides.id)) }))

const play = async (sides: Sides, steps: readonly Step[]): Promise<number> => {
  for (const step of steps) await step.run(sides)
  return steps.length
}

interface Arrival {
  readonly holder: string
  readonly stamp: number
  readonly again: boolean
  readonly tie: number
  readonly pool: number
}

function packed({ holder, stamp, again, tie, pool }: Arrival): Buffer {
  const bytes = Buffer.alloc(19 + holder.length)
  bytes.writeDoubleBE(STAMPS_FROM + stamp, 0)
  bytes.set([again ? 1 : 0, tie, 0x80, 0xff], 8)
  bytes.set([pool, holder.length], 17)
  bytes.write(holder, 19, 'latin1')
  return bytes
}

const claim: fc.Arbitrary<Arrival> = fc.record({
  holder: fc.nat(11).map(user => (user === 11 ? `u${'long'.repeat(9)}` : `u${user}`)),
  stamp: fc.nat(40),
  again: fc.boolean(),
  tie: fc.nat(2),
  pool: fc.nat(POOLS - 1),
})

const ALLOT = [roundState, roundHolders, roundLog, roundOrder, roundWaiting]
function allotting(worker: string, mark: number, claims: readonly Arrival[], epoch = EPOCH, scopes = 0): Step {
  // By keys without a scope, by one key with a scope, by keys of both kinds.
  const vias = packVias(claims.map((_, i) => [scopes > 0 ? ['alipay', undefined, 'm.1'][i % scopes] : undefined, 1]))
  const words = [epoch, worker, STAMPS_FROM + mark, Buffer.concat(claims.map(packed)), ...(vias ? [vias] : [])]
  return {
    text: `${worker} up to ${mark}: ${claims.map(({ holder, stamp }) => `${holder}@${stamp}`)}`,
    run: sides => on(sides, 'allot', ALLOT, [sides.channel, ...words]),
  }
}
const [workers, scopes] = [fc.constantFrom('a', 'b', 'c'), fc.constantFrom(0, 1, 3)]
const allotStep = fc
  .tuple(workers, fc.nat(45), fc.array(claim, { maxLength: 6 }), epochs, scopes)
  .map(words => allotting(...words))

/** Every worker was last seen so long ago, and somebody has waited as long; a negative one is a clock that was set back. */
const silenceStep = fc.constantFrom(20_000, 60_000, 60_000, -60_000).map(
  (us): Step => ({
    text: `${us} µs of silence`,
    run: sides =>
      sides.move(roundOrder(sides.id), (field, value) => {
        if (field === 'since' || field === 'woken') return value === '0' ? undefined : `${Number(value) - us}`
        return field.startsWith('w:') ? value.replace(/\d+$/, seen => `${Number(seen) - us}`) : undefined
      }),
  }),
)

const strictPlan = fc.record({
  totals: fc.array(fc.nat(5), { minLength: POOLS, maxLength: POOLS }),
  closes: fc.constantFrom(0, 0, 900),
  steps: fc.array(
    fc.oneof(
      { arbitrary: allotStep, weight: 14 },
      { arbitrary: silenceStep, weight: 3 },
      { arbitrary: turnStep, weight: 2 },
      { arbitrary: restockStep, weight: 2 },
      { arbitrary: holdStep, weight: 3 },
      { arbitrary: clockStep, weight: 1 },
      { arbitrary: loseStep(roundState, roundHolders, roundLog, roundOrder, roundWaiting), weight: 1 },
    ),
    { minLength: STEPS_MIN, maxLength: 30, size: 'max' },
  ),
})

test(`strict: the script and its twin say and hold the same (seed ${seed})`, { timeout: PATIENCE_MS }, async () => {
  let ran = 0
  const property = fc.asyncProperty(strictPlan, async ({ totals, closes, steps }) => {
    ran += await play(await newSides(room, totals, closes), [turning('open', 0), ...steps])
  })
  await fc.assert(property, { seed, numRuns: RUNS })
  expect(ran).toBeGreaterThanOrEqual(RUNS * STEPS_MIN)
})

const tagOf = (user: number): Buffer => Buffer.alloc(16, user + 1)

function entry(user: number, pool: number): Buffer {
  const bytes = Buffer.alloc(25)
  bytes.writeUInt16BE(user % BUCKETS, 0)
  bytes.fill(user + 1, 2, 8)
  bytes.set(tagOf(user), 8)
  bytes.set([pool], 24)
  return bytes
}

function entering(users: readonly (readonly [number, number])[], first = 0, shed = 0, epoch = EPOCH): Step {
  const claims = Buffer.concat(users.map(([user, pool]) => entry(user, pool)))
  const chunks = [0, 1, 2].map(i => (id: string) => keys.roundEntries(id, first + i))
  const seen = users.map(
    ([user]) =>
      (id: string) =>
        keys.roundSeen(id, user % BUCKETS),
  )
  const names = [roundState, roundDraw, roundBatches, ...chunks, ...seen]
  return { text: `enter ${users}`, run: sides => on(sides, 'enter', names, [epoch, first, shed, claims]) }
}
const enterStep = fc
  .tuple(
    fc.array(fc.tuple(fc.nat(60), fc.nat(POOLS - 1)), { minLength: 1, maxLength: 12 }),
    ...([fc.constantFrom(0, 0, 0, 1), fc.nat(3), epochs] as const),
  )
  .map(words => entering(...words))

interface Opening {
  readonly window?: number
  readonly rules: string
  readonly isLate?: boolean
  readonly isNew: boolean
  readonly isOver?: boolean
}

function opening({ window = 0, rules, isLate = false, isNew, isOver = false }: Opening): Step {
  const run = async (sides: Sides) => {
    const now = await room.now()
    const [closes, latest] = [now + (isOver ? 0 : HOUR_MS), isLate ? now - 1 : now + HOUR_MS]
    return on(sides, 'draw-open', [roundDraw, bundleOf(window)], [window, rules, closes, latest, isNew ? 1 : 0])
  }
  return { text: `open ${window} ${rules}`, run }
}
const openStep = fc
  .record({
    ...{ window: fc.nat(1), rules: fc.constantFrom('', 'rules'), isLate: fc.boolean(), isNew: fc.boolean() },
    isOver: fc.nat(3).map(chance => chance === 0),
  })
  .map(opening)

function taking(owner: string, drawsAt = 0, epoch = EPOCH): Step {
  const words = [epoch, owner, 5000, drawsAt]
  const names = [roundState, roundDraw, roundLog]
  return { text: `take ${words}`, run: sides => on(sides, 'draw-take', names, [sides.channel, ...words]) }
}
const takeStep = fc
  .tuple(fc.constantFrom('a', 'a', 'a', 'b'), fc.constantFrom(0, 0, 0, 8e12), epochs)
  .map(words => taking(...words))

const NEXT: Readonly<Record<string, string>> = { closed: 'committed', committed: 'beacon', beacon: 'drawn' }

/** Of the window that stands, and of the phase that stands where no other one is given. */
function writing(owner: string, phase?: string, file = Buffer.from('x')): Step {
  const run = (sides: Sides) => {
    const stands = (field: string) => sides.field(roundDraw(sides.id), field)
    const [window, from] = [Number(stands('window')), phase ?? stands('phase')]
    const words = [owner, 5000, window, from, NEXT[from] ?? 'committed', `${from}.json`, file]
    return on(sides, 'draw-write', [roundDraw, bundleOf(window)], words)
  }
  return { text: `write as ${owner}`, run }
}
const writeStep = fc
  .tuple(fc.constantFrom('a', 'a', 'a', 'b'), fc.nat(7), fc.uint8Array({ maxLength: 8 }))
  .map(([owner, chance, bytes]) => writing(owner, chance === 0 ? 'closed' : undefined, Buffer.from(bytes)))

/** `aside`: how far the first one lies from the next sequence. */
function granting(count: number, aside = 0, pool = 0, epoch = EPOCH): Step {
  const run = (sides: Sides) => {
    const first = Number(sides.field(roundState(sides.id), 'sequence')) + 1 + aside
    const holders = Array.from({ length: count }, (_, i) => holderOfTag(tagOf(first + i)))
    const words = [epoch, 5000, first, packUsers(holders), Buffer.alloc(count, pool)]
    return on(sides, 'draw-grant', [roundState, roundHolders, roundLog, roundDraw], [sides.channel, ...words])
  }
  return { text: `grant ${count}`, run }
}
const grantStep = fc
  .tuple(fc.integer({ min: 1, max: 4 }), fc.constantFrom(0, 0, 0, 1, -1), fc.nat(POOLS - 1), epochs)
  .map(words => granting(...words))

function finishing(rules: string, isLate = false, epoch = EPOCH): Step {
  const run = async (sides: Sides) => {
    const [window, now] = [Number(sides.field(roundDraw(sides.id), 'window')), await room.now()]
    const words = [epoch, window, rules, now + HOUR_MS, isLate ? now - 1 : now + HOUR_MS]
    return on(sides, 'draw-finish', [roundState, roundDraw, bundleOf(window + 1)], [sides.channel, ...words])
  }
  return { text: `finish ${rules}`, run }
}
const finishStep = fc.tuple(fc.constantFrom('', 'rules'), fc.boolean(), epochs).map(words => finishing(...words))

/** The window's time is over, or the lease of who has its draw in hand. */
const ending = (ended: 'closes' | 'until', at = '1'): Step => ({
  text: `${ended} is ${at}`,
  run: sides => sides.move(roundDraw(sides.id), field => (field === ended ? at : undefined)),
})
const overStep = fc
  .constantFrom(['closes'] as const, ['closes'] as const, ['until'] as const, ['until', '8000000000000'] as const)
  .map(([ended, at]) => ending(ended, at))

/** A list that is about to leave its chunk. */
async function lengthen(sides: Sides): Promise<void> {
  const { id } = sides
  const entries = CHUNK - 4
  await sides.change(['set', keys.roundEntries(id, 0), ['\x07'.repeat(CHUNK * RECORD)]])
  await sides.change(['xadd', roundBatches(id), [`${entries}-0`, 'at', '1', 'window', '0']])
  await sides.change(['hset', roundDraw(id), ['entries', String(entries)]])
}

const drawSteps = fc.oneof(
  { arbitrary: enterStep, weight: 6 },
  { arbitrary: openStep, weight: 2 },
  { arbitrary: overStep, weight: 5 },
  { arbitrary: takeStep, weight: 6 },
  { arbitrary: writeStep, weight: 9 },
  { arbitrary: grantStep, weight: 3 },
  { arbitrary: finishStep, weight: 3 },
  { arbitrary: turnStep, weight: 2 },
  { arbitrary: holdStep, weight: 2 },
  { arbitrary: restockStep, weight: 1 },
  { arbitrary: clockStep, weight: 1 },
)

const drawPlan = fc.record({
  totals: fc.array(fc.nat(5), { minLength: POOLS, maxLength: POOLS }),
  isLong: fc.nat(4).map(chance => chance === 0),
  first: openStep,
  steps: fc.array(drawSteps, { minLength: STEPS_MIN, maxLength: 40, size: 'max' }),
  lost: fc.option(loseStep(roundState, roundHolders, roundLog, roundDraw, roundBatches), { freq: 3 }),
  more: fc.array(drawSteps, { maxLength: 6 }),
})

test(`drawn: the scripts and their twins say and hold the same (seed ${seed})`, { timeout: PATIENCE_MS }, async () => {
  let ran = 0
  const property = fc.asyncProperty(drawPlan, async ({ totals, isLong, first, steps, lost, more }) => {
    const sides = await newSides(room, totals)
    await play(sides, [turning('open', 0), first, opening({ rules: 'first', isNew: true })])
    if (isLong) await lengthen(sides)
    ran += await play(sides, [...steps, ...(lost ? [lost] : []), ...more])
  })
  await fc.assert(property, { seed, numRuns: 2 * RUNS })
  expect(ran).toBeGreaterThanOrEqual(2 * RUNS * STEPS_MIN)
})

const OTHER = 'ffffffffffffffff'
const by = (holder: string, stamp: number, tie = 0): Arrival => ({ holder, stamp, tie, again: false, pool: 0 })

/** A strict round of one pack. */
const STRICT: readonly Step[] = [
  allotting('a', 1, [by('u1', 1)]),
  turning('open', 0),
  allotting('a', 5, [by('u1', 4), by('u2', 5)]),
  allotting('b', 6, [by('u1', 6, 1)]),
  allotting('b', 6, [], OTHER),
  // What came is decided once nobody can bring anything that came before it.
  turning('pause', 3),
  allotting('b', 9, []),
  allotting('a', 9, [by('u3', 8)]),
  turning('close', 6),
  allotting('b', 12, []),
  allotting('a', 12, [by('u4', 11)]),
]

const DRAWN_TO_THE_END: readonly Step[] = [
  turning('open', 0),
  entering([[1, 0]]),
  opening({ rules: '', isNew: false }),
  opening({ rules: 'r', isNew: true, isLate: true }),
  opening({ rules: '', isNew: true }),
  entering([[1, 0]]),
  opening({ rules: 'r', isNew: false }),
  opening({ rules: 'r', isNew: false }),
  entering([[1, 0]]),
  entering([[1, 1]]),
  entering([[2, 0]], 1),
  turning('pause', 3),
  entering([[2, 0]]),
  turning('resume', 6),
  taking('a'),
  ending('closes'),
  taking('a', 0, OTHER),
  taking('a'),
  taking('b'),
  writing('b'),
  writing('a', 'beacon'),
  ...[writing('a'), writing('b'), writing('b')],
  granting(2, 0, 1),
  granting(1, 1),
  granting(1),
  granting(1, -1),
  finishing('r', true),
]

test('every outcome of each script is compared', async () => {
  await play(await newSides(room, [1, 0]), STRICT)
  const end = [finishing(''), finishing(''), taking('a'), entering([[5, 0]])]
  await play(await newSides(room, [1, 0]), [...DRAWN_TO_THE_END, ...end])
  const more = [finishing('r'), turning('close', 9), entering([[5, 0]]), finishing('', false, OTHER)]
  const sides = await newSides(room, [2, 0])
  await play(sides, [...DRAWN_TO_THE_END, ...more])
  await sides.lose(roundDraw(sides.id))
  await play(sides, [writing('a')])
  for (const name of ['allot', 'enter', 'draw-open', 'draw-take', 'draw-write', 'draw-grant', 'draw-finish'] as const) {
    const { named, seen } = room.outcomes(name)
    expect(seen, name).toEqual(named)
  }
})

test('the comparison itself can fail: one entry that only Redis has is found', async () => {
  const sides = await newSides(room, [5, 5])
  await play(sides, [turning('open', 0), opening({ rules: 'first', isNew: true })])
  await room.entries.enter(sides.id, EPOCH, entry(1, 0), 0)
  await expect(entering([[2, 0]]).run(sides)).rejects.toThrow('to deeply equal')
})
