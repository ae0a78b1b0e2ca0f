/**
 * Planted bugs of the store room: the links and what they know of a request that was sent again, the waiting for
 * replicas, the checks of the server. How they are planted, and what was rejected, stands in plants.ts.
 */
import { type Plant, plant } from './plant.ts'

export const STORE_PLANTS: readonly Plant[] = [
  plant(
    'what was under way is not sent again',
    'engine/store/link.ts',
    ['for (const request of this.#requests) this.#write(client, request)', ''],
    'fault/link',
  ),
  plant(
    'a refusal behind a lost reply is certain',
    'engine/store/link.ts',
    ["again ? 'unknown' : 'unavailable'", "'unavailable'"],
    'fault/link',
  ),
  plant(
    'what an earlier copy may still execute is refused for certain: claims, entries, strict claims',
    'engine/store/doubt.ts',
    ['again && !LASTING.has(outcome) ? CODES.unknown.number : outcome', 'again ? outcome : outcome'],
    'script/doubt',
  ),
  plant(
    'what an earlier copy may still execute is refused for certain: vouchers, money, turns',
    'engine/store/doubt.ts',
    ['if (again && !LASTING.has(CODES[code].number))', 'if (again && code === "granted")'],
    'script/doubt',
  ),
  plant(
    'what was written counts as never sent',
    'engine/store/link.ts',
    ['request.writtenTo = client', 'request.writtenTo = undefined'],
    'fault/link',
  ),
  plant(
    'a replica is talked to',
    'engine/store/link.ts',
    ["if (role[0] !== 'master')", "if (role[0] === 'nobody')"],
    'fault/link',
  ),
  plant(
    'nobody watches a silent connection',
    'engine/store/link.ts',
    ['LOOK_MS >= REDIS_SILENCE_MS', 'LOOK_MS >= 60_000'],
    'fault/link',
  ),
  plant(
    'a server that cannot now is believed',
    'engine/store/link.ts',
    ['if (NOT_NOW.has(word)) {', "if (word === '') {"],
    'fault/link',
  ),
  plant(
    'acknowledged before the replicas have it',
    'engine/store/replicas.ts',
    ['if (copies < replicas) throw', 'if (copies < 0) throw'],
    'fault/replicas',
  ),
  plant(
    'the level replicated waits for nobody',
    'engine/store/link.ts',
    ['const replicas = script.readsOnly ? 0 :', 'const replicas = script.readsOnly || true ? 0 :'],
    'fault/replicas',
  ),
  plant(
    'replicas that nobody counts are allowed',
    'engine/store/health.ts',
    ['if (connected > replicas) {', 'if (connected > replicas + 9) {'],
    'fault/replicas',
  ),
  plant(
    'missing replicas do not stop the grants',
    'engine/store/health.ts',
    ['if (copies >= replicas) return []', 'if (copies >= 0) return []'],
    'fault/replicas',
  ),
  plant(
    'any eviction policy will do',
    'engine/store/health.ts',
    ["policy === 'noeviction',", "policy !== '',"],
    'fault/redis-settings',
  ),
  plant(
    'any appendfsync will do',
    'engine/store/health.ts',
    ["appendfsync === 'always',", "appendfsync !== '',"],
    'fault/redis-settings',
  ),
  plant(
    'no append only file will do',
    'engine/store/health.ts',
    ["info.aof_enabled === '1',", "info.aof_enabled !== '',"],
    'fault/redis-settings',
  ),
  plant(
    'fsync may stop while the log is rewritten',
    'engine/store/health.ts',
    ["config['no-appendfsync-on-rewrite'] === 'no',", "config['no-appendfsync-on-rewrite'] !== '',"],
    'fault/redis-settings',
  ),
  plant(
    'a log that cannot be written is no problem',
    'engine/store/health.ts',
    ["info.aof_last_write_status !== 'err',", "info.aof_last_write_status !== '',"],
    'fault/full-disk',
  ),
  plant(
    'a level that loses grants is not warned of',
    'engine/store/health.ts',
    ['if (loses !== undefined)', 'if (loses === level)'],
    'fault/slow-disk',
  ),
  plant(
    'what a killed server had not synced is told by the next one',
    'engine/store/link.ts',
    ['if (this.#options.syncs) await', 'if (this.#closed) await'],
    'fault/slow-disk',
  ),
  plant(
    'a run of the server passes for one that was synced',
    'engine/store/first-sync.ts',
    ['mark === run', 'mark !== null'],
    'fault/slow-disk',
  ),
  plant(
    'a server without memory is not even read from after its restart',
    'engine/store/first-sync.ts',
    ['=== 1', '=== 2'],
    'fault/redis-settings',
  ),
  plant(
    'what a read that left before the question does not show is not there',
    'engine/base/joined-reads.ts',
    ['if (suffices(shown)) return shown', 'return shown'],
    'unit/joined-reads',
    'script/grant-pages',
  ),
  plant(
    'each of a crowd that asks reads for itself',
    'engine/base/joined-reads.ts',
    ['return this.#underWay.get(key) ?? this.#begin(key, read)', 'return this.#begin(key, read)'],
    'unit/joined-reads',
    'script/grant-pages',
  ),
  plant(
    'a round that was not there a moment ago is not there',
    'engine/campaign/rounds.ts',
    ['if (waitMs > 0) await new Promise<void>(resolve => clock.after(waitMs, resolve))', 'if (waitMs > 0) return undefined'],
    'server/lookups',
  ),
  plant(
    'a winner is told sold_out where the end of the draw was heard before its grants',
    'engine/campaign/entries.ts',
    ['Math.max(view.notice.sequence, draw?.granted ?? 0)', 'view.notice.sequence'],
    'script/drawn-standing',
  ),
  plant(
    'a grant whose batch the log lacks was made in 1970',
    'engine/campaign/grant-times.ts',
    ['if (at === undefined) throw', 'if (at === undefined) return 0\n    if (at === null) throw'],
    'unit/timing',
  ),
  plant(
    'a list that fails in the middle ends like a whole one',
    'engine/server/uws.ts',
    ['if (this.#open) this.#res.close()', 'if (this.#open) this.#res.end()'],
    'unit/exchange',
  ),
  plant(
    'who held what is kept for ever',
    'engine/campaign/claims.ts',
    ['> HOLDERS_IDLE_MS', '< -HOLDERS_IDLE_MS'],
    'script/round-view',
  ),
  plant(
    'who held what is let go of before it is settled, and journaled again and again',
    'engine/campaign/claims.ts',
    [' && this.#mayRest()', ''],
    'script/round-view',
  ),
  plant(
    'news of a round that rests bring all its holders back',
    'engine/campaign/round-view.ts',
    ['!this.#resting && this.#wantsAll()', 'this.#wantsAll()'],
    'script/round-view',
  ),
]
