/**
 * Group commit, against a store whose answers the test holds back and decides.
 *
 * The store is made by hand here because the question is about the queue alone: what leaves together, how much is
 * under way, and that each claim gets one answer, its own, whatever Redis decides, fails or leaves open. The last is
 * a property over random decisions; the scripts' side of the same contract is in test/script.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Fault, type FaultCode } from '../../engine/base/assert.ts'
import { CODES, type Code, codeOf } from '../../engine/base/codes.ts'
import { holdersIn } from '../../engine/base/holder.ts'
import { ANSWER_DEADLINE_MS } from '../../engine/base/limits.ts'
import { ClaimQueue } from '../../engine/campaign/claim/claim-queue.ts'
import type { Round } from '../../engine/campaign/round/round.ts'
import { type ClaimStore, type Decision, viasIn } from '../../engine/store/data/claim-store.ts'
import { HandClock } from '../support/hand-clock.ts'
import { NotingAsk, type Told } from '../support/noting-ask.ts'
import { NO_EVENTS } from '../support/round-parts.ts'
import { below, random, seed } from '../support/seed.ts'

interface Call {
  readonly holders: readonly string[]
  readonly pools: readonly number[]
  readonly vias: Buffer | undefined
  readonly answer: (decision: Decision) => void
  readonly fail: (fault: unknown) => void
}

/** An answer is taken in this turn of the event loop, what it lets go leaves at the end of the next. */
const turnEnds = () => new Promise(resolve => setImmediate(resolve))
/** A batch may go on growing for a few turns, and is sent at the latest after these. */
const settled = async () => {
  for (let turn = 0; turn < 6; turn++) await turnEnds()
}

function queueOf({ batchClaims = 8, batchesInFlight = 4 } = {}) {
  const clock = new HandClock()
  const calls: Call[] = []
  const heard: string[] = []
  /** What was counted as answered without a decision, a word a claim. */
  const refused: string[] = []
  const store = {
    claim: (_round: string, _epoch: string, packed: Buffer, pools: Buffer, vias?: Buffer) => {
      const { promise, resolve, reject } = Promise.withResolvers<Decision>()
      const holders = holdersIn(packed)
      calls.push({
        holders,
        pools: pools.length === 1 ? holders.map(() => pools[0] as number) : [...pools],
        vias,
        answer: resolve,
        fail: reject,
      })
      return promise
    },
  } as unknown as ClaimStore
  const round = {
    view: { id: 'rnd_q', notice: { epoch: 'e' } },
    learn: ({ outcomes }: Decision) => heard.push(`decided ${outcomes.length}`),
    finish: () => heard.push('answered'),
  } as unknown as Round
  const queue = new ClaimQueue({
    ...{ round, store, clock, batchClaims, batchesInFlight, renew: undefined },
    events: {
      ...NO_EVENTS,
      answered: (outcome, count) => refused.push(...Array<string>(count).fill(codeOf(outcome) as string)),
      failed: fault => heard.push(`failed ${fault instanceof Error ? fault.message : fault}`),
    },
  })
  let names = 0
  const push = (count = 1, pool = 0, via?: string): NotingAsk => {
    const ask = new NotingAsk(`a${names++}`, { count, pool, askedAt: clock.monotonicMs() })
    ask.via = via
    queue.push(ask)
    return ask
  }
  return { clock, calls, heard, refused, queue, push }
}

/** A decision in which each claim got what `each` says. */
function decisionOf(each: readonly Told[], at = 1000): Decision {
  const notice: Decision['notice'] = {
    epoch: 'e',
    version: 1,
    state: 'open',
    sequence: 0,
    at,
    opensAt: 0,
    closesAt: 0,
    pools: [],
  }
  return {
    ...{ holders: Buffer.alloc(0), notice },
    first: each.find(({ code }) => code === 'granted')?.sequence ?? 1,
    outcomes: Uint8Array.from(each, ({ code }) => CODES[code].number),
    sequences: Uint32Array.from(each, ({ sequence }) => sequence),
    pools: Uint8Array.from(each, ({ pool }) => pool),
  }
}
const grantAll = (call: Call, from = 1): void =>
  call.answer(decisionOf(call.holders.map((_, i) => ({ code: 'granted', sequence: from + i, pool: 0 }))))

test('a batch carries the scopes of its claims, also where an ask is cut, and nothing where none has a scope', async () => {
  const { calls, push } = queueOf({ batchesInFlight: 1 })
  push(2)
  await settled()
  push(3, 0, 'alipay')
  push(2)
  push(10, 0, 'wechat')
  push(1, 0, 'alipay')
  push(4)
  for (let call = 0; call < 4; call++) {
    grantAll(calls[call]!)
    await settled()
  }
  const { length } = calls
  const told = calls.map(({ holders, vias }) => holders.map((_, i) => vias && viasIn(vias)(i)))
  const times = <Word>(count: number, word: Word): Word[] => Array<Word>(count).fill(word)
  expect(told.slice(0, 3)).toEqual([
    times(2, undefined),
    [...times(3, 'alipay'), ...times(2, undefined), ...times(3, 'wechat')],
    [...times(7, 'wechat'), 'alipay'],
  ])
  expect([length, calls[0]?.vias, calls[3]?.vias]).toEqual([4, undefined, undefined])
})

test('what arrives in one turn of the event loop leaves together, what arrives later with the next', async () => {
  const { calls, push } = queueOf()
  const first = [push(), push()]
  expect(calls).toEqual([])
  await settled()
  expect(calls.map(({ holders }) => holders)).toEqual([['a0.0', 'a1.0']])
  const later = [push(), push(), push()]
  await settled()
  expect(calls).toHaveLength(1)
  grantAll(calls[0]!)
  await settled()
  expect(calls.map(({ holders }) => holders.length)).toEqual([2, 3])
  grantAll(calls[1]!, 3)
  await settled()
  expect([...first, ...later].map(ask => ask.told[0]?.map(({ sequence }) => sequence))).toEqual([
    [1],
    [2],
    [3],
    [4],
    [5],
  ])
})

test('batches grow to the cap, a large ask is cut, and its rest goes on where it ended', async () => {
  const { calls, push } = queueOf({ batchClaims: 8, batchesInFlight: 4 })
  const ask = push(30)
  await settled()
  expect(calls.map(({ holders }) => holders.length)).toEqual([8, 8, 8, 6])
  for (const [i, call] of calls.entries()) grantAll(call, 1 + 8 * i)
  await settled()
  expect(ask.told.map(told => told.map(({ sequence }) => sequence))).toEqual(
    Array.from({ length: 30 }, (_, i) => [i + 1]),
  )
})

test('a second batch leaves early only when it is half full, and never more than the bound', async () => {
  const { calls, queue, push } = queueOf({ batchClaims: 8, batchesInFlight: 2 })
  push()
  await settled()
  push(3)
  await settled()
  expect(calls).toHaveLength(1)
  push(1)
  await settled()
  expect(calls.map(({ holders }) => holders.length)).toEqual([1, 4])
  push(8)
  await settled()
  expect([calls.length, queue.waiting]).toEqual([2, 8])
  grantAll(calls[0]!)
  await settled()
  expect([calls.length, queue.waiting]).toEqual([3, 0])
})

test('pools go with their claims: one byte when all agree, else a byte a claim', async () => {
  const { calls, push } = queueOf()
  push(2, 3)
  push(1, 3)
  await settled()
  grantAll(calls[0]!)
  await settled()
  push(2, 1)
  push(1, 0)
  await settled()
  expect(calls.map(({ pools }) => pools)).toEqual([
    [3, 3, 3],
    [1, 1, 0],
  ])
})

test('the worker hears of a decision before its claims do, and of their end after it', async () => {
  const { calls, heard, push } = queueOf()
  const ask = push(2)
  const settle = ask.settle.bind(ask)
  ask.settle = (...answer) => {
    heard.push('settled')
    settle(...answer)
  }
  await settled()
  grantAll(calls[0]!)
  await settled()
  push()
  await settled()
  calls[1]?.fail(new Fault('fenced', 'no state'))
  await settled()
  expect(heard).toEqual(['decided 2', 'settled', 'settled', 'answered', 'failed no state', 'answered'])
})

test('a fault answers each claim of its batch with its code, another error with unknown, and counts it', async () => {
  const { calls, refused, push } = queueOf()
  for (const [fault, code] of [
    [new Fault('fenced', 'x'), 'fenced'],
    [new Fault('unavailable', 'x'), 'unavailable'],
    [new Error('x'), 'unknown'],
  ] as const) {
    const asks = [push(2), push()]
    await settled()
    calls.at(-1)?.fail(fault)
    await settled()
    expect(asks.flatMap(ask => ask.told.flat().map(told => told.code))).toEqual([code, code, code])
    expect(refused.splice(0)).toEqual([code, code, code])
  }
})

test('a sweep sheds what was never sent as overloaded, and calls unknown what was', async () => {
  const { clock, calls, queue, push, refused } = queueOf({ batchClaims: 4, batchesInFlight: 1 })
  const cut = push(6)
  await settled()
  const late = push(2)
  clock.advance(ANSWER_DEADLINE_MS - 1)
  const young = push(1)
  queue.sweep(clock.monotonicMs())
  expect(cut.told.flat()).toEqual([])
  clock.advance(1)
  queue.sweep(clock.monotonicMs())
  expect(cut.told.map(told => told.map(({ code }) => code))).toEqual([[], [], [], [], ['overloaded'], ['overloaded']])
  expect(late.told.flat().map(({ code }) => code)).toEqual(['overloaded', 'overloaded'])
  expect([young.told.flat(), queue.waiting]).toEqual([[], 1])
  clock.advance(ANSWER_DEADLINE_MS - 2)
  queue.sweep(clock.monotonicMs())
  expect(
    cut.told
      .slice(0, 4)
      .flat()
      .map(({ code }) => code),
  ).toEqual(Array(4).fill('unknown'))
  const shed = Array<string>(4).fill('overloaded')
  expect(refused.toSorted()).toEqual([...shed, ...Array<string>(4).fill('unknown')])
  grantAll(calls[0]!)
  await settled()
  expect(cut.told.map(told => told.length)).toEqual(Array(6).fill(1))
  expect(calls[1]?.holders).toEqual(['a2.0'])
})

const CODE_CHOICE: readonly Code[] = [
  'granted',
  'granted',
  'granted',
  'replayed',
  'sold_out',
  'sold_out',
  'paused',
  'closed',
]

/** Answers a call by chance and notes what each holder has to be told. */
function decide(next: () => number, call: Call, sequence: number, expected: Map<string, Told | FaultCode>): number {
  if (next() < 0.15) {
    const code = (['fenced', 'unavailable', 'unknown'] as const)[below(next, 3)] as FaultCode
    for (const holder of call.holders) expected.set(holder, code)
    call.fail(code === 'unknown' ? new Error('no answer') : new Fault(code, 'x'))
    return sequence
  }
  let last = sequence
  const each = call.holders.map((holder, i): Told => {
    const code = CODE_CHOICE[below(next, CODE_CHOICE.length)] as Code
    const pool = code === 'replayed' ? below(next, 4) : (call.pools[i] as number)
    const own = code === 'granted' ? ++last : code === 'replayed' ? 1 + below(next, 1000) : 0
    const told = { code, sequence: own, pool }
    expected.set(holder, told)
    return told
  })
  call.answer(decisionOf(each))
  return last
}

interface Plan {
  readonly sizes: readonly number[]
  readonly batchClaims: number
  readonly batchesInFlight: number
  readonly salt: number
}

async function runPlan({ sizes, batchClaims, batchesInFlight, salt }: Plan): Promise<number> {
  const next = random(salt)
  const { clock, calls, queue, push } = queueOf({ batchClaims, batchesInFlight })
  const expected = new Map<string, Told | FaultCode>()
  const asks: NotingAsk[] = []
  let open: Call[] = []
  let known = 0
  let sequence = 0
  const turn = async () => {
    await settled()
    for (; known < calls.length; known++) open.push(calls[known] as Call)
    expect(open.length).toBeLessThanOrEqual(batchesInFlight)
  }
  for (const size of sizes) {
    asks.push(push(size, below(next, 3)))
    if (next() < 0.5) await turn()
    if (next() < 0.1) clock.advance(below(next, 2 * ANSWER_DEADLINE_MS))
    if (next() < 0.3) queue.sweep(clock.monotonicMs())
    if (next() < 0.5 && open.length > 0)
      sequence = decide(next, open.splice(below(next, open.length), 1)[0] as Call, sequence, expected)
  }
  for (await turn(); open.length > 0; await turn()) {
    for (const call of open) sequence = decide(next, call, sequence, expected)
    open = []
  }
  await settled()
  const sent = calls.flatMap(({ holders }) => holders)
  expect(new Set(sent).size, 'each claim leaves once').toBe(sent.length)
  for (const { holders } of calls) expect(holders.length).toBeLessThanOrEqual(batchClaims)
  expect(queue.waiting).toBe(0)
  for (const ask of asks) {
    for (const [i, told] of ask.told.entries()) {
      const holder = `${ask.name}.${i}`
      expect(told, `${holder} is told once`).toHaveLength(1)
      const answer = told[0] as Told
      const should = expected.get(holder)
      if (answer.code === 'overloaded') expect(should, 'what was shed was never sent').toBeUndefined()
      else if (typeof should === 'string') expect(['unknown', should]).toContain(answer.code)
      else if (answer.code !== 'unknown') expect(answer).toEqual(should)
    }
  }
  return asks.flatMap(ask => ask.told.flat()).filter(({ code }) => code === 'granted' || code === 'replayed').length
}

test('whatever is decided, in whatever order: every claim is answered once, with its own answer', async () => {
  const plans = fc.record({
    sizes: fc.array(fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 40 })), { minLength: 1, maxLength: 60 }),
    batchClaims: fc.integer({ min: 1, max: 24 }),
    batchesInFlight: fc.integer({ min: 1, max: 4 }),
    salt: fc.nat(1_000_000),
  })
  let holding = 0
  await fc.assert(
    fc.asyncProperty(plans, async plan => {
      holding += await runPlan(plan)
    }),
    { seed, numRuns: 200 },
  )
  expect(holding).toBeGreaterThan(1000)
})

test('a decision about claims that were not asked is a bug and not an answer', async () => {
  const bug = Promise.withResolvers<unknown>()
  const { calls, push } = queueOf()
  const listeners = process.listeners('uncaughtException')
  const rejections = process.listeners('unhandledRejection')
  process.removeAllListeners('unhandledRejection').once('unhandledRejection', bug.resolve)
  push(1)
  await settled()
  const told: Told = { code: 'replayed', sequence: 1, pool: 0 }
  calls[0]?.answer(decisionOf([told, told]))
  await expect(bug.promise).resolves.toMatchObject({ name: 'Bug' })
  for (const listener of rejections) process.on('unhandledRejection', listener)
  expect(process.listeners('uncaughtException')).toEqual(listeners)
})
