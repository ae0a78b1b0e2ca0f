/**
 * Bugs of the client: what it asks again and in which words, what it says of a doubt, and what it shows of the stock and of
 * the time until a round opens.
 */
import { type Plant, plant } from './plant.ts'

const PATIENCE = 'engine/client/patience.ts'
const TRANSPORT = 'engine/client/transport.ts'
const BATCH = 'engine/client/claim-batch.ts'
const STOCK = 'engine/client/stock.ts'
const RECEIPT = 'engine/client/receipt.ts'
const UNIT = 'unit/client-patience'
const FORGED = 'unit/forged-receipts'
const STREAM = 'server/client-stream'

export const CLIENT_PLANTS: readonly Plant[] = [
  plant(
    'a receipt with an empty tag and its record as the pool is anybody’s',
    RECEIPT,
    [
      '  const bytes = Uint8Array.of(...bytesOf(tag, 16), pool)\n  need(bytes[16] === pool, `Not the place of a pool: ${pool}`)\n  return hexOf(bytes.buffer)\n',
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
    ['!(status === 503 && code !== undefined)', '!(status === 503)'],
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
    ["  if (typeof ms === 'number') return ms\n", "  if (typeof ms === 'number') return 0\n"],
    UNIT,
  ),
  plant(
    'a page in place of an answer passes for one',
    TRANSPORT,
    ['asked.expects?.(answer.body) === false', 'asked.expects === undefined'],
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
    ["result.outcome === 'not_executed' && this.#doubted.has(place)", 'false'],
    UNIT,
  ),
  plant(
    'a batch is asked again as a whole',
    BATCH,
    ['      return result === undefined\n', '      return true\n'],
    UNIT,
  ),
  plant(
    'the client shows an older version behind a newer one',
    STOCK,
    ['frame.epoch === than?.epoch && frame.version < than.version', 'frame.epoch === than?.epoch && frame.version < 0'],
    STREAM,
  ),
  plant('stock behind a gap looks as if nothing was missed', STOCK, ['    this.#afterGap = true\n', ''], STREAM),
  plant(
    "the countdown counts by this machine's clock",
    'engine/client/round.ts',
    ['Date.parse(opensAt) - watch.now()', 'Date.parse(opensAt) - Date.now()'],
    STREAM,
  ),
]
