/**
 * What must hold of the answers to claims, whatever the engine did: over the answers themselves, what was found again at the end, and the
 * lists of grants. Each rule is a name and a function; a violation says what was told when and by which node.
 *
 * "Sold out" is false while fewer people may hold something (people-told.ts) than packs were ordered. A refusal that lasts is
 * false when somebody is granted behind it and no turn undid it; so are `paused` and `closed` without their turn.
 */
import { GRANTS, type People, REFUSALS, type Row, rowsOf, wanting } from './people-told.ts'
import { type RoundRecord, says, spell, type Testimony, type TurnTold, type Violation } from './testimony.ts'
import { isUndone, orderedIn, statesIn, turnsOf } from './turns.ts'

/** Refusals that are about the round and end a person's hope, unless a turn comes between. */
const LASTING = ['sold_out', 'closed', 'paused', 'not_open'] as const
const isLasting = (outcome: string): boolean => (LASTING as readonly string[]).includes(outcome)

const SOLD_OUT = wanting(outcome => outcome === 'sold_out')

interface Case {
  readonly round: RoundRecord
  readonly people: People
  readonly turns: readonly TurnTold[]
  readonly testimony: Testimony
}

type Rule = (round: Case) => Generator<string>

const person = ({ userIdOf }: RoundRecord, user: number): string => userIdOf(user)

function* toldTwice({ round }: Case): Generator<string> {
  const owners = new Map<number, number>()
  for (const row of rowsOf(round, GRANTS)) {
    const owner = owners.get(row.sequence) ?? row.user
    owners.set(row.sequence, owner)
    if (owner === row.user) continue
    yield `${row.sequence} of ${round.id} to ${person(round, owner)} and to ${person(round, row.user)} ${spell(row)}`
  }
}

function* twoSequences({ round, people }: Case): Generator<string> {
  for (const row of rowsOf(round, GRANTS)) {
    const first = people.sequence[row.user] as number
    if (row.sequence !== first) yield `${person(round, row.user)} ${first}, and ${row.sequence} ${spell(row)}`
  }
}

/** Nobody who was told that they hold is refused after it, in whatever state the round is. */
function* holderRefused({ round, people }: Case): Generator<string> {
  for (const row of rowsOf(round, REFUSALS))
    if (row.sent > (people.heldAt[row.user] as number))
      yield `${person(round, row.user)} holds ${people.sequence[row.user]} and was told ${row.outcome} ${spell(row)}`
}

function* tooEarly({ round, people, turns }: Case): Generator<string> {
  const positive = turns.filter(({ add }) => add > 0).reduce((sum, { add }) => sum + add, round.stock)
  const until = people.enoughAt(positive)
  for (const row of rowsOf(round, SOLD_OUT, until)) {
    const { least } = orderedIn(round.stock, turns, row.sent, row.at)
    const may = people.mayHoldAt(row.at)
    if (may < least)
      yield `${person(round, row.user)} when at most ${may} of ${least} packs could be granted ${spell(row)}`
  }
}

/** Each lasting refusal, and whoever was granted behind it though no turn undid it. */
function* grantedAfter({ round, people, turns }: Case): Generator<string> {
  const first = new Map<string, Row>()
  const own = new Map<number, Row>()
  const granted = [...people.heldAt.keys()].filter(user => people.heldAt[user] !== Number.POSITIVE_INFINITY)
  // Nobody is granted after the last grant.
  const until = granted.reduce((last, user) => Math.max(last, people.heldAt[user] as number), 0)
  const refusals = [...rowsOf(round, wanting(isLasting), until)].sort((a, b) => a.at - b.at)
  for (const row of refusals) if (people.heldAt[row.user] !== Number.POSITIVE_INFINITY) own.set(row.user, row)
  granted.sort((a, b) => (people.mayHold[a] as number) - (people.mayHold[b] as number))
  let next = 0
  for (const user of granted) {
    const [may, held] = [people.mayHold[user] as number, people.heldAt[user] as number]
    for (; next < refusals.length && (refusals[next] as Row).at < may; next++)
      first.set((refusals[next] as Row).outcome, refusals[next] as Row)
    const mine = own.get(user)
    const before = [...first.values(), ...(mine && mine.at < held ? [mine] : [])]
    const row = before.find(refusal => !isUndone(refusal.outcome, turns, refusal.sent, held))
    if (row)
      yield `${person(round, user)} at ${held.toFixed(0)} ms, and ${person(round, row.user)} ${row.outcome} ${spell(row)}`
  }
}

const NEEDS: Readonly<Record<string, 'paused' | 'closed' | 'never'>> = {
  paused: 'paused',
  closed: 'closed',
  not_open: 'never',
  not_found: 'never',
  not_eligible: 'never',
  limit_reached: 'never',
}

/** Whoever is refused needs the turn for it; what no round of a row can be is never told. */
function* withoutCause({ round, turns }: Case): Generator<string> {
  for (const row of rowsOf(
    round,
    wanting(outcome => outcome in NEEDS),
  )) {
    const needed = NEEDS[row.outcome]
    if (needed === undefined || needed === 'never' || !statesIn(turns, row.sent, row.at).has(needed))
      yield `${person(round, row.user)} was told ${row.outcome} ${spell(row)}`
  }
}

function* tooMany({ round, people, turns, testimony }: Case): Generator<string> {
  const { most } = orderedIn(round.stock, turns, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY)
  const told = new Set(people.sequence)
  told.delete(0)
  if (told.size > most) yield `${told.size} sequences of ${round.id}, ordered were ${most}`
  for (const { node, users } of round.lists)
    if (users.length > most) yield `${users.length} grants of ${round.id} in the list of ${node}, ordered were ${most}`
  for (const seen of testimony.states)
    if (seen.roundId === round.id && seen.granted > most)
      yield `${seen.granted} granted of ${round.id} shown ${spell(seen)}, ordered were ${most}`
}

/** Everybody who was told a grant finds it: asked again, looked up, among their claims, in the list. */
function* lost({ round, people, testimony }: Case): Generator<string> {
  for (const found of testimony.found) {
    if (found.roundId !== round.id) continue
    const sequence = people.sequence[found.user] as number
    const who = person(round, found.user)
    const isFound = found.how === 'claim' ? found.outcome === 'replayed' : says(found.outcome) === 'yes'
    if (!isFound || found.sequence !== sequence) {
      yield `${who} holds ${sequence}, the ${found.how} says ${found.outcome} ${found.sequence} ${spell(found)}`
      continue
    }
    const codes = round.codes.get(found.user)?.codes
    if (codes && codes.join() !== found.codes.join())
      yield `${who} was told ${codes}, the ${found.how} says ${found.codes} ${spell(found)}`
  }
  for (const { node, users, sequences } of round.lists) {
    const listed = new Map(Array.from(users, (user, place) => [user, sequences[place] as number]))
    for (const [user, sequence] of people.sequence.entries())
      if (sequence > 0 && listed.get(user) !== sequence)
        yield `${person(round, user)} holds ${sequence}, the list of ${node} has ${listed.get(user) ?? 'nothing'}`
  }
}

/** Whoever was refused for certain each time holds nothing. */
function* refusedAndListed({ round, people }: Case): Generator<string> {
  for (const { node, users, sequences } of round.lists)
    for (const [place, user] of users.entries())
      if (people.asked[user] === 1 && people.mayHold[user] === Number.POSITIVE_INFINITY)
        yield `${person(round, user)} was only ever refused, the list of ${node} has ${sequences[place]} for them`
}

function* listedTwice({ round }: Case): Generator<string> {
  for (const { node, users, sequences } of round.lists) {
    if (new Set(users).size < users.length) yield `a user twice in the list of ${node} of ${round.id}`
    if (new Set(sequences).size < sequences.length) yield `a sequence twice in the list of ${node} of ${round.id}`
  }
}

export const CLAIM_RULES: Readonly<Record<string, Rule>> = {
  'a sequence told to two': toldTwice,
  'a user told two sequences': twoSequences,
  'a holder refused': holderRefused,
  'sold out too early': tooEarly,
  'granted after a refusal': grantedAfter,
  'refused without a cause': withoutCause,
  'more granted than ordered': tooMany,
  'a told grant is lost': lost,
  'refused for certain and listed': refusedAndListed,
  'listed twice': listedTwice,
}

export function judgeClaims(testimony: Testimony, peopleOf: (round: RoundRecord) => People): readonly Violation[] {
  return testimony.rounds.flatMap(round => {
    const turns = turnsOf(testimony.turns, round.id)
    const judged = { round, people: peopleOf(round), turns, testimony }
    return Object.entries(CLAIM_RULES).flatMap(([rule, of]) => [...of(judged)].map(told => ({ rule, told })))
  })
}
