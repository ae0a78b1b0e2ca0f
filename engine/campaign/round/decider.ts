/**
 * Who decides the claims of a round. There are three of them, one an allocation: first come, strict, drawn. Which it is is
 * chosen once, where the round is loaded (claim/deciders.ts has the table); behind that nobody asks for the mode.
 *
 *   a claim goes    Round → Decider → its queue → store → script
 *   its answer goes script → queue → Decider (what is learnt of the round) → ask → Round (vouchers) → who asked
 *
 * What the rest of the worker wants to know of it goes to one RoundEvents, made in main. Rejected: callbacks that each
 * layer wraps for the next one; nobody could say where an answer went.
 */
import type { RoundSecrets } from '../../auth/draw-secrets.ts'
import type { Code } from '../../base/codes.ts'
import type { Receipt } from '../../draw/receipt.ts'
import type { SigningKey } from '../../draw/signing-key.ts'
import type { ClaimStore, Decision } from '../../store/data/claim-store.ts'
import type { DrawState } from '../../store/data/draw-store.ts'
import type { Notice } from '../../store/data/notice.ts'
import type { Answerer, Answers, ClaimRequest, Run, SingleAsk } from './asks.ts'
import type { RoundView } from './round-view.ts'

/** How a person stands in a round: an outcome number, and the sequence and pool of a grant or the receipt of an entry. */
export interface Standing {
  readonly outcome: number
  readonly sequence: number
  readonly pool: number
  /** The receipt, with what binds its tag to its owner where the engine made that. */
  readonly receipt?: () => Receipt | Promise<Receipt>
}

export interface Decider {
  /** Where the draws stand as far as this worker knows; undefined where nothing is drawn. */
  readonly draw: DrawState | undefined
  /** Claims that one person may make. */
  readonly slots: number
  /** Reads what it stands on: once before anything is asked, and when that has changed. */
  load(): Promise<void>
  /** Decides one claim: sooner or later the ask is settled or answered. */
  ask(request: ClaimRequest, ask: SingleAsk): void
  /** Decides claims of slot 1 in one pool; their user ids lie as MessagePack strings in `users`. `now` is monotonic ms. */
  askPacked(users: Uint8Array, pool: number, answers: Answers, now: number): void
  /** Decides claims that may differ in slot and pool; a place without a request is refused with its number. */
  askMany(requests: readonly (ClaimRequest | number)[], answers: Answers, now: number): void
  /** Answers what has waited for too long. */
  sweep(now: number): void
  /** Another worker's claim with this stamp waits for this worker's mark. */
  awaited(stamp: number): void
  /** Something of the round moved. */
  changed(): void
  /** Another history has the round: what was learnt of the one before is forgotten. */
  startAgain(): Promise<void>
  /** How a person stands by what Redis has; undefined when they hold nothing. */
  standingOf(userId: string, slot: number): Promise<Standing | undefined>
  /** Whether a holder key is the user's. */
  isHolder(userId: string, holder: string): Promise<boolean>
}

/** What a decider is given of its round and its worker. */
export interface DeciderParts {
  readonly view: RoundView
  readonly store: Pick<ClaimStore, 'claim'>
  readonly answerer: Answerer
  readonly events: DeciderEvents
  /** The code that refuses every claim now (health, overload), or undefined. */
  readonly gate: () => Code | undefined
  /** The share of what may wait in this worker that does wait, 0..1. */
  readonly pressure: () => number
  readonly secrets: RoundSecrets
  readonly signingKey: SigningKey
  /** Sees whether the round is in another epoch by now, below the level fenced. */
  readonly renew: (() => Promise<void>) | undefined
}

export type MakeDecider = (parts: DeciderParts) => Decider

/** What the worker wants to know of its rounds. */
export interface RoundEvents {
  /** Something of a round moved: its stock, its state. */
  changed(view: RoundView): void
  /** A batch was decided; `seconds` since it left. */
  decided(view: RoundView, decision: Decision, claims: number, seconds: number): void
  /** Claims were answered without asking Redis. */
  refused(outcome: number, count: number): void
  /** Something that should have worked did not. */
  failed(fault: unknown): void
  /** A window's draw is over: once to each worker that saw it open. */
  drawn(view: RoundView, window: number): void
  /** Below the level fenced: another history has a round, and it goes on under another epoch from this notice on. */
  begun(roundId: string, notice: Notice): void
  /**
   * Redis decided a run of claims that asked for `pool`; `stamp` is when they arrived here, microseconds since 1970. Absent
   * where nobody measures arrivals.
   */
  readonly arrived?: ((roundId: string, stamp: number, run: Run, pool: number) => void) | undefined
}

/** As much of it as deciders report; a fault is of their round. */
export interface DeciderEvents extends Pick<RoundEvents, 'decided' | 'refused' | 'drawn' | 'arrived'> {
  failed(fault: unknown, view: RoundView): void
}
