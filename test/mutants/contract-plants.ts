/**
 * Planted bugs of what the engine promises outsiders in its contracts: routes, answers and codes that /openapi.json describes. How
 * they are planted, and what was rejected, stands in plants.ts.
 */
import { type Plant, plant } from './plant.ts'

const OPEN_API = 'engine/wire/open-api.ts'
const LIMITS = 'engine/server/http/campaign-limits.ts'
const VOUCHERS = 'engine/server/routes/voucher-routes.ts'

export const CONTRACT_PLANTS: readonly Plant[] = [
  plant(
    'an answer has a field that the contract does not describe',
    VOUCHERS,
    ['    user_id: voucher.userId,', '    user_id: voucher.userId,\n    pool: voucher.pool,'],
    'server/vouchers',
  ),
  plant('the contract leaves out a code that a route gives', VOUCHERS, ["  'order_limit',\n", ''], 'server/vouchers'),
  plant(
    'the files of the pages are part of the contract',
    OPEN_API,
    ['routes.filter(({ operation: id }) => id !== undefined)', 'routes'],
    'server/contracts',
  ),
  plant(
    'the contract promises a time with every refusal',
    'engine/wire/answer-headers.ts',
    ['isIn: ({ codes }) => codes.some(hasRetryAfter),', 'isIn: always,'],
    'server/answer-headers',
  ),
  plant(
    'a list of lines forgets the rate of its caller',
    'engine/server/uws/exchange.ts',
    ['      for (const [name, value] of this.limits) this.#res.writeHeader(name, value)\n', ''],
    'server/answer-headers',
  ),
  plant(
    'a lock of somebody else has no time in the contract',
    'engine/wire/problem.ts',
    ["TIMED: readonly Code[] = ['voucher_locked']", 'TIMED: readonly Code[] = []'],
    'server/answer-headers',
  ),
  plant(
    'rounds of a list are read one after the other',
    'engine/server/routes/round-routes.ts',
    ['const SIDE_BY_SIDE = 32', 'const SIDE_BY_SIDE = 1'],
    'server/round-lists',
  ),
  plant(
    'all rounds of a list are read at once',
    'engine/server/routes/round-routes.ts',
    ['const SIDE_BY_SIDE = 32', 'const SIDE_BY_SIDE = 1e6'],
    'server/round-lists',
  ),
  plant(
    'the contract says that every parameter is text',
    'engine/wire/parameters.ts',
    ['return schema ?? {', 'return {'],
    'server/contracts',
  ),
  plant(
    'the contract asks for a key that need not be there',
    OPEN_API,
    ['required: needsKey,', 'required: true,'],
    'server/contracts',
  ),
  plant(
    'a merchant may have a bar in its id',
    'engine/base/holder.ts',
    ['!/[:|+]/.test(id)', '!/[:+]/.test(id)'],
    'server/user-ids',
  ),
  plant(
    'a journal reads no holder with a bar',
    'engine/campaign/fenced/journal-record.ts',
    ['/^[A-Za-z0-9._:@|+-]{1,64}(', '/^[A-Za-z0-9._:@+-]{1,64}('],
    'unit/journal',
  ),
  plant(
    'a limited key finds the vouchers of other campaigns',
    LIMITS,
    ['if (route.byCode && code !== undefined)', 'if (route.byCode && code === undefined)'],
    'server/campaign-keys',
  ),
  plant(
    'a limited key claims in other campaigns over the stream',
    'engine/server/answers/claim.ts',
    ['if (!reaches(caller, campaign)) return notThere(round)\n', ''],
    'server/campaign-keys',
  ),
  plant(
    'a limited key lists the rounds of other campaigns',
    LIMITS,
    ['return ids.filter(id => own.has(id))', 'return own.size > 0 ? ids : []'],
    'server/campaign-keys',
  ),
  plant(
    'a limited key sets what holds for all campaigns',
    LIMITS,
    ["if (right === 'operate')", "if (right === 'operate' && path.includes('{'))"],
    'server/campaign-keys',
  ),
  plant(
    'a preflight of the stream is nothing',
    'engine/server/routes/routes.ts',
    ['[...PATTERNS.keys(), STREAM_PATH]', '[...PATTERNS.keys()]'],
    'server/cross-origin',
  ),
  plant(
    'readiness has a field in another style',
    'engine/server/routes/routes.ts',
    ['    redis_version: redisVersion,\n', '    redisVersion,\n'],
    'server/contracts',
  ),
  plant(
    'a frame of results has a field that nobody described',
    'engine/wire/claims-frame.ts',
    ["writeKey(into, at, 'replayed', replayed.length)", "writeKey(into, at, 'repeated', replayed.length)"],
    'unit/claims-frame',
  ),
]
