/**
 * Strict order in one worker, against a store whose answers the test holds back: which stamp and mark leave when, and
 * that every claim gets one answer whatever comes back. What Redis makes of them is in test/script/allot.test.ts, both
 * together in test/server/strict.test.ts.
 */
import { expect, test } from 'vitest'
import { Fault } from '../../engine/base/assert.ts'
import { CODES } from '../../engine/base/codes.ts'
import { ANSWER_DEADLINE_MS } from '../../engine/base/limits.ts'
import { ArrivalQueue } from '../../engine/campaign/claim/arrival-queue.ts'
import type { Round } from '../../engine/campaign/round/round.ts'
import { ALLOT_HEAD_BYTES, type Allotment, type AllotStore, type Decided } from '../../engine/store/data/allot-store.ts'
import { viasIn } from '../../engine/store/data/claim-store.ts'
import { HandClock } from '../support/hand-clock.ts'
import { NotingAsk } from '../support/noting-ask.ts'
import { NO_EVENTS } from '../support/round-parts.ts'

interface Sent {
  readonly holder: string
  readonly stamp: number
  readonly again: boolean
}

interface Call {
  readonly mark: number
  readonly claims: readonly Sent[]
  readonly vias: Buffer | undefined
  /** Decides the i-th claim as `outcomes[i]` says; undefined waits. */
  readonly answer: (frontier: number, outcomes: readonly (keyof typeof CODES | undefined)[]) => void
  readonly fail: (fault: unknown) => void
}

function claimsIn(bytes: Buffer): Sent[] {
  const claims: Sent[] = []
  for (let at = 0; at < bytes.length; ) {
    const end = at + ALLOT_HEAD_BYTES + (bytes[at + ALLOT_HEAD_BYTES - 1] as number)
    const holder = bytes.toString('latin1', at + ALLOT_HEAD_BYTES, end)
    claims.push({ holder, stamp: bytes.readDoubleBE(at), again: bytes[at + 8] === 1 })
    at = end
  }
  return claims
}

const turns = async () => {
  for (let turn = 0; turn < 4; turn++) await new Promise(resolve => setImmediate(resolve))
}

function queueOf(batchClaims = 8, renews?: () => void) {
  const renew = async () => {
    renews?.()
    view.notice.epoch = 'f'
  }
  const clock = new HandClock()
  const view = { id: 'rnd_q', notice: { epoch: 'e' }, holders: { addText: () => {} }, take: () => {} }
  const calls: Call[] = []
  const arrived: string[] = []
  const store = {
    allot: (_round: string, _epoch: string, { mark }: { mark: number }, bytes: Buffer, vias?: Buffer) => {
      const { promise, resolve, reject } = Promise.withResolvers<Allotment>()
      const claims = claimsIn(bytes)
      const answer: Call['answer'] = (frontier, outcomes) => {
        const decided = outcomes.flatMap((code, index): Decided[] =>
          code
            ? [{ index, outcome: CODES[code].number, sequence: code === 'granted' ? index + 1 : 0, pool: 0, at: 7 }]
            : [],
        )
        resolve({ notice: { ...view.notice } as never, frontier, late: 0, decided })
      }
      calls.push({ mark, claims, vias, answer, fail: reject })
      return promise
    },
  } as unknown as AllotStore
  const queue = new ArrivalQueue({
    ...{ store, clock, batchClaims, worker: 'w', secret: 's' },
    round: { view, finish: () => {} } as unknown as Round,
    renew: renews && renew,
    events: {
      ...NO_EVENTS,
      arrived: (_roundId, stamp, outcome, sequence) => arrived.push(`${stamp - at(0)} ${outcome} ${sequence}`),
    },
  })
  const start = clock.originMs + clock.monotonicMs()
  /** The stamp of a time in ms after the start. */
  const at = (ms: number) => Math.round((start + ms) * 1000)
  const push = (name: string, count = 1, via?: string): NotingAsk => {
    const ask = new NotingAsk(name, { count, pool: 0, askedAt: clock.monotonicMs() })
    ask.via = via
    queue.push(ask)
    return ask
  }
  return { clock, calls, queue, push, at, arrived }
}

const said = ({ told }: NotingAsk) => told.map(answers => answers.map(({ code }) => code).join('+'))

test('a claim leaves with its stamp, the mark passes it, and what is decided at once is answered', async () => {
  const { calls, push, at, arrived } = queueOf()
  const [one, two] = [push('a'), push('b', 2)]
  await turns()
  expect(calls).toHaveLength(1)
  expect(calls[0]).toMatchObject({ mark: at(0), claims: [{ stamp: at(0), again: false }, {}, {}] })
  calls[0]?.answer(at(0), ['granted', 'sold_out', 'granted'])
  await turns()
  expect([said(one), said(two)]).toEqual([['granted'], ['sold_out', 'granted']])
  expect(arrived).toEqual([
    `0 ${CODES.granted.number} 1`,
    `0 ${CODES.sold_out.number} 0`,
    `0 ${CODES.granted.number} 3`,
  ])
})

test('a claim is sent with the scope of whoever asked first each time, and a call without scopes carries none', async () => {
  const { calls, clock, push, at } = queueOf()
  push('plain')
  await turns()
  calls[0]?.answer(at(0), ['granted'])
  await turns()
  const [first, second] = [push('a', 1, 'alipay'), push('a', 1, 'wechat')]
  push('b')
  await turns()
  calls[1]?.answer(at(9), [undefined, 'granted'])
  await turns()
  clock.advance(1)
  await turns()
  const told = calls.map(({ claims, vias }) => claims.map((_, i) => vias && viasIn(vias)(i)))
  expect(told).toEqual([[undefined], ['alipay', undefined], ['alipay']])
  calls[2]?.answer(at(9), ['granted'])
  await turns()
  expect([calls[0]?.vias, said(first), said(second)]).toEqual([undefined, ['granted'], ['replayed']])
})

test('a mark never passes a claim that has not left, and no stamp lies below a mark that was told', async () => {
  const { calls, clock, push, at } = queueOf(2)
  push('a', 2)
  clock.advance(5)
  push('b')
  await turns()
  expect(calls[0]).toMatchObject({ mark: at(5) - 1, claims: [{ stamp: at(0) }, { stamp: at(0) }] })
  calls[0]?.answer(at(5) - 1, ['granted', 'granted'])
  await turns()
  expect(calls[1]).toMatchObject({ mark: at(5), claims: [{ stamp: at(5) }] })
  push('c')
  calls[1]?.answer(at(5), ['granted'])
  await turns()
  expect(calls[2]?.claims).toMatchObject([{ stamp: at(5) + 1 }])
})

test('what waits is asked for again every millisecond, and carried once it must be decided', async () => {
  const { calls, clock, push, at } = queueOf()
  const waits = push('a')
  await turns()
  calls[0]?.answer(at(-9), [undefined])
  await turns()
  expect(calls).toHaveLength(1)
  clock.advance(1)
  await turns()
  expect(calls[1]).toMatchObject({ mark: at(1), claims: [] })
  calls[1]?.answer(at(1), [])
  await turns()
  expect(calls[2]?.claims).toEqual([{ holder: 'a.0', stamp: at(0), again: true }])
  calls[2]?.answer(at(1), ['granted'])
  await turns()
  expect(said(waits)).toEqual(['granted'])
  clock.advance(50)
  await turns()
  expect(calls).toHaveLength(3)
})

test('an idle worker tells its mark when it is called for, also one that its own clock has not reached', async () => {
  const { calls, queue, push, at } = queueOf()
  queue.awaited(at(3))
  await turns()
  expect(calls).toMatchObject([{ mark: at(3), claims: [] }])
  calls[0]?.answer(at(3), [])
  await turns()
  queue.awaited(at(2))
  await turns()
  expect(calls).toHaveLength(1)
  push('a')
  await turns()
  expect(calls[1]?.claims).toMatchObject([{ stamp: at(3) + 1 }])
})

test('who asks twice while the first claim waits takes its answer, as a repeat where it was granted', async () => {
  const { calls, push, at } = queueOf()
  const [first, second] = [push('u'), push('u')]
  await turns()
  expect(calls[0]?.claims).toHaveLength(1)
  const third = push('u')
  calls[0]?.answer(at(0), ['granted'])
  await turns()
  expect([first, second, third].map(said)).toEqual([['granted'], ['replayed'], ['replayed']])
  expect(calls).toHaveLength(1)
})

test('what was registered is in doubt after a fault, what was not is what the fault says', async () => {
  const { calls, push, at, clock } = queueOf()
  const old = push('old')
  await turns()
  calls[0]?.answer(at(-9), [undefined])
  await turns()
  clock.advance(1)
  await turns()
  const fresh = push('fresh')
  calls[1]?.answer(at(0), [])
  await turns()
  expect(calls[2]?.claims.map(({ holder }) => holder)).toEqual(['old.0', 'fresh.0'])
  calls[2]?.fail(new Fault('unavailable', 'gone'))
  await turns()
  expect([said(old), said(fresh)]).toEqual([['unknown'], ['unavailable']])
})

test('after the deadline what was sent is unknown, what was not is overloaded, and nobody is answered twice', async () => {
  const { calls, clock, queue, push, at } = queueOf(1)
  const [sent, queued] = [push('a'), push('b')]
  await turns()
  clock.advance(ANSWER_DEADLINE_MS)
  queue.sweep(clock.monotonicMs())
  expect([said(sent), said(queued)]).toEqual([[''], ['overloaded']])
  clock.advance(300)
  queue.sweep(clock.monotonicMs())
  expect(said(sent)).toEqual(['unknown'])
  calls[0]?.answer(at(0), ['granted'])
  await turns()
  expect(said(sent)).toEqual(['unknown'])
})

test('claims that another epoch refused are asked again in that one, with the same stamps, and nobody is told', async () => {
  const renewed: string[] = []
  const { calls, push } = queueOf(8, () => renewed.push('looked'))
  const ask = push('u1')
  await turns()
  const [first] = calls
  first?.fail(new Fault('fenced', 'another epoch'))
  await turns()
  expect([renewed, said(ask)]).toEqual([['looked'], ['']])
  expect(calls.map(({ mark, claims }) => ({ mark, claims }))).toEqual(
    [first, first].map(call => ({ mark: call?.mark, claims: call?.claims })),
  )
  calls[1]?.answer(first?.mark ?? 0, ['granted'])
  await turns()
  expect(said(ask)).toEqual(['granted'])
})
