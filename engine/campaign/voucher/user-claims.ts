/**
 * What one user holds in one slot of a round: a claim with its vouchers and their states, an entry whose draw is not over, or
 * nothing after a draw. That nobody holds anything is only said where Redis can be believed.
 */
import { CODES } from '../../base/codes.ts'
import { holderOf } from '../../base/holder.ts'
import type { Receipt } from '../../draw/receipt.ts'
import type { Store } from '../../store/store.ts'
import type { AnsweredGrant } from '../../wire/claim-json.ts'
import type { Round } from '../round/round.ts'
import { isDrawn, isStrict } from '../round/round-config.ts'
import type { Rounds } from '../round/rounds.ts'
import type { Vouchers } from './vouchers.ts'

export interface HeldClaim extends AnsweredGrant {
  /** The states of the vouchers, in the order of their codes. */
  readonly states: readonly string[]
}

export type UserClaim = HeldClaim | { readonly receipt: Receipt } | { readonly outcome: 'sold_out' }

export class UserClaims {
  readonly #absences: Store['absences']
  readonly #claims: Store['claims']
  readonly #rounds: Rounds
  readonly #vouchers: Vouchers

  constructor({ absences, claims }: Pick<Store, 'absences' | 'claims'>, rounds: Rounds, vouchers: Vouchers) {
    this.#absences = absences
    this.#claims = claims
    this.#rounds = rounds
    this.#vouchers = vouchers
  }

  /** The scope of the key that claimed it, where the round has it: not in a drawn one. */
  async viaOf({ view: { id, config } }: Round, { userId, sequence }: HeldClaim): Promise<string | undefined> {
    if (isDrawn(config)) return undefined
    return this.#claims.viaOf(id, sequence, userId, isStrict(config))
  }

  /** Undefined when they hold nothing. Throws Fault where that cannot be known. */
  async of(round: Round, userId: string, slot: number): Promise<UserClaim | undefined> {
    const { id } = round.view
    const standing = await round.decider.standingOf(userId, slot)
    if (!standing) {
      this.#rounds.damaged.assertSound(id)
      return void (await this.#absences.confirm(id, holderOf(userId, slot)))
    }
    const receipt = await standing.receipt?.()
    if (receipt) return { receipt }
    if (standing.outcome === CODES.sold_out.number) return { outcome: 'sold_out' }
    const { sequence, pool } = standing
    const at = await round.times.at(sequence)
    const [codes, states] = [round.codesOf([sequence], 1), await this.#vouchers.states(round, sequence, at)]
    return { userId, slot, pool, sequence, at, codes, states }
  }
}
