/**
 * Planted bugs: one small change of the text each, and the few test files that have to notice.
 *
 * A row is what the bug does, the file, the text that is replaced and what by, and the tests, below test/ and without
 * their ending. Each is a mistake that somebody could make in good faith: a check that is dropped, a comparison that is
 * off by one, an answer that is surer than it may be. The text must stand in its file exactly once, which `npm test`
 * checks, so a row that no longer applies is found at the change that moved it.
 *
 * Rejected: mutations by a tool. Thousands of them take hours here, and most survivors say nothing about a promise.
 */
import { BATCH_PLANTS } from './batch-plants.ts'
import { BENCH_PLANTS } from './bench-plants.ts'
import { CLIENT_PLANTS } from './client-plants.ts'
import { CLUSTER_PLANTS } from './cluster-plants.ts'
import { COMMAND_PLANTS } from './command-plants.ts'
import { CONTRACT_PLANTS } from './contract-plants.ts'
import { DRAW_PLANTS } from './draw-plants.ts'
import { EDGE_PLANTS } from './edge-plants.ts'
import { FENCE_PLANTS } from './fence-plants.ts'
import { KEY_PLANTS } from './key-plants.ts'
import { KEYED_PLANTS } from './keyed-plants.ts'
import { OPERATOR_PLANTS } from './operator-plants.ts'
import { type Plant, plant } from './plant.ts'
import { SECURITY_PLANTS } from './security-plants.ts'
import { STORE_PLANTS } from './store-plants.ts'
import { STREAM_PLANTS } from './stream-plants.ts'
import { WITNESS_PLANTS } from './witness-plants.ts'

export type { Plant }

export const PLANTS: readonly Plant[] = [
  ...FENCE_PLANTS,
  ...STORE_PLANTS,
  ...CLUSTER_PLANTS,
  ...SECURITY_PLANTS,
  ...STREAM_PLANTS,
  ...EDGE_PLANTS,
  ...KEY_PLANTS,
  ...DRAW_PLANTS,
  ...WITNESS_PLANTS,
  ...BATCH_PLANTS,
  ...COMMAND_PLANTS,
  ...OPERATOR_PLANTS,
  ...KEYED_PLANTS,
  ...CONTRACT_PLANTS,
  ...CLIENT_PLANTS,
  ...BENCH_PLANTS,
  plant(
    'a holder is granted again',
    'scripts/claim.lua',
    ['local grant = held[i] or seen[user]', 'local grant = seen[user]'],
    'script/claim',
  ),
  plant(
    'twice in one batch is granted twice',
    'scripts/claim.lua',
    ['local grant = held[i] or seen[user]', 'local grant = held[i]'],
    'script/claim',
  ),
  plant(
    'lost holders are not noticed',
    'scripts/claim.lua',
    ["redis.call('HLEN', KEYS[2]) ~= round.given or ", ''],
    'script/claim',
  ),
  plant(
    'a lost log is not noticed',
    'scripts/claim.lua',
    [" or redis.call('EXISTS', KEYS[3]) == 0 then return", ' then return'],
    'script/claim',
  ),
  plant(
    'a pool gives one more than it has',
    'scripts/claim.lua',
    ['local outcome = shut or granted[pool] < room[pool]', 'local outcome = shut or granted[pool] <= room[pool]'],
    'script/claim',
  ),
  plant(
    'the window does not shut',
    'scripts/claim.lua',
    ['local outcome = shut or granted', 'local outcome = granted'],
    'script/claim',
  ),
  plant(
    'the log keeps who was refused, too',
    'scripts/lib/scopes.lua',
    ['if puts_n < 2 * #users then', 'if false then'],
    'script/claim',
  ),
  plant(
    'the mark of another worker is not waited for',
    'scripts/lib/order.lua',
    ['else low = math.min(low, other.mark) end', 'end'],
    'script/allot',
  ),
  plant(
    'a silent worker is waited for without end',
    'scripts/lib/order.lua',
    ['if oldest and silent and', 'if false and'],
    'script/allot',
  ),
  plant(
    'what comes behind the frontier is slotted in',
    'scripts/allot.lua',
    ['claim.stamp > order.frontier', 'claim.stamp > 0'],
    'script/allot',
  ),
  plant(
    'a repeat is told that it was granted anew',
    'scripts/allot.lua',
    ['record:sub(6, 13) == claim.tie and', 'true and'],
    'script/allot',
  ),
  plant(
    'a stamp may lie below the mark that was told',
    'engine/campaign/claim/arrival-queue.ts',
    [
      'Math.max(stampOf(this.#options.clock, ask.askedAt), this.#mark + 1)',
      'stampOf(this.#options.clock, ask.askedAt)',
    ],
    'unit/arrival-queue',
  ),
  plant(
    'the mark passes claims that have not left',
    'engine/campaign/claim/arrival-queue.ts',
    ['next ? next.stamp - 1 : Math.max', 'Math.max'],
    'unit/arrival-queue',
  ),
  plant(
    'a strict round that is in another epoch stays fenced',
    'engine/campaign/claim/arrival-queue.ts',
    ['epoch: () => view.notice.epoch, renew }', 'epoch: () => view.notice.epoch, renew: undefined }'],
    'unit/arrival-queue',
  ),
  plant(
    'a doubt is asked again in another epoch',
    'engine/campaign/claim/renewed.ts',
    [" || fault.code !== 'fenced'", ''],
    'unit/renewed',
  ),
  plant(
    'the epoch is not compared',
    'scripts/lib/round.lua',
    [" or (epoch ~= '' and f[1] ~= epoch)", ''],
    'script/claim',
    'script/round',
  ),
  plant(
    'the clock goes back',
    'scripts/lib/round.lua',
    ['now = math.max(now, tonumber(f[6]))', 'now = now'],
    'script/claim',
    'script/round',
  ),
  plant(
    'a round does not close by itself',
    'scripts/lib/round.lua',
    ['if round.closes > 0 and round.now >= round.closes and', 'if false and'],
    'script/claim',
    'script/round',
  ),
  plant(
    'a round that the clock has closed opens again where a clock is behind',
    'scripts/lib/notice.lua',
    [
      "return round.turned and round_write(round, channel, 'state', round.state) or round_notice(round)",
      'return round_notice(round)',
    ],
    'script/claim',
  ),
  plant(
    'the version is not raised',
    'scripts/lib/notice.lua',
    ['round.version = round.version + 1', 'round.version = round.version'],
    'script/claim',
    'script/round',
  ),
  plant(
    'nobody waits for the lease',
    'scripts/lib/shut.lua',
    ["return round.hold ~= '' and round.holds_as or nil", 'return nil'],
    'script/claim',
    'script/round',
  ),
  plant(
    'a reply confirms whatever an event said of the same version',
    'engine/campaign/round/round-view.ts',
    ['const confirms = newer || endOf(notice) === endOf(last)', 'const confirms = true'],
    'script/round-view',
  ),
  plant(
    'any hold is ended by whoever ends one',
    'scripts/hold-end.lua',
    ['if round.hold ~= ARGV[3] then', 'if false then'],
    'script/round',
  ),
  plant(
    'a change that is made again on another server has the same hold',
    'scripts/lib/round.lua',
    ["hold .. '_' .. round_server():sub(1, 16)", 'hold'],
    'script/round',
  ),
  plant(
    'a hold is ended before its lease is over',
    'engine/campaign/round/resume-holds.ts',
    ['clock.after(rounds.leaseMs + MARGIN_MS, resolve)', 'clock.after(MARGIN_MS, resolve)'],
    'unit/resume-holds',
  ),
  plant(
    'only whoever made a change ends its hold',
    'engine/campaign/round/rounds.ts',
    ['    round.decider.changed()\n    this.#holds.received(round.view.id, notice)', '    round.decider.changed()'],
    'unit/resume-holds',
    'server/local-refusals',
  ),
  plant(
    'a silent worker is waited for until a clock that was set back is there again',
    'scripts/lib/order.lua',
    ['if other.seen > order.now then', 'if false then'],
    'script/allot',
  ),
  plant(
    'stock is taken back below what is granted',
    'scripts/restock.lua',
    ['if round.room[pool] + add < round.granted[pool] then', 'if false then'],
    'script/round',
  ),
  plant(
    'a repeated restock counts twice',
    'scripts/restock.lua',
    ['if known then', "if known == '' then"],
    'script/round',
  ),
  plant(
    'a round is made over another',
    'scripts/round-create.lua',
    ["redis.call('EXISTS', KEYS[1]) == 1", "redis.call('EXISTS', KEYS[1]) == 2"],
    'script/round',
  ),
  plant(
    'a repeated turn is refused',
    'scripts/round-turn.lua',
    ["'request ' .. ARGV[5]) == 1", "'request ' .. ARGV[5]) == 2"],
    'script/round',
  ),
  plant(
    'a lock binds nobody',
    'scripts/redeem.lua',
    ['if lock_keeps_out(voucher, merchant, order, bound) then', 'if false then'],
    'script/voucher',
  ),
  plant(
    'a repeated redemption is a new one',
    'scripts/redeem.lua',
    ['if known or not to or stale then return known or', 'if not to or stale then return'],
    'script/voucher',
  ),
  plant(
    'vouchers do not expire',
    'scripts/lib/voucher.lua',
    ['if HOLDS[v.state] and book.now >= v.expires then', 'if false then'],
    'script/voucher',
  ),
  plant(
    'lost voucher records are not noticed',
    'scripts/lib/voucher.lua',
    ["if not book or redis.call('HLEN', vouchers) ~= book.vouchers then", 'if not book then'],
    'script/voucher',
  ),
  plant(
    'locks do not end',
    'scripts/lib/voucher.lua',
    ['if book.now >= tonumber(v.ends) then', 'if false then'],
    'script/voucher',
  ),
  plant(
    'a key answers for any body',
    'scripts/lib/request.lua',
    ['if kept ~= fingerprint then', 'if false then'],
    'script/voucher',
  ),
  plant(
    'a limit lets one more through',
    'scripts/lib/usage.lua',
    ['+ adds[i] > limits[i] then', '+ adds[i] > limits[i] + 1 then'],
    'script/voucher',
  ),
  plant(
    'the chain forgets the entry before',
    'scripts/lib/ledger.lua',
    ['redis.sha1hex(book.chain .. ', "redis.sha1hex('' .. "],
    'script/voucher',
    'server/after-claim',
  ),
  plant(
    'more is reversed than was redeemed',
    'scripts/reverse.lua',
    ['if amount > left then', 'if false then'],
    'script/voucher',
  ),
  plant('the budget has no end', 'scripts/budget.lua', ['after > tonumber(ARGV[3])', 'false'], 'script/budget'),
  plant(
    'grants are booked twice',
    'scripts/book.lua',
    ['if sequence <= before then', 'if false then'],
    'script/voucher',
    'server/after-claim',
  ),
  plant(
    'a key of last week is forgotten',
    'scripts/key-own.lua',
    ['this[i] or last[i] or kept[name]', 'this[i] or kept[name]'],
    'script/caller-keys',
  ),
  plant(
    'used vouchers expire, too',
    'scripts/expire.lua',
    ['* tonumber(ARGV[5]) - touched', '* tonumber(ARGV[5])'],
    'script/voucher',
    'server/after-claim',
  ),
  plant(
    'an old notice is certain for ever',
    'engine/campaign/round/round-view.ts',
    ['if (now - this.#confirmedAt > LEASE_MS || !this.#isShut())', 'if (!this.#isShut())'],
    'server/local-refusals',
  ),
  plant(
    'strangers are refused before all holders are known',
    'engine/campaign/round/round-view.ts',
    ['if (this.#holders.covered < sequence || !this', 'if (!this'],
    'server/two-nodes',
    'server/two-workers',
  ),
  plant(
    'an event is enough for a refusal',
    'engine/campaign/round/round-view.ts',
    ['if (sentAt === undefined && endOf(notice) !== endOf(last)) this', 'if (sentAt === -1) this'],
    'script/round-view',
  ),
  plant(
    'an older notice wins',
    'engine/campaign/round/round-view.ts',
    ['if (notice.epoch !== last.epoch || notice.version < last.version)', 'if (notice.epoch !== last.epoch)'],
    'script/round-view',
  ),
  plant(
    'holders of another epoch are kept',
    'engine/campaign/round/round-view.ts',
    ['    this.#confirmedAt = Number.NEGATIVE_INFINITY\n    this.#holders = this.#fresh()\n', ''],
    'script/round-view',
  ),
  plant(
    'a forged code opens',
    'engine/auth/voucher-codes.ts',
    ['if (differs !== 0) return undefined', ''],
    'unit/voucher-codes',
  ),
  plant(
    'a key is any key that it begins',
    'engine/campaign/round/known-holders.ts',
    ['if (chunk[at++] !== to - from) return false', 'at++'],
    'unit/known-holders',
  ),
  plant(
    'the log and the holders may differ',
    'engine/campaign/operator/round-check.ts',
    ['if (holding?.sequence === sequence && holding.pool === pool) continue', 'if (holding) continue'],
    'fault/log-damage',
  ),
  plant(
    'the counts of pools may differ',
    'engine/campaign/operator/round-check.ts',
    ['if (granted !== (walk.pools[pool] ?? 0))', 'if (granted < 0)'],
    'fault/log-damage',
  ),
]
