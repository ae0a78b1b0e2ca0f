/**
 * Planted bugs of the level fenced (scripts fence-*, the journal, the room of a fenced round): each drops or weakens one
 * step that keeps a fail-over from selling twice or from losing what was acknowledged. How they are planted, and what
 * was rejected, stands in plants.ts.
 */
import { type Plant, plant } from './plant.ts'

const ROOM = 'engine/campaign/fenced/fenced-round.ts'
const GIVING = 'engine/campaign/fenced/give-back.ts'

export const FENCE_PLANTS: readonly Plant[] = [
  plant(
    'a round of another level is named by nobody',
    'engine/store/data/round-store.ts',
    ["if (read.binding !== '' && this.#level", "if (read.binding === 'nowhere' && this.#level"],
    'server/damaged-rounds',
  ),
  plant(
    'a backup is advised for what only a claim has found',
    'engine/campaign/round/damaged-rounds.ts',
    ['isMissing: false, mend: NOT_JUDGED }', 'isMissing: false }'],
    'server/damaged-rounds',
  ),
  plant(
    'a round that the level does not cover is named by nobody',
    'engine/campaign/round/damaged-rounds.ts',
    ['(this.#uncovered(id) ? NOT_COVERED : undefined)', '(undefined as Wrong | undefined)'],
    'server/release',
  ),
  plant(
    'a list that is read again is kept again',
    ROOM,
    ['batches.filter(batch => !this.#kept.has(batch.firstSequence, lastOf(batch)))', 'batches'],
    'script/fenced-round',
  ),
  plant(
    'what was kept of one epoch passes for kept of the next',
    ROOM,
    ['    this.#kept.clear()\n', ''],
    'script/fenced-round',
  ),
  plant(
    'a round that is over is not looked at behind an event of another epoch',
    'engine/campaign/round/rounds.ts',
    ['if (isOther && fenced?.settled) fenced.look()', 'if (false) fenced?.look()'],
    'script/settled-rounds',
  ),
  plant(
    'a round that is over is not looked at behind a gap in the events',
    'engine/campaign/round/rounds.ts',
    ['else if (fenced?.settled) fenced.look()', 'else if (false) fenced?.look()'],
    'script/settled-rounds',
  ),
  plant(
    'a round that is over is not looked at behind a new connection',
    'engine/campaign/round/rounds.ts',
    ['    void this.#options.fence?.look()\n', ''],
    'script/settled-rounds',
  ),
  plant(
    'a recovery waits for silent engines longer than a lost history may be shown',
    'engine/base/limits.ts',
    ['RECOVERY_PATIENCE_MS = 700', 'RECOVERY_PATIENCE_MS = 1500'],
    'fault/lost-history',
  ),
  plant(
    'a promoted copy is taken for the old primary',
    'scripts/lib/round.lua',
    ["if f[15] and epoch ~= '' and f[15] ~= round_server() then return nil end", ''],
    'script/fence',
  ),
  plant(
    'an ended epoch may still write',
    'scripts/lib/round.lua',
    ["if not f[1] or (epoch ~= '' and f[1] ~= epoch) then return nil end", 'if not f[1] then return nil end'],
    'script/fence',
  ),
  plant(
    'grants pass the reserve',
    'scripts/claim.lua',
    ['if round.sequence > (round.reserve or round.sequence) then', 'if false then'],
    'script/fence',
    'script/claim',
  ),
  plant(
    'the next epoch begins behind the reserve and forgets what was noted',
    'scripts/fence-bind.lua',
    ['math.max(start, round.reserve, tonumber(f[2]))', 'math.max(start, round.reserve)'],
    'script/fence',
  ),
  plant(
    'nobody waits for silent engines',
    'scripts/fence-bind.lua',
    ["if status ~= 'left' and not here then", 'if false then'],
    'script/fence',
  ),
  plant(
    'the patience is over at once',
    'scripts/fence-bind.lua',
    ['round.clock - (since or round.clock) < tonumber(ARGV[4])', 'false'],
    'script/fence',
  ),
  plant(
    'the patience lasts until a clock that was set back is there again',
    'scripts/fence-bind.lua',
    ['if since and since > round.clock then since = nil end', ''],
    'script/fence-model',
    'script/fence',
  ),
  plant(
    'what is quarantined is granted anew',
    'scripts/lib/aside.lua',
    [
      'round.quarantined[p] + some, round.room[p] - some, missing - some',
      'round.quarantined[p], round.room[p], missing',
    ],
    'script/fence',
  ),
  plant(
    'a pool whose packs are quarantined is sold out',
    'scripts/claim.lua',
    ['quarantined[pool] > 0 and CODE.fenced or CODE.sold_out', 'CODE.sold_out'],
    'script/quarantine',
  ),
  plant(
    'a round of which only quarantined packs are left is sold out to a whole batch, and while it is held shut',
    'scripts/lib/shut.lua',
    ['if round.quarantined[pool] > 0 then return CODE.fenced end', ''],
    'script/quarantine',
  ),
  plant(
    'a worker says sold out by itself while packs are quarantined',
    'engine/campaign/round/round-view.ts',
    ["this.state === 'sold_out' ? 'sold_out' : undefined", "'sold_out'"],
    'script/round-view',
  ),
  plant(
    'a round of which only quarantined packs are left looks sold out',
    'engine/campaign/round/round-view.ts',
    ["return held > 0 ? 'fenced' : 'sold_out'", "return 'sold_out'"],
    'script/round-view',
  ),
  plant(
    'the end of a pool passes for copied because its quarantine was',
    'engine/campaign/fenced/sure-refusals.ts',
    [
      '{ total, granted }) => (granted < total',
      '{ total, granted, quarantined = 0 }) => (granted + quarantined < total',
    ],
    'unit/sure-refusals',
  ),
  plant(
    'who asks again for quarantined packs waits no longer than at first',
    'engine/campaign/round/round-view.ts',
    ['1 + Math.floor(waitedS / 2)', '1'],
    'script/round-view',
  ),
  plant(
    'nobody is told which engine a quarantine waits for',
    'engine/campaign/round/quarantine.ts',
    ['filter(({ view }) => quarantinedOf(view.notice) > 0)', 'filter(() => false)'],
    'server/quarantine',
  ),
  plant(
    'what was released is filled all the same',
    'scripts/lib/aside.lua',
    ["then return released == '' end", 'then return true end'],
    'script/fence',
  ),
  plant(
    'a restored grant takes a place that is taken',
    'scripts/fence-restore.lua',
    ['elseif known then why', 'elseif false then why'],
    'script/fence',
  ),
  plant(
    'a journal overwrites what a holder has',
    'scripts/fence-restore.lua',
    ['  if held then\n    why', '  if false then\n    why'],
    'script/fence',
  ),
  plant(
    'an engine claims before its name is on the replicas',
    'scripts/lib/engines.lua',
    ["'engines'), engine) == 'in'", "'engines'), engine) ~= nil"],
    'script/fence',
  ),
  plant(
    'an engine comes back to an epoch that it left',
    'scripts/fence-reserve.lua',
    ["if status == 'left' then return { CODE.fenced } end", ''],
    'script/fence',
  ),
  plant(
    'a reserve is lifted that no replica was asked for',
    'scripts/fence-reserve.lua',
    ['if not status or confirmed > pending then', 'if not status then'],
    'script/fence',
  ),
  plant(
    'a raise waits for no replica',
    'engine/store/data/fence-store.ts',
    [
      'return this.#reserve(this.#copied, standing, [chunk, 0])',
      'return this.#reserve(this.#claims, standing, [chunk, 0])',
    ],
    'script/fenced-round',
  ),
  plant(
    'a grant is told before it is in the journal',
    ROOM,
    ['if (!this.#settled) await journal.keep(', 'if (!this.#settled) void journal.keep('],
    'script/fenced-round',
  ),
  plant(
    'what an ended epoch decided is told',
    ROOM,
    ['const isOver = () => epoch !== this.#epoch', 'const isOver = () => false'],
    'script/fenced-round',
  ),
  plant(
    'an engine that told all of an epoch goes on in it in its next life',
    ROOM,
    ["if (binding !== 'here' || this.#head.left.has(notice.epoch)) {", "if (binding !== 'here') {"],
    'script/fenced-round',
  ),
  plant(
    'who lost his journal says that he told all',
    GIVING,
    ['(read.sound ? [...read.joined] : [])', '(read.sound ? [...read.joined, ...read.left] : [])'],
    'script/fenced-round',
  ),
  plant(
    'an engine that ended in order is waited for',
    'engine/campaign/fenced/fenced-round.ts',
    [
      'fence.note(this.#standing(epoch), 0).then(() => fence.signOff(this.#standing(epoch)))',
      'fence.note(this.#standing(epoch), 0)',
    ],
    'script/fenced-round',
  ),
  plant(
    'a damaged journal passes for all of it',
    GIVING,
    ['(read.sound ? [...read.joined] : [])', '[...read.joined]'],
    'script/fenced-round',
  ),
  plant(
    'claims meet the end of the reserve before it is raised',
    ROOM,
    [
      'return ahead < this.#options.chunk / 2 && ahead < remainingOf(notice)',
      'return ahead < 0 && remainingOf(notice) > 0',
    ],
    'script/fenced-round',
  ),
  plant(
    'what was read of others is told without being kept',
    ROOM,
    ['    await this.#keepListed(epoch, together)\n    yield* together\n  }', '    yield* together\n  }'],
    'script/fenced-round',
  ),
  plant(
    'a moment that was told is not kept',
    ROOM,
    ['    if (batch) await this.#keepRead(epoch, [only(batch, sequence)])\n', ''],
    'script/fenced-round',
  ),
  plant(
    'that an earlier copy may still be executed is forgotten',
    ROOM,
    ['asking.doubt ? { ...decision, again: true } : decision', 'decision'],
    'script/fenced-round',
  ),
  plant(
    'people are refused on what a replica may lack',
    ROOM,
    ['!refuses(decision) || this', 'true || this'],
    'script/fenced-round',
  ),
  plant(
    'what a refusal rests on passes for copied before all replicas have it',
    'engine/campaign/fenced/sure-refusals.ts',
    ['    await this.#asking\n    this', '    void this.#asking\n    this'],
    'script/fenced-round',
  ),
  plant(
    'a second pause passes for the first one, which the replicas have long had',
    'engine/campaign/fenced/sure-refusals.ts',
    ["state === 'open' && pools.some(({ total, granted }) => granted < total) ? '' : version", "''"],
    'script/fenced-round',
  ),
  plant(
    'a told code that a fail-over set aside is not found',
    'engine/store/data/absence-store.ts',
    ['asideOf(notice, missed)?.released === false ?', 'false ?'],
    'script/absence',
  ),
  plant(
    'what is not found on a server that the round is not bound to is not there',
    'engine/store/data/absence-store.ts',
    ["if (read.binding === 'elsewhere')", 'if (false)'],
    'script/absence',
  ),
  plant(
    'a code that was given back behind the first look is not looked for again',
    'engine/store/data/absence-store.ts',
    ['return restored.length > 0 || ', 'return '],
    'script/absence',
  ),
  plant(
    'a journal is written on behind a write that failed',
    'engine/campaign/fenced/journal-disk.ts',
    ['        growing.failed = true\n', ''],
    'unit/journal',
  ),
  plant(
    'a simulated process that ended leaves whole records behind a torn one',
    'test/sim/journal-store.ts',
    [' || torn.has(file)) return', ') return'],
    'sim/journal-store',
  ),
  plant(
    'a simulated node that stood still is judged from before it went on',
    'test/sim/world.ts',
    ['this.network.resumesAt, clock.stillUntil, apart)', 'this.network.resumesAt, apart)'],
    'sim/simulation',
  ),
  plant(
    "the simulation's servers find nothing where no LIMIT is asked for",
    'test/sim/redis/commands.ts',
    ['[offset = 0, count = Number.MAX_SAFE_INTEGER]', '[offset = 0, count = 0]'],
    'script/command-twins',
  ),
  plant(
    'a sequence beyond what the server knows was never granted',
    'engine/store/data/absence-store.ts',
    ['if (missed > notice.sequence) return', 'if (false) return'],
    'script/absence',
  ),
  plant(
    'a user whose pack may be among the quarantined ones holds nothing',
    'engine/store/data/absence-store.ts',
    ['return quarantinedOf(notice) > 0 ?', 'return false ?'],
    'server/fenced-lookups',
  ),
  plant(
    'a list ends although the round is bound to another server',
    'engine/store/data/fence-store.ts',
    ["?.binding === 'elsewhere') throw stateless(roundId)", "?.binding === 'elsewhere') return"],
    'script/fence',
  ),
  plant(
    'an event of a server that was given up changes the epoch',
    'engine/campaign/round/round-view.ts',
    ['if (notice.epoch !== last.epoch || notice.version < last.version)', 'if (notice.version < last.version)'],
    'script/round-view',
  ),
  plant(
    'an epoch with a lower version is not taken over',
    'engine/campaign/round/round-view.ts',
    [
      'if (notice.epoch === this.#notice.epoch) return this.take(notice)',
      'if (notice.epoch === this.#notice.epoch || notice.version < this.#notice.version) return this.take(notice)',
    ],
    'script/round-view',
  ),
  plant(
    'a pack changes its pool without a word',
    'scripts/lib/aside.lua',
    ["  if from ~= pool then log_change(log, round, 'moved', from .. ' ' .. pool, 1) end\n", ''],
    'script/fence',
  ),
  plant(
    'records are written behind a torn tail',
    'engine/campaign/fenced/journal.ts',
    ['if (read.bytes < bytes.length && read.sound) await', 'if (false) await'],
    'unit/journal',
  ),
  plant(
    'a lost record of a journal is not noticed',
    'engine/campaign/fenced/journal-record.ts',
    ['if (body.readUInt32BE(0) !== crc) sound = false', ''],
    'unit/journal',
  ),
  plant(
    'a Sentinel is believed about who is the primary',
    'engine/store/connection/line.ts',
    ["if (role[0] !== 'master') throw", "if (role[0] === 'sentinel') throw"],
    'fault/link',
    'fault/redis-outages',
  ),
  plant(
    'a round that the script refuses is joined and asked again and again',
    'engine/campaign/fenced/fenced-round.ts',
    ['      if (epoch === asking.refusedIn) throw this.#stopped(asking)\n', ''],
    'script/fenced-round',
  ),
]
