/**
 * What must hold of a round's public state, at every node and for every reader: over the states and frames that were seen, the
 * turns that were answered, and the claims.
 *
 * An order holds always: within an epoch nothing goes back on one connection, and one version is one content. An age holds in
 * calm: a second after the row's last fault and after the node was ready again (less what the machine took), nobody shows
 * what is older than a second, an epoch that another one followed, or a state that a turn proves wrong: an engine that shows
 * `paused` where the next `pause` is done shows a history that is lost.
 */
import { Calm, OLDER_MS_MAX } from './calm.ts'
import { NUMBERS, type People } from './people-told.ts'
import type { Testimony, TurnTold, Violation } from './testimony.ts'
import { nameOf, type RoundRecord, type StateSeen, says, spell } from './testimony.ts'
import { orderedIn, turnsOf } from './turns.ts'

const GRANTED = NUMBERS.find(number => nameOf(number) === 'granted')

interface Case {
  readonly testimony: Testimony
  readonly calm: Calm
  readonly people: People
  readonly round: RoundRecord
  /** What was seen of the round, in the order of the asking. */
  readonly seen: readonly StateSeen[]
  readonly turns: readonly TurnTold[]
}

type Rule = (of: Case) => Generator<string>

const show = ({ reader, state, total, granted, epoch, version }: StateSeen): string =>
  `${reader}: ${state}, ${granted} of ${total}, epoch ${epoch}, version ${version}`

function* back({ seen }: Case): Generator<string> {
  const newest = new Map<string, StateSeen>()
  for (const one of seen) {
    const name = `${one.reader} ${one.how} ${one.epoch}`
    const before = newest.get(name)
    if (before && before.version > one.version) yield `${show(one)} after version ${before.version} ${spell(one)}`
    else newest.set(name, one)
  }
}

function* ambiguous({ seen }: Case): Generator<string> {
  const contents = new Map<string, StateSeen>()
  for (const one of seen) {
    const name = `${one.epoch} ${one.version}`
    const first = contents.get(name) ?? one
    contents.set(name, first)
    if (first.total !== one.total || first.granted !== one.granted || first.state !== one.state)
      yield `${show(first)}, and ${show(one)} ${spell(one)}`
  }
}

/** In calm nobody is behind what anybody was shown a second before, nor in an epoch that another one followed. */
function* behind({ calm, seen }: Case): Generator<string> {
  const epochs = new Map<string, number>()
  const told = [...seen].sort((a, b) => a.at - b.at)
  const newest = new Map<string, StateSeen>()
  let next = 0
  let last: StateSeen | undefined
  for (const one of seen) {
    for (; next < told.length && calm.aged((told[next] as StateSeen).at, one.sent) > OLDER_MS_MAX; next++) {
      const known = told[next] as StateSeen
      if (!epochs.has(known.epoch)) epochs.set(known.epoch, epochs.size)
      if ((newest.get(known.epoch)?.version ?? -1) < known.version) newest.set(known.epoch, known)
      if (!last || (epochs.get(known.epoch) as number) > (epochs.get(last.epoch) as number)) last = known
    }
    if (one.how === 'frame' || !calm.holds(one)) continue
    const same = newest.get(one.epoch)
    if (same && same.version > one.version)
      yield `${show(one)} behind ${show(same)} of ${same.at.toFixed(0)} ms ${spell(one)}`
    if (last && last.epoch !== one.epoch && epochs.has(one.epoch))
      yield `${show(one)} after ${show(last)} of ${last.at.toFixed(0)} ms ${spell(one)}`
  }
}

const ALLOWS: Readonly<Record<string, readonly string[]>> = {
  pause: ['open', 'sold_out', 'fenced'],
  resume: ['paused'],
  close: ['open', 'paused', 'sold_out', 'fenced', 'scheduled'],
}

/** A turn that is answered says what the state was: the last one shown before it, in calm, has to allow that answer. */
function* provenWrong({ testimony, calm, round, seen, turns }: Case): Generator<string> {
  const all = testimony.turns.filter(({ roundId }) => roundId === round.id)
  for (const turn of all) {
    const shown = seen.findLast(one => one.how !== 'frame' && one.at < turn.sent)
    if (!shown || !calm.holds(shown) || !calm.holds({ node: turn.node, sent: turn.at })) continue
    if (turns.some(other => other !== turn && other.sent < turn.at && other.at > shown.sent - OLDER_MS_MAX)) continue
    const isDone = says(turn.outcome) === 'yes'
    const told = `${turn.verb} was ${turn.outcome} ${spell(turn)} after ${show(shown)} of ${shown.at.toFixed(0)} ms`
    if (turn.verb === 'stock') {
      if (isDone && turn.total !== shown.total + turn.add) yield `${told}, of ${turn.total} in all`
    } else if ((isDone || turn.outcome === 'wrong_state') && turn.verb in ALLOWS) {
      if ((ALLOWS[turn.verb] as readonly string[]).includes(shown.state) !== isDone) yield told
    }
  }
}

/** A grant that was asked for after a state was shown, and that this state excludes. */
function* deniedByGrant({ calm, round, seen, turns }: Case): Generator<string> {
  const { at, length } = round.history
  const grants: number[] = []
  for (let row = 0; row < length; row++) if (at.outcome[row] === GRANTED) grants.push(row)
  grants.sort((a, b) => (at.sent[a] as number) - (at.sent[b] as number))
  const sentOf = (place: number): number => (at.sent[grants[place] as number] as number) / 1000
  let next = 0
  for (const one of seen) {
    while (next < grants.length && sentOf(next) <= one.at) next++
    if (next === grants.length) return
    if (one.how === 'frame' || !['paused', 'closed', 'sold_out'].includes(one.state) || !calm.holds(one)) continue
    const answered = (at.answered[grants[next] as number] as number) / 1000
    if (turns.some(turn => turn.sent < answered && turn.at > one.sent - OLDER_MS_MAX)) continue
    yield `${show(one)} ${spell(one)}, and a claim of ${sentOf(next).toFixed(0)} ms was granted`
  }
}

/** In calm what is shown has all that was told a second before. */
function* fewer({ calm, people, seen }: Case): Generator<string> {
  const moments = people.heldAt.toSorted()
  let next = 0
  for (const one of seen) {
    while (next < moments.length && calm.aged(moments[next] as number, one.sent) > OLDER_MS_MAX) next++
    if (one.how === 'frame' || one.granted + one.quarantined >= next || !calm.holds(one)) continue
    yield `${show(one)}, ${next} were told a second before ${spell(one)}`
  }
}

function* more({ people, seen }: Case): Generator<string> {
  for (const one of seen)
    if (one.granted > people.mayHoldAt(one.at))
      yield `${show(one)}, ${people.mayHoldAt(one.at)} had asked ${spell(one)}`
}

function* total({ calm, round, seen, turns }: Case): Generator<string> {
  for (const one of seen) {
    if (one.total !== one.granted + one.remaining + one.quarantined) yield `${show(one)} does not add up ${spell(one)}`
    if (one.how === 'frame' || !calm.holds(one)) continue
    const { least, most } = orderedIn(round.stock, turns, one.sent - OLDER_MS_MAX, one.at)
    if (one.total < least || one.total > most) yield `${show(one)}, ordered were ${least} to ${most} ${spell(one)}`
  }
}

/** The last that each node says of a round, in each way, after all is healed. */
function* apart({ testimony, seen }: Case): Generator<string> {
  const last = new Map<string, StateSeen>()
  for (const one of seen)
    if (one.sent >= testimony.healedAt || one.how === 'frame') last.set(`${one.node} ${one.how}`, one)
  const [first, ...others] = last.values()
  for (const one of others)
    if (first && show({ ...first, reader: '' }) !== show({ ...one, reader: '' }))
      yield `${first.node} ${show(first)}, and ${one.node} by ${one.how} ${show(one)}`
}

function* missing({ testimony, round }: Case): Generator<string> {
  for (const told of testimony.missing) if (told.roundId === round.id) yield `${round.id} ${spell(told)}`
}

export const STATE_RULES: Readonly<Record<string, Rule>> = {
  'a version goes back': back,
  'one version with two contents': ambiguous,
  'shown for longer than a second after it was past': behind,
  'a state that a turn proves wrong': provenWrong,
  'a state that a grant proves wrong': deniedByGrant,
  'fewer shown than granted': fewer,
  'more shown than asked': more,
  'the total shown is not what was ordered': total,
  'nodes apart at the end': apart,
  'a round not found': missing,
}

export function judgeStates(testimony: Testimony, peopleOf: (round: RoundRecord) => People): readonly Violation[] {
  const calm = new Calm(testimony)
  return testimony.rounds.flatMap(round => {
    const seen = testimony.states.filter(({ roundId }) => roundId === round.id).sort((a, b) => a.sent - b.sent)
    const of = { testimony, calm, people: peopleOf(round), round, seen, turns: turnsOf(testimony.turns, round.id) }
    return Object.entries(STATE_RULES).flatMap(([rule, judge]) => [...judge(of)].map(told => ({ rule, told })))
  })
}
