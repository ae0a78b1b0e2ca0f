/**
 * Planted bugs of what operators and tills are told: locks and codes, dry runs, money that a change commits, what follows a
 * change, times to ask again, rounds that are damaged. How they are planted, and what was rejected, stands in plants.ts.
 */
import { type Plant, plant } from './plant.ts'

const COMMITMENTS = 'engine/campaign/commitments.ts'

export const OPERATOR_PLANTS: readonly Plant[] = [
  plant(
    'a lock that is asked for again ends earlier',
    'scripts/voucher-lock.lua',
    ['if mine then ends = math.max', 'if false then ends = math.max'],
    'server/codes-as-issued',
  ),
  plant(
    'a lock answers the code as it was typed',
    'engine/campaign/redemption.ts',
    ['return { code: issued, id: turned.answer', 'return { code, id: turned.answer'],
    'server/codes-as-issued',
  ),
  plant(
    'the log of changes names a voucher by what was typed',
    'engine/server/gateway.ts',
    ['splitCode(value)?.text ?? value', 'value'],
    'server/codes-as-issued',
  ),
  plant(
    'a closed round asks the budget first',
    'engine/campaign/round-rules.ts',
    ["if (notice.state === 'closed' && add > 0)", 'if (add > STOCK_MAX)'],
    'server/dry-runs',
  ),
  plant(
    'the money of a change that failed is kept',
    COMMITMENTS,
    ['this.#settle(commitment, false) : this.#find(commitment)', 'this.#settle(commitment, false) : Promise.resolve()'],
    'script/commitments',
  ),
  plant(
    'the money of a change that was refused is kept',
    COMMITMENTS,
    ['isCertain ? this.#settle(commitment, false)', 'isCertain ? Promise.resolve()'],
    'script/commitments',
  ),
  plant(
    'the money of a change is given back though it may have been made',
    COMMITMENTS,
    ["await this.#settle(commitment, fate === 'made')", 'await this.#settle(commitment, false)'],
    'script/commitments',
  ),
  plant(
    'a budget refuses while it holds what belongs to nobody',
    COMMITMENTS,
    ['    await this.settleAll(campaign.id)\n', ''],
    'script/commitments',
  ),
  plant(
    'a round that was made and not told is in no list',
    COMMITMENTS,
    ['if (isMade && commitment.request === CREATE)', 'if (!isMade)'],
    'script/commitments',
  ),
  plant(
    'a round is made after its money went back',
    'scripts/round-create.lua',
    ["redis.call('EXISTS', KEYS[3]) == 1", "redis.call('EXISTS', KEYS[3]) == 2"],
    'script/commitments',
  ),
  plant(
    'stock is added after its money went back',
    'scripts/round-void.lua',
    ["redis.call('HSETNX', KEYS[1], 'request ' .. ARGV[1], 'void')\n", ''],
    'script/commitments',
  ),
  plant(
    'a late copy commits money that was settled',
    'scripts/budget.lua',
    ['if known and commits then', 'if false then'],
    'script/budget',
  ),
  plant(
    'what fails behind a change is told as certainly not done',
    'engine/campaign/behind-change.ts',
    ['throw cause instanceof Fault ? new Fault', "throw cause === 'none' ? new Fault"],
    'script/commitments',
  ),
  plant(
    'nobody waits for the hold of an opening as for what follows it',
    'engine/campaign/lifecycle.ts',
    [
      'if (RESUMES.includes(verb)) await behindChange(this.#rounds.reopened(id))',
      'if (RESUMES.includes(verb)) await this.#rounds.reopened(id)',
    ],
    'server/cut-changes',
  ),
  plant(
    "a worker's own refusal counts from when it last asked",
    'engine/server/claim-routes.ts',
    ['Math.round(Math.max(notice.at, now))', 'notice.at'],
    'server/retry-times',
  ),
  plant(
    'a time to ask again is rounded up to seconds',
    'engine/wire/problem.ts',
    ['retry_after_ms: ms })', 'retry_after_ms: 1000 * Math.ceil(ms / 1000) })'],
    'server/retry-times',
  ),
  plant(
    'one damaged round is an error for all lists',
    'engine/server/round-routes.ts',
    ["return { id, state: 'fenced', problem: unreadable(services, id, cause) }", 'throw cause'],
    'server/damaged-rounds',
  ),
  plant(
    'claims of a round that cannot be read are not counted',
    'engine/server/claim-routes.ts',
    ['countUnread(services, 1, cause)', ''],
    'server/damaged-rounds',
  ),
  plant(
    'claims that were not decided are not counted',
    'engine/campaign/claim-queue.ts',
    ['this.#options.refused(CODES[code].number, count)', ''],
    'unit/claim-queue',
  ),
  plant(
    'a Redis that was emptied is a good one',
    'engine/campaign/damaged-rounds.ts',
    ['if (isEmpty) this.#lost.add(id)', ''],
    'server/damaged-rounds',
  ),
  plant(
    'a damaged round stops all others',
    'engine/ops/health.ts',
    [
      'this.#stops = found.problems.length > 0',
      'this.#stops = found.problems.length + (found.damages?.length ?? 0) > 0',
    ],
    'server/damaged-rounds',
  ),
  plant(
    'a day before the campaign was made is settled',
    'engine/campaign/settlement.ts',
    ['if (before === undefined) refuseEarlier', 'if (before === null) refuseEarlier'],
    'server/report',
  ),
  plant(
    'an order whose discount was reversed counts on',
    'engine/campaign/order-values.ts',
    ['    made.left += subsidy\n', ''],
    'server/report',
  ),
  plant(
    'a damaged round is told by nobody',
    'engine/ops/health.ts',
    ['...(found.damages ?? [])', '...[]'],
    'server/damaged-rounds',
  ),
  plant(
    'a damaged round holds up the draws of others',
    'engine/campaign/draws.ts',
    ['await rounds.get(id).catch(failed)', 'await rounds.get(id)'],
    'server/damaged-rounds',
  ),
  plant(
    'a user holds nothing where the holders are gone',
    'engine/store/absence-store.ts',
    ['return holders < granted ?', 'return false ?'],
    'script/absence',
  ),
  plant(
    'a code that the log lacks was never issued',
    'engine/store/absence-store.ts',
    ['return missed <= notice.sequence &&', 'return false &&'],
    'script/absence',
  ),
  plant(
    'a user holds nothing in a round that is known to be damaged',
    'engine/campaign/damaged-rounds.ts',
    ['if (problem !== undefined) throw', 'if (false) throw'],
    'server/damaged-rounds',
  ),
  plant(
    'a round that is known to be damaged shows as a sound one',
    'engine/server/round-routes.ts',
    ["...(problem === undefined ? {} : { state: 'fenced', problem })", ''],
    'server/damaged-rounds',
  ),
  plant(
    'the list of the grants ends where the log does, whatever the state says',
    'engine/server/claim-routes.ts',
    ['if (last < end && !aside) throw', 'if (false) throw'],
    'server/damaged-rounds',
  ),
  plant(
    'a part of the check that waits for a missing replica hides that it is missing',
    'engine/main/checked.ts',
    ['if (cause instanceof Fault && found.problems.length > 0) return NOTHING', ''],
    'unit/checked',
  ),
  plant(
    'what fails at each tick is told at each tick',
    'engine/ops/fault-log.ts',
    ['if (this.#told.has(line) || this.#told.size >= KEPT) return', ''],
    'unit/checked',
  ),
  plant(
    'a start that differs leaves a secret in Redis',
    'engine/main/agreement.ts',
    ['if (problems[0]) throw refusalOf(problems[0])', ''],
    'server/agreement',
  ),
  plant(
    'a start that differs agrees on what nobody kept yet',
    'engine/main/agreement.ts',
    ['if (before.problems.length > 0) return before', ''],
    'server/agreement',
  ),
  plant(
    'a lost round counts as nothing in the report',
    'engine/campaign/report.ts',
    ['if (!read) throw lostRound(id)', ''],
    'server/told-refusals',
  ),
  plant(
    'nobody is told when the lock of another order ends',
    'engine/campaign/redemption.ts',
    ['const told = { locked_until: rfc3339(at), retry_after_ms }', 'const told = { locked_until: rfc3339(at) }'],
    'server/told-refusals',
  ),
]
