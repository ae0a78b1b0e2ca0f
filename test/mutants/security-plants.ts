/**
 * Planted bugs of what strangers may not do: a limit, a check or a mask that is dropped. The form of a row is that of
 * plant.ts; each names the test that was written for what it takes away.
 *
 * Rejected: plants of every row of docs/security.md. Most of those tests are older than that page and have their own.
 */
import { type Plant, plant } from './plant.ts'

export const SECURITY_PLANTS: readonly Plant[] = [
  plant(
    'a message that is no notice ends the worker',
    'engine/store/notice.ts',
    ['FORM.test(message) ? parseNotice(message) : undefined', 'parseNotice(message)'],
    'unit/fuzz-files',
  ),
  plant(
    "the password of Redis's address is shown",
    'engine/store/address.ts',
    ["url.replace(/^([a-z+]+:\\/\\/)?.*@/i, '$1')", 'url'],
    'server/secrecy',
  ),
  plant(
    'the link logs the whole address',
    'engine/store/link.ts',
    ["heard?.('up', shownUrl(this.#options.url))", "heard?.('up', this.#options.url)"],
    'server/secrecy',
  ),
  plant(
    'a clock that is hours behind is believed',
    'engine/main.ts',
    ['    clock.learn(found.aheadMs)\n', ''],
    'server/clocks-apart',
  ),
  plant(
    'keys of callers are kept by the week of a wrong clock',
    'engine/main.ts',
    ['calendarMs: () => clock.wallMs()', 'calendarMs: () => realClock.wallMs()'],
    'server/clocks-apart',
  ),
  plant(
    'of a name that a body says twice the last is believed',
    'engine/wire/encoding.ts',
    ['if (members === (encoding', 'if (members <= (encoding'],
    'unit/encoding',
    'server/edge',
  ),
  plant(
    'the fast lane of the stream takes a round that is named twice',
    'engine/wire/claims-frame.ts',
    ['      if (texts[field] !== undefined) return undefined\n      texts', '      texts'],
    'unit/claims-frame',
  ),
  plant(
    'a round may be made whose end has passed',
    'engine/campaign/lifecycle.ts',
    ["refuseEarly('closes_at', closes_at, now, ", "refuseEarly('closes_at', closes_at, 0, "],
    'server/rounds',
  ),
  plant(
    'a token may say a name twice',
    'engine/auth/user-tokens.ts',
    ['return repeatedName(json) === undefined ? value : undefined', 'return value'],
    'unit/user-tokens',
  ),
  plant(
    'any transfer coding of a claim is taken for chunks',
    'engine/server/uws.ts',
    ["(!lean || req.getHeader('transfer-encoding') !== '')", '!lean'],
    'server/edge',
  ),
  plant(
    'of two lengths the first is believed',
    'engine/server/uws.ts',
    ['return lengths > 1 || codings > 1', 'return codings > 1'],
    'server/edge',
  ),
  plant(
    'an ambiguous request keeps its connection',
    'engine/server/uws.ts',
    ['if (this.ambiguous) this.#res.end(body, true)', 'if (this.ambiguous) this.#res.end(body)'],
    'server/edge',
  ),
  plant(
    'wrong codes are not counted against their caller',
    'engine/server/gateway.ts',
    ['  rates.guessed(caller)\n', ''],
    'server/strangers',
  ),
  plant(
    'one of the ways to a code is not counted',
    'engine/server/voucher-routes.ts',
    ["    path: '/v1/redemptions',\n    byCode: true,\n", "    path: '/v1/redemptions',\n"],
    'server/strangers',
  ),
  plant(
    'right codes count as guesses',
    'engine/server/rate-limits.ts',
    [
      'this.#filled(guesses(caller), this.#wrongCodes, this.#now()).left >= 1',
      'this.#filled(guesses(caller), this.#wrongCodes, this.#now()).left-- >= 1',
    ],
    'unit/timing',
  ),
  plant(
    'a cursor may be any number',
    'engine/server/lists.ts',
    ['if (!/^\\d{1,15}$/.test(cursor))', 'if (!Number.isInteger(Number(cursor)))'],
    'server/strangers',
  ),
  plant(
    "a journal's record is believed because its CRC is right",
    'engine/campaign/journal-record.ts',
    ['if (end > body.length || sequence === 0 || !HOLDER.test(holder)) return undefined', ''],
    'unit/fuzz-files',
  ),
  plant(
    'a worker outlives its killed supervisor',
    'engine/processes/worker.ts',
    ["ends at once')\n  process.exit(1)", "ends at once')\n  setTimeout(() => process.exit(1), 2000)"],
    'fault/orphans',
  ),
  plant(
    'a partial reversal makes a voucher unused in the report',
    'engine/campaign/report.ts',
    ["(kind === 'reverse' && count === '1')", "kind === 'reverse'"],
    'server/report',
  ),
  plant(
    'the engine goes on after a bug nobody caught',
    'engine/processes/worker.ts',
    ["process.on('unhandledRejection', die)", "process.on('unhandledRejection', () => {})"],
    'server/crash',
  ),
  plant(
    "the engine's user may delete",
    'deploy/redis-users.conf',
    ['+exists +ttl', '+exists +del +ttl'],
    'server/doctor',
  ),
  plant(
    'an unknown field of a redemption is dropped in silence',
    'engine/wire/schemas.ts',
    ['    order: z.strictObject({ id: opaque, amount,', '    order: z.object({ id: opaque, amount,'],
    'unit/strict-inputs',
  ),
  plant(
    "a bound key may use another merchant's lock for the same order",
    'scripts/lib/redemption.lua',
    ["return voucher.merchant ~= merchant and (voucher.merchant ~= '' or bound ~= '')", 'return false'],
    'script/till',
  ),
  plant(
    'a bound key has a part in the locks of keys that are not',
    'scripts/lib/redemption.lua',
    [" and (voucher.merchant ~= '' or bound ~= '')", " and voucher.merchant ~= ''"],
    'script/till',
  ),
  plant(
    'a lock is taken off by its order alone',
    'scripts/voucher-unlock.lua',
    ['voucher.merchant ~= ARGV[3] or voucher.order', 'voucher.order'],
    'script/till',
  ),
  plant(
    "a bound key is shown another merchant's redemption",
    'engine/server/voucher-routes.ts',
    ['redemption: isOwn(redeemed) ? redeemed : null', 'redemption: redeemed'],
    'server/after-claim',
  ),
  plant(
    'a bound key reads another merchant',
    'engine/server/ledger-routes.ts',
    ['caller.merchant !== undefined && caller.merchant !== id', 'caller.merchant === id'],
    'server/after-claim',
  ),
  plant(
    'a redemption is decided on what operators had set long ago',
    'scripts/redeem.lua',
    ['if known or not to or stale then return', 'if known or not to then return'],
    'script/till',
    'fault/frozen-nodes',
  ),
  plant(
    "Redis's clock that was set back makes a lease longer",
    'scripts/lib/grounds.lua',
    ['book.clock < tonumber(from) or ', ''],
    'script/till',
  ),
  plant(
    'a call of many redemptions has the longest of their leases',
    'engine/store/dated-read.ts',
    ['Math.min(', 'Math.max('],
    'script/till',
  ),
  plant(
    'a worker judges on whatever it has read last',
    'engine/campaign/controls.ts',
    ['return this.#options.clock.monotonicMs() - began < KEPT_MS', 'return began > 0'],
    'unit/controls',
  ),
  plant(
    'a redemption that came too late is refused and not judged anew',
    'engine/campaign/redemption.ts',
    ['if (tries === TRIES) throw again', 'throw again'],
    'fault/frozen-nodes',
  ),
  plant(
    'a worker that stood still lets in at the rates of before',
    'engine/campaign/controls.ts',
    ['return now > this.#holdsUntil', 'return now < 0'],
    'unit/controls',
    'fault/frozen-nodes',
  ),
]
