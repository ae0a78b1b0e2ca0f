/**
 * Refusals of one round at the level fenced: answered only when all replicas have what they rest on, so that no fail-over
 * takes back a `sold_out` or a `closed` that somebody got.
 *
 * What a refusal rests on moves seldom: the state, and in each pool whether something is left. Whenever it is another
 * one than last time, all replicas are asked once, by one worker for all its claims; until they have it, whoever would be
 * refused gets `fenced`, for they were certainly not granted anything. Grants never wait for this but beside a refusal,
 * and then for REFUSAL_WAIT_MS at most.
 *
 * Rejected: changes of operators that take effect when all replicas have them; each would need a second script and a way
 * back, and the last grants, on which `sold_out` rests too, would still be missing.
 */
import { CODES } from '../../base/codes.ts'
import type { Decision } from '../../store/data/claim-store.ts'
import type { Notice } from '../../store/data/notice.ts'

/** What no fail-over takes back: who holds holds, and `fenced` says nothing of the round. */
const LASTING: ReadonlySet<number> = new Set([CODES.granted.number, CODES.replayed.number, CODES.fenced.number])

/**
 * In words that differ when a refusal rests on something else. Where nobody can be granted the version is one of them: it
 * moves only with a change then, and a second pause looks like the first, which the replicas have long had. While some of
 * a pool is quarantined no refusal rests on its end.
 */
const groundOf = ({ epoch, version, state, pools }: Notice): string =>
  [
    ...[epoch, state, state === 'open' && pools.some(({ total, granted }) => granted < total) ? '' : version],
    ...pools.map(({ total, granted }) => (granted < total ? 'left' : total)),
  ].join(' ')

export class SureRefusals {
  readonly #copied: (epoch: string) => Promise<unknown>
  #ground = ''
  #last: Notice | undefined
  #asking: Promise<unknown> | undefined

  /** `copied` resolves when all replicas have everything that this epoch's server has done. */
  constructor(copied: (epoch: string) => Promise<unknown>) {
    this.#copied = copied
  }

  /** Whether all replicas have what a refusal by this notice rests on. */
  has(notice: Notice): boolean {
    if (notice === this.#last) return true
    if (groundOf(notice) !== this.#ground) return false
    this.#last = notice
    return true
  }

  /** Resolves when all replicas have it; rejects when they do not answer or another server is the round's. */
  async ask(notice: Notice): Promise<void> {
    if (this.has(notice)) return
    // One that is under way may have left before this notice was made.
    await this.#asking?.catch(() => {})
    if (this.has(notice)) return
    this.#asking ??= this.#copied(notice.epoch).finally(() => {
      this.#asking = undefined
    })
    await this.#asking
    this.#ground = groundOf(notice)
  }
}

/** Whether anybody is refused by it for good. */
export const refuses = ({ outcomes }: Pick<Decision, 'outcomes'>): boolean =>
  outcomes.some(outcome => !LASTING.has(outcome))

/** The same decision, where whoever is refused has to ask again. */
export const unsure = (decision: Decision): Decision => ({
  ...decision,
  outcomes: decision.outcomes.map(outcome => (LASTING.has(outcome) ? outcome : CODES.fenced.number)),
})
