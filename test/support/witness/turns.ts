/**
 * What an operator's turns allow to be true at a moment: how many packs were ordered at least and at most, which states a round
 * could be in, and what may have undone a refusal. A turn that was answered holds from its answer on; one whose answer was
 * `unknown` or lost may hold or not, from when it was sent until the next turn of its kind is answered for certain.
 */
import { says, type TurnTold } from './testimony.ts'

/** A turn in doubt may be executed late by a server that thaws; a turn answered sooner than that does not settle it. */
const LATE_MS = 3000

const isPossible = ({ outcome }: TurnTold): boolean => ['yes', 'perhaps'].includes(says(outcome))
const isSure = ({ outcome }: TurnTold): boolean => says(outcome) === 'yes'

/** The last moment at which a turn may have come to hold. */
const endOf = (turn: TurnTold): number => (isSure(turn) ? turn.at : turn.at + LATE_MS)

/** Turns of one round that were not refused, in the order in which they were sent. */
export const turnsOf = (turns: readonly TurnTold[], roundId: string): readonly TurnTold[] =>
  turns.filter(turn => turn.roundId === roundId && isPossible(turn)).sort((a, b) => a.sent - b.sent)

/** Packs ordered, at least and at most, over the time between two moments. */
export function orderedIn(stock: number, turns: readonly TurnTold[], from: number, to: number) {
  let [least, most] = [stock, stock]
  for (const turn of turns) {
    if (turn.verb !== 'stock') continue
    const has = isSure(turn) && turn.at < from
    const may = turn.sent < to
    if (turn.add > 0) {
      if (has) least += turn.add
      if (may) most += turn.add
    } else {
      if (has) most += turn.add
      if (may) least += turn.add
    }
  }
  return { least, most }
}

type Turned = 'open' | 'paused' | 'closed'
const TARGETS: Readonly<Record<string, Turned>> = { pause: 'paused', resume: 'open', close: 'closed' }

/** The states that a round, open from its making, may have had at some moment between two. */
export function statesIn(turns: readonly TurnTold[], from: number, to: number): ReadonlySet<Turned> {
  const moves = turns.filter(({ verb, sent }) => verb in TARGETS && sent < to)
  const settled = moves.findLastIndex(turn => isSure(turn) && turn.at < from)
  const before = moves[settled]
  const states = new Set<Turned>([before ? (TARGETS[before.verb] as Turned) : 'open'])
  for (const [place, turn] of moves.entries()) {
    const late = place < settled && !isSure(turn) && endOf(turn) >= (before?.sent ?? 0)
    if (place > settled || late) states.add(TARGETS[turn.verb] as Turned)
  }
  return states
}

const UNDOES: Readonly<Record<string, (turn: TurnTold) => boolean>> = {
  sold_out: ({ verb, add }) => verb === 'release' || (verb === 'stock' && add > 0),
  // A pause in doubt may be lost with the server that has it; nobody was told that it holds.
  paused: ({ verb, outcome }) => verb === 'resume' || (verb === 'pause' && says(outcome) === 'perhaps'),
}

/** Whether a turn that undoes a refusal may have come to hold between two moments. */
export const isUndone = (refusal: string, turns: readonly TurnTold[], from: number, to: number): boolean =>
  turns.some(turn => UNDOES[refusal]?.(turn) === true && turn.sent < to && endOf(turn) > from)
