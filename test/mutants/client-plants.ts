/**
 * Bugs of the client: what it asks again and in which words, what it says of a doubt, and what it shows of the stock and of
 * the time until a round opens.
 */
import { type Plant, plant } from './plant.ts'

const PATIENCE = 'engine/client/patience.ts'
const TRANSPORT = 'engine/client/transport.ts'
const BATCH = 'engine/client/claim-batch.ts'
const STOCK = 'engine/client/stock.ts'
const RECEIPT = 'engine/client/receipt-check.ts'
const CLAIM = 'engine/client/claim.ts'
const ROUND = 'engine/client/round.ts'
const CLOCK = 'engine/client/engine-clock.ts'
const UNIT = 'unit/client-patience'
const CERTAIN = 'unit/client-certainty'
const FORGED = 'unit/forged-receipts'
const ANSWERS = 'unit/client-answers'
const STREAM = 'server/client-stream'
const REDEMPTION = 'engine/client/redemption.ts'

export const CLIENT_PLANTS: readonly Plant[] = [
  plant(
    'a receipt with an empty tag and its record as the pool is anybody’s',
    RECEIPT,
    [
      "  const bytes = Uint8Array.of(...bytesOf(tag, 16), pool)\n  need(bytes[16] === pool, 'The pool is no place in a list.')\n  return hexOf(bytes.buffer)\n",
      "  return tag + pool.toString(16).padStart(2, '0')\n",
    ],
    FORGED,
  ),
  plant(
    'a receipt whose salt has the beginning of a name is somebody else’s',
    RECEIPT,
    ['bytesOf(salt, 16)', 'bytesOf(salt)'],
    FORGED,
  ),
  plant('a receipt’s bytes may be written in other words', RECEIPT, [' && hexOf(bytes.buffer) === hex', ''], FORGED),
  plant(
    'the bench takes a tag of a longer salt',
    'bench/audit/draw.ts',
    ["  if (!SIXTEEN_BYTES.test(salt) || !SIXTEEN_BYTES.test(nonce)) return 'none'\n", ''],
    FORGED,
  ),
  plant(
    'a 503 of a proxy passes for certainly not executed',
    PATIENCE,
    ['!(status === 503 && BUSY.includes(code as string))', '!(status === 503)'],
    UNIT,
  ),
  plant(
    'a claim in doubt is given up before its deadline',
    PATIENCE,
    ['if (!inDoubt || left < LEAST_MS)', 'if (left > 0)'],
    UNIT,
  ),
  plant(
    'a busy engine takes a doubt away',
    PATIENCE,
    ['inDoubt ||= isDoubtful(answer)', 'inDoubt = isDoubtful(answer)'],
    UNIT,
  ),
  plant(
    'the wait that the engine asks for is not kept',
    PATIENCE,
    ["const wait = typeof ms === 'number' ? ms : ", 'const wait = '],
    UNIT,
  ),
  plant(
    'a page in place of an answer passes for one',
    TRANSPORT,
    ['!fits(answer.body, asked.expects ?? {})', 'asked.expects === undefined'],
    UNIT,
  ),
  plant("a claim follows a proxy's redirect as a read", TRANSPORT, ["      redirect: 'manual',\n", ''], UNIT),
  plant(
    'a token that ended makes a doubt certain',
    'engine/client/ending.ts',
    ['const BLIND = [401, 403, 404]', 'const BLIND: readonly number[] = []'],
    UNIT,
  ),
  plant(
    'a claim of a batch forgets that it was in doubt',
    BATCH,
    ['resultOf(item, this.#doubted.has(place))', 'resultOf(item, inDoubt)'],
    UNIT,
  ),
  plant('a batch is asked again as a whole', BATCH, ['      return isOpen(item)\n', '      return true\n'], UNIT),
  plant(
    'the client shows an older version behind a newer one',
    STOCK,
    ['frame.version < (this.#versions.get(frame.epoch) ?? 0)', 'frame.version < 0'],
    STREAM,
  ),
  plant('stock behind a gap looks as if nothing was missed', STOCK, ['    this.#afterGap = true\n', ''], STREAM),
  plant("the countdown counts by this machine's clock", ROUND, ['opens - watch.now()', 'opens - Date.now()'], STREAM),
  plant(
    'a token without its cohort makes a doubt certain',
    CLAIM,
    [" && !(inDoubt && code === 'not_eligible')", ''],
    CERTAIN,
  ),
  plant(
    'a batch that is refused forgets which of its claims were in doubt',
    BATCH,
    ['notDone({ answer, inDoubt: inDoubt || this.#doubted.has(place) })', 'notDone(settled)'],
    CERTAIN,
  ),
  plant('another user’s claim is taken for one’s own', CLAIM, ['user_id: user ?? isText', 'user_id: isText'], CERTAIN),
  plant('a claim in a failure is a grant', CLAIM, ['  if (isDone(answer))\n', '  if (body.claim)\n'], CERTAIN),
  plant('another order’s redemption is taken for one’s own', REDEMPTION, ['order_id: body.order.id, ', ''], CERTAIN),
  plant(
    'results of a batch that say nothing are certain refusals',
    BATCH,
    [': { outcome: isText },', ': {},'],
    ANSWERS,
  ),
  plant('a grant without vouchers is one', CLAIM, ['  vouchers: listOf({ code: isText }),\n', ''], ANSWERS, CERTAIN),
  plant('an entry without a signature is one', CLAIM, ['signature: isText, ', ''], ANSWERS),
  plant('another order’s lock is taken for one’s own', REDEMPTION, ['order_id: body.order_id, ', ''], ANSWERS),
  plant('a voucher that is still locked is unlocked', REDEMPTION, [" && state !== 'locked'", ''], ANSWERS),
  plant(
    'another amount than was asked for is reversed',
    REDEMPTION,
    ["body.type === 'partial' ? body.amount : Number.isInteger", 'Number.isInteger'],
    ANSWERS,
  ),
  plant(
    'a page in place of what is read is an empty object',
    'engine/client/fairgrab.ts',
    ['expects: isRead, ', ''],
    ANSWERS,
  ),
  plant(
    'any code makes a 503 certainly not executed',
    PATIENCE,
    ['BUSY.includes(code as string)', 'code !== undefined'],
    ANSWERS,
  ),
  plant('a round says sold_out with any status', CLAIM, ['SAYS[code] === status && ', ''], ANSWERS),
  plant('an id of dots asks for another path', TRANSPORT, ['(\\.|%2e){1,2}', '(\\.|%2e){3}'], ANSWERS),
  plant(
    'a receipt that is none ends the program',
    'engine/client/receipt.ts',
    ['this.fields = Object(fields)', 'this.fields = fields'],
    ANSWERS,
  ),
  plant('what was not sent is asked again', PATIENCE, ['  !unsent && (status', '  (status'], CERTAIN),
  plant(
    'a key beyond ASCII is sent',
    TRANSPORT,
    ["    if (key !== undefined) insistVisible('Idempotency-Key', key)\n", ''],
    CERTAIN,
  ),
  plant(
    'a token that never comes is waited for',
    TRANSPORT,
    ["cut.signal.addEventListener('abort', () => reject(cut.signal.reason))", 'void reject'],
    CERTAIN,
  ),
  plant(
    'a long time for an answer is a millisecond',
    TRANSPORT,
    ['setTimeout(late, Math.min(ms, TIMER_MS_MAX))', 'setTimeout(late, ms)'],
    CERTAIN,
  ),
  plant('a wait that is over is no wait at all', PATIENCE, ['Math.max(LEAST_MS, least)', 'least'], UNIT),
  plant(
    'a redirect that a browser hides is asked again',
    TRANSPORT,
    ["type === 'opaqueredirect' ? 302 : response.status", "type === 'error' ? 302 : response.status"],
    'browser/cross-origin',
  ),
  plant(
    'a garbled frame ends the program',
    'engine/client/stream.ts',
    ["    return typeof frame?.op === 'string' ? frame : undefined\n", '    return frame\n'],
    STREAM,
  ),
  plant('a countdown forgets what came while its reader was busy', ROUND, ['      if (isNews) wake()\n', ''], STREAM),
  plant('a time that is none is taken for the engine’s', CLOCK, ['Number.isNaN(ms) || ', ''], 'unit/engine-clock'),
  plant(
    'a clock that was set is not believed for a minute',
    CLOCK,
    [' && Math.abs(ms - this.now()) <= way + this.#way', ''],
    'unit/engine-clock',
    STREAM,
  ),
]
