/**
 * A question that names the epoch of its round, asked once more where the round turns out to be in another one by now: a
 * fail-over or a move began it, and no event has said so yet. `fenced` is certain, so nothing is done twice.
 *
 * First come does the same without a promise more (claim-queue.ts). Rejected: asking people to come again, who would get
 * `fenced` until somebody reads the round.
 */
import { Fault } from '../../base/assert.ts'

export interface Epochs {
  /** The epoch that is known. */
  readonly epoch: () => string
  /** Resolves when it is known which epoch the round is in now; undefined where somebody else sees to that. */
  readonly renew: (() => Promise<void>) | undefined
}

export async function askRenewed<Answer>(
  { epoch, renew }: Epochs,
  ask: (epoch: string) => Promise<Answer>,
): Promise<Answer> {
  const asked = epoch()
  try {
    return await ask(asked)
  } catch (fault) {
    if (!renew || !(fault instanceof Fault) || fault.code !== 'fenced') throw fault
    await renew().catch(() => {})
    if (epoch() === asked) throw fault
  }
  return ask(epoch())
}
