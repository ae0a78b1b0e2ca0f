/**
 * What a round knows of the level fenced: something stands between its claims and Redis that lets nothing be sold twice by
 * a fail-over. It is built in fenced/, which knows this folder and no other of campaign/.
 */
import type { Code } from '../../base/codes.ts'
import type { ClaimStore } from '../../store/data/claim-store.ts'
import type { Notice } from '../../store/data/notice.ts'

/** What a round's claims need of the store. */
export type ClaimAccess = Pick<ClaimStore, 'claim' | 'batchOf' | 'batches'>

/** One round's way to Redis. */
export interface RoundFence extends ClaimAccess {
  /** The code that refuses every claim now, or undefined. */
  gate(): Code | undefined
  /** The last notice that a recovery brought, of the epoch that is claimed in or joined next. */
  readonly adopted: Notice | undefined
  /** Whether what this notice refuses may be refused without asking: no fail-over takes it back. */
  isSure(notice: Notice): boolean
  /** Whether it is over and on every replica: nothing more has to be kept, and no clock looks at it. */
  readonly settled: boolean
  /** Looks whether the round is still granted from where it was; recovers when it is not. Harmless at any time. */
  look(): Promise<void>
}

export interface Fence {
  /** The way of a round's claims to Redis; the first time it begins to join the round. */
  of(roundId: string): RoundFence
  /** Looks at every round; what fails is noted and tried again. */
  look(): Promise<void>
}
