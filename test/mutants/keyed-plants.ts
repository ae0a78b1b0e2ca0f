/**
 * Bugs of operators' changes that come with an Idempotency-Key: their ids, what a repetition finds, and the money of a change
 * that two are under way with.
 */
import { type Plant, plant } from './plant.ts'

const REQUESTS = 'engine/campaign/operator/requests.ts'
const LIFECYCLE = 'engine/campaign/operator/lifecycle.ts'
const SERVER = 'server/keyed-changes'

export const KEYED_PLANTS: readonly Plant[] = [
  plant(
    'a key without a value is taken for none',
    'engine/server/uws/exchange.ts',
    ["(keys === 1 && req.getHeader('idempotency-key')) || ' '", "req.getHeader('idempotency-key')"],
    'server/keyed-changes',
  ),
  plant(
    'whoever finds no campaign under a key has made it',
    'engine/campaign/round/campaigns.ts',
    ['isReplayed: seed !== undefined && !isFirst', 'isReplayed: seed === undefined && !isFirst'],
    SERVER,
  ),
  plant(
    'of two that make a campaign at once each shows its own',
    'engine/campaign/round/campaigns.ts',
    ['const kept = isFirst ? json :', 'const kept = json ? json :'],
    SERVER,
  ),
  plant(
    'a key of one round is the key of all of them',
    REQUESTS,
    ['[who, method, path, ...params, key]', '[who, method, path, key]'],
    SERVER,
  ),
  plant(
    'another Redis makes the same ids under a key',
    REQUESTS,
    ["createHmac('sha256', secret)", "createHmac('sha256', secret.subarray(32))"],
    SERVER,
  ),
  plant(
    'a key takes another body',
    REQUESTS,
    ['if (await this.#store.vouchers.ownsKey(request)) return seed', 'return seed'],
    SERVER,
  ),
  plant(
    'a round that was made under a key is judged again before it is found',
    LIFECYCLE,
    [
      'const { id, isMade } = await this.#place(seed)',
      'await this.#refuseRound(campaign, rules)\n    const { id, isMade } = await this.#place(seed)',
    ],
    SERVER,
  ),
  plant(
    'what is void under a key is tried for ever',
    LIFECYCLE,
    ["if (standing !== 'void') return", 'return'],
    'server/cut-changes',
  ),
  plant(
    'stock that was given up under a key is never added',
    LIFECYCLE,
    ["      if (turned.code === 'unavailable') continue\n", ''],
    'server/cut-changes',
  ),
  plant(
    'what was left of a round is not finished by a repetition',
    LIFECYCLE,
    [
      'await behindChange(this.#options.commitments.finish({ roundId: id, request: CREATE }))',
      'await Promise.resolve()',
    ],
    'server/cut-changes',
  ),
  plant(
    'who is refused gives back the money of whoever makes the same change',
    'engine/campaign/money/commitments.ts',
    ['cause instanceof Refusal && !isShared', 'cause instanceof Refusal'],
    'script/commitments',
  ),
  plant(
    'a repetition finishes what others are under way with, too',
    'engine/campaign/money/commitments.ts',
    ['commitment.roundId === roundId && commitment.request === request', 'commitment.roundId === roundId'],
    'script/commitments',
  ),
  plant(
    'a repeated turn is made again',
    'scripts/round-turn.lua',
    [
      "if redis.call('HEXISTS', KEYS[1], 'request ' .. ARGV[5]) == 1 then return { CODE.replayed, round_notice(round) } end\n",
      '',
    ],
    SERVER,
  ),
  plant(
    'a turn does not say that it is a repetition',
    'scripts/round-turn.lua',
    ['then return { CODE.replayed, round_notice(round) } end', 'then return { CODE.granted, round_notice(round) } end'],
    SERVER,
  ),
  plant(
    'stock is changed whatever its total is',
    'scripts/restock.lua',
    ["if ARGV[6] ~= '' and", 'if false and'],
    SERVER,
    'script/round',
  ),
  plant(
    'the total of the round is asked for and not the pool’s',
    'scripts/restock.lua',
    ['tonumber(ARGV[6]) ~= round.total[pool]', 'tonumber(ARGV[6]) ~= round_remaining(round) + round.given'],
    'script/round',
  ),
  plant(
    'what operators set under a key is set again',
    'scripts/set-once.lua',
    ["redis.call('HSET', KEYS[2], ARGV[2], '1')\n", ''],
    'script/set-once',
  ),
  plant(
    'a request is forgotten with its week',
    'scripts/set-once.lua',
    [" or redis.call('HEXISTS', KEYS[3], ARGV[2]) == 1", ''],
    'script/set-once',
  ),
  plant(
    'the audit log shows a repetition as a change',
    'engine/server/http/gateway.ts',
    ["answer?.isReplayed ? 'replayed' : String(answer?.status ?? 200)", 'String(answer?.status ?? 200)'],
    SERVER,
  ),
  plant(
    'a repeated hold reaches what was redeemed since',
    'engine/campaign/operator/requests.ts',
    ['(await controls.kept(OPERATORS, name)) ?? controls.keepFirst(OPERATORS, name, await now())', 'now()'],
    SERVER,
  ),
  plant(
    'a dry run spends its key',
    'engine/server/http/gateway.ts',
    ['if (isDryRun(call.query)) return route.handle(services, call)\n  return audited', 'return audited'],
    SERVER,
  ),
  plant(
    'a plan that is applied again makes another round',
    'engine/cli/apply.ts',
    ['if (row) standing.set(name, row)', 'if (row) standing.set(name.toUpperCase(), row)'],
    'server/apply',
  ),
  plant(
    'a line of a plan that was applied once is not applied again after another change',
    'engine/cli/apply.ts',
    ['lines.map(({ id }) => standing.get(id) ?? null)', 'null'],
    'server/apply',
  ),
  plant(
    'what differs ends a plan as if all was well',
    'engine/cli/apply.ts',
    ['return isOff(progress) ? FAILED : 0', 'return 0'],
    'server/apply',
  ),
  plant(
    'whoever made a round that another scope made at once does not look again',
    'engine/cli/apply.ts',
    ['await lookAgain(given, plan, plan.campaign)', 'await campaignNamed(given, plan.campaign.name)'],
    'server/apply',
  ),
  plant(
    'two campaigns or rounds of one name are as good as one',
    'engine/cli/apply.ts',
    ['if (!other) return row', 'if (!other || other) return row'],
    'server/apply',
  ),
  plant(
    'a dry run of a plan tries each round as if it were alone',
    'engine/cli/apply-plan.ts',
    ['const after = (before?.after ?? one.before) + amount', 'const after = one.before + amount'],
    'server/apply',
  ),
  plant(
    'a plan that is refused hides what it made before',
    'engine/cli/apply.ts',
    ['if (progress.applied.length > 0) printProgress', 'if (progress.applied.length < 0) printProgress'],
    'server/apply',
  ),
  plant(
    'a misspelt field is behind what is missing because of it',
    'engine/wire/schemas.ts',
    ['    ...unknown,\n', ''],
    'server/apply',
  ),
  plant(
    'a dry run of a plan keeps its merchants',
    'engine/cli/apply.ts',
    ['if (lines.length > 0 && !isDry(given))', 'if (lines.length > 0)'],
    'server/apply',
  ),
  plant(
    'a field that a plan has and the campaign lacks is no difference',
    'engine/cli/apply-plan.ts',
    [
      'if (wanted === undefined || isDeepStrictEqual(is, wanted)) return []',
      'if (is === undefined || wanted === undefined || isDeepStrictEqual(is, wanted)) return []',
    ],
    'server/apply',
  ),
  plant(
    'a line of merchants that is wrong refuses all of them',
    'engine/server/routes/merchant-routes.ts',
    ["if (!('value' in line)) return line", "if (!('value' in line)) throw new Refusal('invalid', line.detail)"],
    'server/merchants',
  ),
  plant(
    'the second line of a merchant replaces the first without a word',
    'engine/server/routes/merchant-routes.ts',
    ['if (before !== undefined)', 'if (false)'],
    'server/merchants',
  ),
  plant(
    'only the first 500 merchants of a request are kept',
    'engine/campaign/voucher/merchants.ts',
    ['Math.ceil(merchants.length / A_CALL)', '1'],
    'server/merchants',
  ),
  plant(
    'all parts of an import are one request',
    'engine/campaign/voucher/merchants.ts',
    ["request && [request, part].join(' ')", 'request'],
    'server/merchants',
  ),
  plant(
    'a bound key reads the redemption of another merchant',
    'engine/campaign/voucher/kept-redemptions.ts',
    [' || (merchant !== undefined && found.merchant_id !== merchant)', ''],
    'server/kept-redemptions',
  ),
  plant(
    "a bound key lists another merchant's order",
    'engine/server/routes/lookup-routes.ts',
    ['if (caller.merchant !== undefined && caller.merchant !== merchant)', 'if (false)'],
    'server/kept-redemptions',
  ),
  plant(
    'a redemption is shown as it was and not as it is',
    'engine/campaign/voucher/kept-redemptions.ts',
    ['  state,\n', ''],
    'server/kept-redemptions',
  ),
  plant(
    'keys: a beacon is looked for in the newest window alone',
    'engine/campaign/drawing/draws.ts',
    ['window >= 0; window--', 'window >= newest; window--'],
    'server/keyed-changes',
  ),
]
