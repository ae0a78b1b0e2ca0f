/**
 * The witness's rules, each found by its name in a planted history, and a right history in which none is.
 *
 * A history is a small one in which everything happens once: grants, a sold-out round, a pause, a restock, redemptions, a
 * fail-over with another epoch. A plant changes one thing that a client could have been told, and exactly that rule (and
 * what follows from it) has to be broken. Every rule has a plant, which is itself a test.
 */
import { describe, expect, test } from 'vitest'
import { CODES, type Code } from '../../engine/base/codes.ts'
import { judge, judgeAt, RULES } from '../support/witness/judgement.ts'
import { FORGIVEN } from '../support/witness/levels.ts'
import { type Deed, type RoundRecord, type StateSeen, Testimony, type TurnTold } from '../support/witness/testimony.ts'
import { MERCHANT } from '../support/witness/voucher-rules.ts'

const STOCK = 3
const ROUND = 'rnd_1'
const CAMPAIGN = 'cmp_1'
const NODES = ['first', 'second'] as const
const LATER = 60_000

/** Answers to claims: who, what, from when to when. */
function claim(
  round: RoundRecord,
  user: number,
  outcome: Code | 'no_answer',
  [sent, at]: readonly [number, number],
  sequence = 0,
) {
  const number = outcome === 'no_answer' ? 255 : CODES[outcome].number
  const answered = number === 255 ? Number.POSITIVE_INFINITY : at * 1000
  round.history.push({
    sent: sent * 1000,
    answered,
    user,
    outcome: number,
    sequence,
    vouchers: 0,
    connection: 0,
    slot: 1,
    pool: 0,
  })
  if (outcome === 'granted') round.codes.set(user, { codes: [`code${user}`], at })
}

const turn = (
  verb: TurnTold['verb'],
  [sent, at]: readonly [number, number],
  more: Partial<TurnTold> = {},
): TurnTold => ({
  ...{ node: 'first', sent, at, roundId: ROUND, verb, add: 0, outcome: 'done', total: 0 },
  ...more,
})

const state = (sent: number, version: number, more: Partial<StateSeen> = {}): StateSeen => {
  const { total = STOCK, granted = 0, quarantined = 0 } = more
  return {
    ...{
      node: 'first',
      sent,
      at: sent + 2,
      roundId: ROUND,
      reader: `connection 1 of ${more.node ?? 'first'}`,
      how: 'round',
    },
    ...{ state: 'open', total, granted, quarantined, remaining: total - granted - quarantined, epoch: 'a', version },
    ...more,
  }
}

interface Asked {
  readonly outcome?: string
  readonly key?: string
  readonly body?: object
  readonly node?: string
}

function till(
  told: Testimony,
  deed: Deed,
  code: string,
  sent: number,
  { outcome = 'done', key = '', body = {}, node = 'first' }: Asked = {},
) {
  told.till.push({
    node,
    sent,
    at: sent + 2,
    campaignId: CAMPAIGN,
    deed,
    code,
    key,
    outcome,
    body: JSON.stringify(body),
  })
}

const redeemed = (id: string) => ({ id, discount_amount: 1000 })
const find = (user: number, sequence: number, node: string) =>
  (['claim', 'look-up', 'claims of a user'] as const).map(how => ({
    ...{ node, sent: LATER, at: LATER + 2, roundId: ROUND, user, how, sequence },
    ...{ outcome: how === 'claim' ? 'replayed' : 'granted', codes: [`code${user}`] },
  }))

/** Three packs are granted, the fourth person is refused; two packs more, paused, resumed, one of them granted. */
function right(): { readonly told: Testimony; readonly round: RoundRecord } {
  const told = new Testimony()
  const round = told.round({
    ...{ id: ROUND, campaignId: CAMPAIGN, stock: STOCK, userIdOf: user => `u${user}` },
    ...{ indexOf: userId => Number(userId.slice(1)), nodeOf: () => 'first' },
  })
  for (const user of [1, 2, 3]) claim(round, user, 'granted', [1000 + user, 1010 + user], user)
  claim(round, 4, 'sold_out', [1100, 1110])
  claim(round, 1, 'replayed', [1120, 1130], 1)
  told.turns.push(
    turn('stock', [10_000, 10_010], { add: 2, total: 5 }),
    turn('pause', [20_000, 20_010]),
    turn('resume', [30_000, 30_010]),
  )
  claim(round, 5, 'paused', [20_100, 20_110])
  claim(round, 6, 'no_answer', [30_100, 30_900])
  claim(round, 5, 'granted', [31_000, 31_010], 4)
  claim(round, 6, 'fenced', [40_100, 40_110])
  claim(round, 6, 'granted', [45_000, 45_010], 5)
  told.disturbed.push({ from: 40_000, to: 42_000 })
  told.ready.push(
    { node: 'first', sent: 41_000, at: 41_005, ready: false },
    { node: 'first', sent: 43_000, at: 43_005, ready: true },
  )
  told.states.push(
    ...[state(500, 1), state(5000, 4, { state: 'sold_out', granted: 3 }), state(15_000, 5, { total: 5, granted: 3 })],
    ...[state(25_000, 6, { state: 'paused', total: 5, granted: 3 }), state(35_000, 8, { total: 5, granted: 4 })],
    ...[state(50_000, 3, { state: 'sold_out', total: 5, granted: 5, epoch: 'b' })],
  )
  till(told, 'look', 'code1', 2000, { body: { state: 'active', redemption: null } })
  till(told, 'redeem', 'code1', 2100, { outcome: 'unknown', key: 'k1' })
  till(told, 'redeem', 'code1', 2200, { key: 'k1', body: redeemed('r1') })
  till(told, 'look', 'code1', 2300, { body: { state: 'redeemed', redemption: { id: 'r1' } } })
  till(told, 'redeem', 'code2', 2400, { key: 'k2', body: redeemed('r2') })
  till(told, 'redeem', 'code2', 2450, { outcome: 'already_redeemed', key: 'k0' })
  till(told, 'reverse', 'code2', 2500, { key: 'v2', body: { id: 'v', redemption_id: 'r2', amount: 1000 } })
  till(told, 'look', 'code2', 2600, { body: { state: 'active', redemption: null } })
  till(told, 'redeem', 'code2', 2700, { key: 'k3', body: redeemed('r3') })
  till(told, 'lock', 'code3', 2800)
  till(told, 'look', 'code3', 2900, { body: { state: 'locked' }, node: 'second' })
  const people = [1, 2, 3, 5, 6]
  told.healedAt = LATER
  for (const node of NODES) {
    for (const [place, user] of people.entries()) told.found.push(...find(user, place + 1, node))
    round.lists.push({ node, users: Uint32Array.from(people), sequences: Uint32Array.from([1, 2, 3, 4, 5]) })
    told.balances.push({ node, campaignId: CAMPAIGN, amounts: { available: -2000, [`payable:${MERCHANT}`]: 2000 } })
    told.states.push(state(LATER, 3, { node, state: 'sold_out', total: 5, granted: 5, epoch: 'b' }))
  }
  return { told, round }
}

const last = <T>(all: readonly T[]): T => all.at(-1) as T

type Plant = (told: Testimony, round: RoundRecord) => void

const PLANTS: Readonly<Record<string, Plant>> = {
  'a sequence told to two': (_, round) => claim(round, 7, 'granted', [32_000, 32_010], 2),
  'a user told two sequences': (_, round) => claim(round, 1, 'replayed', [46_000, 46_010], 2),
  'a holder refused': (_, round) => claim(round, 1, 'sold_out', [46_000, 46_010]),
  'sold out too early': (_, round) => claim(round, 7, 'sold_out', [12_000, 12_010]),
  'granted after a refusal': (_, round) => claim(round, 6, 'sold_out', [31_100, 31_110]),
  'refused without a cause': (_, round) => claim(round, 7, 'paused', [46_000, 46_010]),
  'more granted than ordered': told => void told.turns.splice(0, 1),
  'a told grant is lost': told => Object.assign(last(told.found), { outcome: 'not_found', sequence: 0 }),
  'refused for certain and listed': (_, round) =>
    Object.assign(last(round.lists), {
      users: Uint32Array.of(1, 2, 3, 5, 6, 4),
      sequences: Uint32Array.of(1, 2, 3, 4, 5, 6),
    }),
  'listed twice': (_, round) => Object.assign(last(round.lists), { sequences: Uint32Array.of(1, 2, 3, 4, 4) }),
  'a told code is not found': told => till(told, 'look', 'code5', 33_000, { outcome: 'not_found' }),
  'a code told to two': (_, round) => void round.codes.set(6, { codes: ['code5'], at: 45_010 }),
  'a redemption is lost': told => till(told, 'look', 'code1', 50_000, { body: { state: 'active', redemption: null } }),
  'redeemed twice': told => till(told, 'redeem', 'code1', 50_000, { key: 'k9', body: redeemed('r9') }),
  'an answer changed': told =>
    till(told, 'redeem', 'code1', 50_000, { key: 'k1', body: { ...redeemed('r1'), late: true } }),
  'a voucher refused without a cause': told =>
    till(told, 'redeem', 'code1', 50_000, { outcome: 'already_redeemed', key: 'k1' }),
  'the ledger does not have what was told': told =>
    Object.assign(last(told.balances), { amounts: { available: -1000, [`payable:${MERCHANT}`]: 1000 } }),
  'the ledger does not sum to zero': told =>
    Object.assign(last(told.balances), { amounts: { available: 0, [`payable:${MERCHANT}`]: 2000 } }),
  'a version goes back': told => void told.states.push(state(35_100, 7, { total: 5, granted: 4 })),
  'one version with two contents': told =>
    void told.states.push(state(35_100, 8, { total: 5, granted: 5, reader: 'another' })),
  'shown for longer than a second after it was past': told =>
    void told.states.push(state(55_000, 8, { total: 5, granted: 5, reader: 'another' })),
  'a state that a turn proves wrong': told =>
    void told.turns.push(turn('pause', [58_000, 58_010], { outcome: 'wrong_state' }), turn('resume', [62_000, 62_010])),
  'a state that a grant proves wrong': (told, round) => {
    told.states.push(state(38_000, 9, { state: 'closed', total: 5, granted: 4 }))
    claim(round, 8, 'granted', [38_100, 38_110], 6)
  },
  'fewer shown than granted': told =>
    void told.states.push(state(49_000, 2, { total: 5, granted: 4, epoch: 'b', how: 'list' })),
  'more shown than asked': told =>
    void told.states.push(state(2000, 4, { state: 'sold_out', total: 9, granted: 5, reader: 'another' })),
  'the total shown is not what was ordered': told =>
    void told.states.push(state(52_000, 3, { total: 4, granted: 4, epoch: 'b', reader: 'another' })),
  'nodes apart at the end': told => Object.assign(last(told.states), { version: 4 }),
  'a round not found': told => void told.missing.push({ node: 'first', sent: 5, at: 6, roundId: ROUND }),
}

const rulesOf = (told: Testimony) => [...new Set(judge(told).map(({ rule }) => rule))]

test('a right history breaks no rule', () => {
  expect(judge(right().told)).toEqual([])
})

test('every rule has a plant', () => {
  expect(Object.keys(PLANTS).sort()).toEqual([...RULES].sort())
})

describe('a planted history is found by name', () => {
  test.each(Object.entries(PLANTS))('%s', (rule, plant) => {
    const { told, round } = right()
    plant(told, round)
    expect(rulesOf(told)).toContain(rule)
    expect(judge(told).find(violation => violation.rule === rule)?.told).toMatch(/\w/)
  })
})

describe('what is no violation', () => {
  const harmless: Readonly<Record<string, Plant>> = {
    'a sold out that a restock undid': (told, round) => {
      claim(round, 7, 'sold_out', [46_000, 46_010])
      told.turns.push(turn('stock', [47_000, 47_010], { add: 1, outcome: 'unknown' }))
      claim(round, 7, 'replayed', [48_000, 48_010], 6)
      for (const list of round.lists)
        Object.assign(list, { users: Uint32Array.of(1, 2, 3, 5, 6, 7), sequences: Uint32Array.of(1, 2, 3, 4, 5, 6) })
      told.states.splice(0)
    },
    'the lost history, less than a second after the fault': told =>
      void told.states.push(state(43_500, 9, { state: 'paused', total: 5, granted: 5 })),
    'an old state while the node is not ready': told =>
      void told.states.push(state(42_900, 6, { state: 'paused', total: 5, granted: 3, reader: 'another' })),
    'a pause in doubt that held': (told, round) => {
      told.turns.push(turn('pause', [50_500, 52_500], { outcome: 'unknown' }))
      claim(round, 9, 'paused', [53_000, 53_010])
    },
    'a fenced or overloaded holder': (_, round) => claim(round, 1, 'fenced', [46_000, 46_010]),
    'a redemption asked for again after its reversal': told => {
      till(told, 'redeem', 'code5', 33_000, { key: 'k5', body: redeemed('r5') })
      till(told, 'reverse', 'code5', 33_100, { key: 'v5', body: { id: 'w', redemption_id: 'r5', amount: 1000 } })
      till(told, 'redeem', 'code5', 33_200, { key: 'k5', body: redeemed('r5') })
      till(told, 'look', 'code5', 33_300, { body: { state: 'active', redemption: null } })
    },
    'a code that is fenced': told => till(told, 'look', 'code5', 33_000, { outcome: 'fenced' }),
  }
  test.each(Object.entries(harmless))('%s', (_, plant) => {
    const { told, round } = right()
    plant(told, round)
    expect(judge(told)).toEqual([])
  })
})

describe('levels', () => {
  const lossy = () => {
    const { told, round } = right()
    PLANTS['a told grant is lost']?.(told, round)
    return told
  }
  test('a fail-over at always may lose a told grant, counted; none at fenced or replicated', () => {
    expect(judgeAt(lossy(), 'always', 'fail-over')).toMatchObject({
      broken: [],
      forgiven: [{ rule: 'a told grant is lost' }],
    })
    for (const level of ['fenced', 'replicated'] as const)
      expect(judgeAt(lossy(), level, 'fail-over').broken).toMatchObject([{ rule: 'a told grant is lost' }])
    expect(judgeAt(lossy(), 'always', 'end of Redis').broken).toHaveLength(1)
    expect(judgeAt(lossy(), 'memory', 'nothing').broken).toHaveLength(1)
  })

  test('what is forgiven is a rule, and never what a reader is shown or too many', () => {
    const forgiven = new Set(Object.values(FORGIVEN).flatMap(worst => Object.values(worst).flat()))
    expect(FORGIVEN.always['fail-over']).not.toContain('a version goes back')
    for (const rule of forgiven) expect(RULES).toContain(rule)
    for (const rule of [
      'more granted than ordered',
      'sold out too early',
      'more shown than asked',
      'listed twice',
      'the ledger does not sum to zero',
    ])
      expect(forgiven).not.toContain(rule)
  })
})
