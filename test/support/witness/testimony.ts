/**
 * What a witness was told over the public API, and when: the record that the rules judge (claim-rules.ts, voucher-rules.ts,
 * state-rules.ts). Nothing in it was read from Redis, and nothing of the engine is used but the names of its outcomes.
 *
 * A round's claims are rows of the bench's History, since a crowd has millions of them; all else is a list of small objects.
 * Times are milliseconds of the machine's monotonic clock. What an outcome says is read from docs/errors.md by hand: taken from the
 * engine's table it would agree with a mistake there.
 */
import { History } from '../../../bench/audit/history.ts'
import { monotonicUs } from '../../../bench/load/recorder.ts'
import { type Code, codeOf } from '../../../engine/base/codes.ts'

export const nowMs = (): number => monotonicUs() / 1000

/** What an answer says: it is done, it is not and never will be so, not now, perhaps. */
export type Says = 'yes' | 'no' | 'not now' | 'perhaps'

const NOT_NOW = ['overloaded', 'fenced', 'unavailable', 'rate_limited']
const PERHAPS = ['unknown', 'internal', 'no_answer']

export function says(outcome: string): Says {
  if (['granted', 'replayed', 'done'].includes(outcome)) return 'yes'
  if (NOT_NOW.includes(outcome)) return 'not now'
  return PERHAPS.includes(outcome) ? 'perhaps' : 'no'
}

const NAMES = Array.from({ length: 256 }, (_, number) => codeOf(number) ?? 'no_answer')

/** The name of an outcome in a History. */
export const nameOf = (outcome: number): Code | 'no_answer' => NAMES[outcome] as Code | 'no_answer'

export interface Told {
  readonly node: string
  readonly sent: number
  /** When the answer came, or was given up. */
  readonly at: number
}

export type Verb = 'pause' | 'resume' | 'close' | 'stock' | 'release'

export interface TurnTold extends Told {
  readonly roundId: string
  readonly verb: Verb
  /** Packs ordered; 0 for the other verbs. */
  readonly add: number
  /** `done`, or the code of the refusal. */
  readonly outcome: string
  /** What the round had in all after a turn that is done. */
  readonly total: number
}

export interface StateSeen extends Told {
  readonly roundId: string
  /** One connection: what it is told has an order. */
  readonly reader: string
  readonly how: 'round' | 'list' | 'frame'
  readonly state: string
  readonly total: number
  readonly granted: number
  readonly remaining: number
  readonly quarantined: number
  readonly epoch: string
  readonly version: number
}

export type Deed = 'look' | 'redeem' | 'reverse' | 'lock' | 'unlock'

export interface TillTold extends Told {
  readonly campaignId: string
  readonly deed: Deed
  readonly code: string
  readonly key: string
  readonly outcome: string
  /** The body, byte for byte. */
  readonly body: string
}

/** A grant as it was found again. */
export interface Found extends Told {
  readonly roundId: string
  readonly user: number
  readonly how: 'claim' | 'look-up' | 'claims of a user'
  readonly outcome: string
  readonly sequence: number
  readonly codes: readonly string[]
}

/** A round's grants as a node lists them. */
export interface Listed {
  readonly node: string
  readonly users: Uint32Array
  readonly sequences: Uint32Array
}

/** One round of the row: what was ordered, and what people were told. */
export interface RoundRecord {
  readonly id: string
  readonly campaignId: string
  /** Packs at its making. */
  readonly stock: number
  readonly history: History
  readonly userIdOf: (user: number) => string
  /** The number of a person by their id, -1 for a stranger. */
  readonly indexOf: (userId: string) => number
  /** Which node a lane of the history asked. */
  readonly nodeOf: (connection: number) => string
  /** The codes that a person was told first, and when. */
  readonly codes: Map<number, { readonly codes: readonly string[]; readonly at: number }>
  readonly lists: Listed[]
}

/** A time in which the row broke something: what was shown then, and for a second after, is not judged by its age. */
export interface Disturbed {
  readonly from: number
  to: number
}

export class Testimony {
  readonly rounds: RoundRecord[] = []
  readonly turns: TurnTold[] = []
  readonly states: StateSeen[] = []
  readonly till: TillTold[] = []
  readonly found: Found[] = []
  readonly balances: { node: string; campaignId: string; amounts: Readonly<Record<string, number>> }[] = []
  /** Whether a node was ready, each time it was asked. */
  readonly ready: (Told & { readonly ready: boolean })[] = []
  readonly disturbed: Disturbed[] = []
  /** Public states of a round that exists and was not found. */
  readonly missing: (Told & { readonly roundId: string })[] = []
  /** From then on nothing changes any more. */
  healedAt = Number.POSITIVE_INFINITY
  /** Milliseconds that the machine took between two moments. */
  lost: (from: number, to: number) => number = () => 0

  round(record: Omit<RoundRecord, 'history' | 'codes' | 'lists'>, history = new History()): RoundRecord {
    const round = { ...record, history, codes: new Map(), lists: [] }
    this.rounds.push(round)
    return round
  }
}

/** A broken rule by name, with what was told when and by whom. */
export interface Violation {
  readonly rule: string
  readonly told: string
}

export const spell = ({ node, sent, at }: Told): string =>
  `by ${node} at ${at.toFixed(0)} ms (asked at ${sent.toFixed(0)})`
