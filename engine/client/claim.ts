/**
 * A claim, asked until its answer is certain, and its result as a union that a `switch` over `outcome` has to cover.
 *
 * (round, user, slot) is the claim's key, so every attempt is the same bytes and comes to the same claim; nothing else is ever
 * asked. Bodies are those of the API, field by field.
 * Rejected: a thrown error for `sold_out`. It is what most people get, and a `catch` can be forgotten.
 */
import { type NotDone, notDone } from './ending.ts'
import { insist, type Patience } from './patience.ts'
import { Receipt } from './receipt.ts'
import type { ReceiptFields } from './receipt-check.ts'
import { type Expected, fits, inPath, isDone, isText, listOf, type Transport } from './transport.ts'

export interface ClaimOptions extends Patience {
  /** For whom, with a key; a user's token names its own. */
  readonly user?: string | undefined
  readonly pool?: string | undefined
  /** Which of a user's packs, where the campaign gives more than one; 1 unless given. */
  readonly slot?: number | undefined
}

export interface Claim {
  readonly id: string
  readonly round_id: string
  readonly user_id: string
  readonly pool: string
  readonly slot: number
  readonly sequence: number
  readonly granted_at: string
  /** Of a claim that a key reads: the scope of the key that claimed it, where that has one. */
  readonly via?: string
}

export interface Voucher {
  readonly code: string
  readonly template: string
  readonly state: string
  readonly expires_at: string
}

/** The pack is the user's; asked again it is the same one. */
export interface Granted {
  readonly outcome: 'granted'
  readonly replayed?: true
  readonly claim: Claim
  readonly vouchers: readonly Voucher[]
}

/** In the draw; keep the receipt, which proves it. */
export interface Entered {
  readonly outcome: 'entered'
  readonly receipt: Receipt
}

/** What a round says to this user. `not_eligible` is for good; `sold_out` may change when stock is added. */
export interface RoundSays {
  readonly outcome: 'sold_out' | 'limit_reached' | 'closed' | 'not_eligible'
  readonly detail: string
}

/** The round is not giving anything out now: watch it with `stock` or `countdown`, and claim then. */
export interface NotNow {
  readonly outcome: 'paused' | 'not_open'
  readonly detail: string
  readonly retry_after_ms: number
  /** Of `not_open`: when it opens, null by hand. */
  readonly opens_at?: string | null
  readonly server_time?: string
}

export type ClaimResult = Granted | Entered | RoundSays | NotNow | NotDone

/** What a round says, with the status of each. */
const SAYS: Readonly<Record<string, number>> = {
  ...{ sold_out: 409, limit_reached: 409, paused: 409, closed: 410, not_open: 425, not_eligible: 403 },
}

/** Whether a round itself said so; `not_eligible` is said of a token before anybody looks for what was granted. */
export const isSaid = (code = '', inDoubt = false, status = SAYS[code]): boolean =>
  Number(status) > 0 && SAYS[code] === status && !(inDoubt && code === 'not_eligible')

/** The grant that was asked for. */
export const grantOf = (round_id: string, { user, slot = 1 }: ClaimOptions): Expected => ({
  outcome: 'granted',
  claim: { id: isText, round_id, slot, user_id: user ?? isText },
  vouchers: listOf({ code: isText }),
})

/** The entry that was asked for; whose it is it need not say. */
const entryOf = (round_id: string, { user }: ClaimOptions): Expected => ({
  outcome: 'entered',
  receipt: {
    ...{ round_id, tag: isText, root: isText, signature: isText, key_id: isText },
    user_id: id => !id || !user || id === user,
  },
})

export const claimPath = (round: string): string => `/v1/rounds/${inPath(round)}/claims`

/** The parts of a claim as the API names them. */
export const claimBody = ({ user, pool, slot }: ClaimOptions) => ({ user_id: user, pool, slot })

export async function claim(transport: Transport, round: string, options: ClaimOptions = {}): Promise<ClaimResult> {
  const { user } = options
  const [granted, entered] = [grantOf(round, options), entryOf(round, options)]
  const expects = (given: unknown) => fits(given, granted) || fits(given, entered)
  const asked = { method: 'POST', path: claimPath(round), body: claimBody(options), expects } as const
  const settled = await insist(transport, asked, options)
  const { answer, inDoubt } = settled
  const { body, code } = answer
  if (isDone(answer))
    return body.claim
      ? (body as unknown as Granted)
      : { outcome: 'entered', receipt: new Receipt(body.receipt as ReceiptFields, transport, user) }
  if (!isSaid(code, inDoubt, answer.status)) return notDone(settled)
  return { ...body, outcome: code } as unknown as RoundSays | NotNow
}
