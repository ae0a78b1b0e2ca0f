/**
 * The outcome table: every answer the engine can give, once.
 *
 * Lua replies with `number`, HTTP answers with `status`, the stream closes with `close`, metrics label with
 * `code`, and docs/errors.md lists every row; tests in test/repo hold all of them to this table. A number or a
 * code that is retired moves to RETIRED and is never used again: clients outside this repository key on them.
 *
 * `executed` says what a client may conclude: 'yes' the change happened, 'no' it certainly did not, 'maybe' ask
 * again with the same natural key. `retry` says whether asking again later can end differently.
 */
export type Executed = 'yes' | 'no' | 'maybe'

interface Row {
  readonly number: number
  readonly status: number
  readonly title: string
  readonly executed: Executed
  readonly retry: boolean
}

const row = (number: number, status: number, title: string, executed: Executed = 'no', retry = false): Row => ({
  number,
  status,
  title,
  executed,
  retry,
})

export const CODES = {
  // 0..19 a claim's outcomes, one number a claim: what the scripts answer, and what a worker refuses before it asks.
  granted: row(0, 201, 'Granted', 'yes'),
  replayed: row(1, 200, 'Granted before; the same claim', 'yes'),
  entered: row(2, 202, 'Entered into the draw; the receipt proves it', 'yes'),
  sold_out: row(3, 409, 'Nothing is left that this user could use', 'no', true),
  limit_reached: row(4, 409, 'The slot is beyond the limit per user'),
  paused: row(5, 409, 'The round is paused', 'no', true),
  not_open: row(6, 425, 'The round has not opened', 'no', true),
  closed: row(7, 410, 'The round is over'),
  not_eligible: row(8, 403, 'This user or pool may not claim here'),
  fenced: row(9, 503, 'Granting is stopped until the state is certain again', 'no', true),

  // 20..39 answers of the edge, decided before anything is asked of Redis.
  malformed: row(20, 400, 'The bytes are not the encoding they claim to be'),
  invalid: row(21, 422, 'A field is wrong, missing or unknown'),
  unauthorized: row(22, 401, 'The credential is missing, wrong or expired'),
  forbidden: row(23, 403, 'The credential may not do this'),
  not_found: row(24, 404, 'There is no such thing'),
  method_not_allowed: row(25, 405, 'The path exists, the method does not'),
  too_large: row(26, 413, 'The body or frame is over the limit'),
  unsupported_type: row(27, 415, 'The content type is not one the engine reads'),
  rate_limited: row(28, 429, 'Too many requests from this caller', 'no', true),
  overloaded: row(29, 503, 'The engine sheds load; certainly not executed', 'no', true),
  unknown: row(30, 504, 'It may have been executed; ask again', 'maybe', true),
  unavailable: row(31, 503, 'What the answer needs cannot be asked now; nothing was executed', 'no', true),
  internal: row(32, 500, 'A bug in the engine', 'maybe', true),

  // 40..59 rounds and campaigns.
  wrong_state: row(40, 409, 'The round is not in a state that allows this'),
  below_granted: row(41, 409, 'Stock cannot go below what is granted'),
  budget_exceeded: row(42, 422, "The packs could exceed the campaign's budget"),
  changed: row(43, 409, 'It is not what the change was to be made to'),

  // 60..89 vouchers and redemption.
  already_redeemed: row(60, 409, 'The voucher was redeemed'),
  expired: row(61, 410, 'The voucher is past its validity'),
  voucher_locked: row(62, 423, "Another order holds the voucher's lock", 'no', true),
  below_minimum: row(63, 422, 'The order is below the minimum amount'),
  wrong_currency: row(64, 422, "The order is not in the campaign's currency"),
  order_limit: row(65, 422, 'The order used as many of these vouchers as it may'),
  merchant_limit: row(66, 422, 'This user used as many of these vouchers at this merchant today as they may'),
  merchant_not_eligible: row(67, 422, 'The merchant may not accept this voucher'),
  idempotency_key_required: row(68, 400, 'The header Idempotency-Key is required'),
  idempotency_mismatch: row(69, 422, 'The same Idempotency-Key came with another body'),
  deactivated: row(70, 410, 'The voucher was deactivated'),
  not_reversible: row(71, 409, 'Nothing of the redemption is left to reverse'),
  over_redeemed: row(72, 422, 'Less than that is left of the redemption'),
  wrong_day: row(73, 503, 'The business day turned while this was asked; nothing was executed', 'no', true),
  day_open: row(74, 409, 'The business day is not over', 'no', true),
} as const satisfies Record<string, Row>

export type Code = keyof typeof CODES

/** Numbers and codes that were once used; never to be used again. */
export const RETIRED: readonly { readonly number: number; readonly code: string; readonly since: string }[] = []

const byNumber: (Code | undefined)[] = []
for (const [code, { number }] of Object.entries(CODES)) byNumber[number] = code as Code

/** The code of a number of the table, or undefined for a number that is not in it. */
export function codeOf(number: number): Code | undefined {
  return byNumber[number]
}

/**
 * WebSocket close codes. Ranges speak: 4400..4499 do not reconnect without changing something,
 * 4500..4599 reconnect after a delay with jitter; 1012 (service restart) reconnect at once with jitter.
 */
export const CLOSE_CODES = {
  restart: { close: 1012, reconnect: true, title: 'The engine restarts' },
  unauthorized: { close: 4401, reconnect: false, title: 'The credential is missing, wrong or expired' },
  forbidden: { close: 4403, reconnect: false, title: 'The credential may not do this' },
  idle: { close: 4408, reconnect: true, title: 'Nothing was sent for too long' },
  too_large: { close: 4413, reconnect: false, title: 'A frame is over the limit' },
  rate_limited: { close: 4429, reconnect: false, title: 'Too many frames' },
  slow: { close: 4508, reconnect: true, title: 'Too many answers wait to be read' },
  overloaded: { close: 4503, reconnect: true, title: 'The engine sheds load' },
} as const

export type CloseCode = keyof typeof CLOSE_CODES
