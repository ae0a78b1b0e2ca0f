/**
 * What must hold of vouchers and money: over what a till was told of codes that people had been told before.
 *
 * A code's deeds follow one another, and one in doubt is repeated with its key until it is certain; so the state that a
 * voucher has to be in is known from the answers alone. Its merchant is the witness's own, so what the ledger owes to it is the
 * sum of what the till was told, to the cent.
 */
import { says, spell, type Testimony, type TillTold, type Violation } from './testimony.ts'

export const MERCHANT = 'witness'

/** A refusal that no deed of the till and no time of a row can be the cause of. */
const CAUSELESS = ['expired', 'deactivated', 'not_eligible', 'merchant_limit', 'order_limit', 'idempotency_mismatch']

interface Case {
  readonly testimony: Testimony
  /** What was asked of each code, in order. */
  readonly deeds: ReadonlyMap<string, readonly TillTold[]>
}

type Rule = (of: Case) => Generator<string>

const isDone = ({ outcome }: TillTold): boolean => says(outcome) === 'yes'
const isPossible = ({ outcome }: TillTold): boolean => ['yes', 'perhaps'].includes(says(outcome))

function grouped(told: readonly TillTold[], by: (one: TillTold) => string): Map<string, TillTold[]> {
  const groups = new Map<string, TillTold[]>()
  for (const one of told) {
    const group = groups.get(by(one))
    if (group) group.push(one)
    else groups.set(by(one), [one])
  }
  return groups
}

interface Answer {
  readonly id?: string
  readonly state?: string
  readonly redemption_id?: string
  readonly voucher_state?: string
  readonly discount_amount?: number
  readonly amount?: number
  readonly redemption?: { readonly id?: string } | null
}

const read = ({ body }: TillTold): Answer => JSON.parse(body) as Answer

function* notFound({ testimony }: Case): Generator<string> {
  for (const told of testimony.till)
    if (told.outcome === 'not_found') yield `${told.code}, asked to ${told.deed} ${spell(told)}`
}

function* codeTwice({ testimony }: Case): Generator<string> {
  const owners = new Map<string, string>()
  for (const { id, codes, userIdOf } of testimony.rounds)
    for (const [user, told] of codes)
      for (const code of told.codes) {
        const who = `${userIdOf(user)} of ${id}`
        const owner = owners.get(code) ?? who
        owners.set(code, owner)
        if (owner !== who) yield `${code} to ${owner} and to ${who} at ${told.at.toFixed(0)} ms`
      }
}

/** The deeds that stand of a code after all of them: the last one that changed it. */
function lastChange(deeds: readonly TillTold[]): TillTold | undefined {
  return deeds.findLast(deed => deed.deed !== 'look' && isDone(deed))
}

const STATES = { redeem: 'redeemed', reverse: 'active', lock: 'locked', unlock: 'active' } as const

/** Each look sees what the deeds before it made. */
function* redemptionLost({ deeds }: Case): Generator<string> {
  for (const [code, all] of deeds)
    for (const [place, look] of all.entries()) {
      if (look.deed !== 'look' || !isDone(look)) continue
      const before = all.slice(0, place)
      const change = lastChange(before)
      const inDoubt = before.slice(change ? before.indexOf(change) : 0).some(deed => says(deed.outcome) === 'perhaps')
      if (inDoubt) continue
      const expected = change ? STATES[change.deed as keyof typeof STATES] : 'active'
      const { state, redemption } = read(look)
      if (state !== expected) yield `${code} is ${state} and was told ${expected} ${spell(look)}`
      else if (change?.deed === 'redeem' && redemption?.id !== read(change).id)
        yield `${code} has ${redemption?.id}, told was ${read(change).id} ${spell(look)}`
    }
}

/** Two redemptions of a code need a reversal of the first between them. */
function* redeemedTwice({ testimony }: Case): Generator<string> {
  for (const [code, all] of grouped(testimony.till, told => told.code)) {
    const redeemed = all.filter(deed => deed.deed === 'redeem' && isDone(deed))
    const firsts = [...new Map(redeemed.toReversed().map(deed => [read(deed).id, deed])).values()].reverse()
    for (const [place, next] of firsts.entries()) {
      const before = firsts[place - 1]
      if (!before) continue
      const reversal = all.find(
        deed => deed.deed === 'reverse' && isPossible(deed) && deed.sent < next.at && deed.at > before.sent,
      )
      if (!reversal) yield `${code}: ${read(before).id} and ${read(next).id} ${spell(next)}`
    }
  }
}

function* answerChanged({ testimony }: Case): Generator<string> {
  const keyed = testimony.till.filter(({ key, outcome }) => key !== '' && says(outcome) === 'yes')
  for (const [key, answers] of grouped(keyed, told => `${told.deed} ${told.key}`))
    for (const answer of answers)
      if (answer.body !== answers[0]?.body) yield `${key}: ${answers[0]?.body} and ${answer.body} ${spell(answer)}`
}

function* refusedVoucher({ deeds }: Case): Generator<string> {
  for (const [code, all] of deeds)
    for (const [place, told] of all.entries()) {
      if (says(told.outcome) !== 'no' || told.outcome === 'not_found') continue
      const others = all.slice(0, place).filter(deed => isPossible(deed) && deed.key !== told.key)
      const redeemed = others.findLastIndex(({ deed }) => deed === 'redeem')
      const reversed = others.findLastIndex(deed => deed.deed === 'reverse' && isDone(deed))
      const caused = told.outcome === 'already_redeemed' && redeemed > reversed
      if (!caused || CAUSELESS.includes(told.outcome))
        yield `${code} to ${told.deed} with ${told.key}: ${told.outcome} ${spell(told)}`
    }
}

function* money({ testimony }: Case): Generator<string> {
  const owed = new Map<string, number>()
  const first = new Map(testimony.till.filter(isDone).map(told => [`${told.deed} ${told.key}`, told]))
  for (const told of first.values()) {
    const { discount_amount = 0, amount = 0 } = told.deed === 'look' ? {} : read(told)
    const change = told.deed === 'redeem' ? discount_amount : told.deed === 'reverse' ? -amount : 0
    owed.set(told.campaignId, (owed.get(told.campaignId) ?? 0) + change)
  }
  for (const { node, campaignId, amounts } of testimony.balances) {
    const has = amounts[`payable:${MERCHANT}`] ?? 0
    const told = owed.get(campaignId) ?? 0
    if (has !== told) yield `${campaignId} owes ${has} to the till by ${node}, told were ${told}`
  }
}

function* unbalanced({ testimony }: Case): Generator<string> {
  for (const { node, campaignId, amounts } of testimony.balances) {
    const sum = Object.values(amounts).reduce((all, amount) => all + amount, 0)
    if (sum !== 0) yield `${campaignId} by ${node}: ${JSON.stringify(amounts)}`
  }
}

export const VOUCHER_RULES: Readonly<Record<string, Rule>> = {
  'a told code is not found': notFound,
  'a code told to two': codeTwice,
  'a redemption is lost': redemptionLost,
  'redeemed twice': redeemedTwice,
  'an answer changed': answerChanged,
  'a voucher refused without a cause': refusedVoucher,
  'the ledger does not have what was told': money,
  'the ledger does not sum to zero': unbalanced,
}

/** What was asked, without what only repeats the answer of a key: that changes nothing, whatever came in between. */
function withoutRepeats(till: readonly TillTold[]): readonly TillTold[] {
  const answered = new Set<string>()
  return till.filter(told => {
    if (told.key === '' || !isDone(told)) return true
    const name = `${told.deed} ${told.key}`
    const isFirst = !answered.has(name)
    answered.add(name)
    return isFirst
  })
}

export function judgeVouchers(testimony: Testimony): readonly Violation[] {
  const of = { testimony, deeds: grouped(withoutRepeats(testimony.till), told => told.code) }
  return Object.entries(VOUCHER_RULES).flatMap(([rule, judge]) => [...judge(of)].map(told => ({ rule, told })))
}
