/**
 * Every key in Redis, one function a key. The braces keep all of a round in one cluster slot; keys without braces are
 * touched by single-key commands only, and by set-once.lua, whose other keys have them as their tag. Nothing here has a TTL unless its line says so: a state key that vanishes by
 * itself is amnesia. A key string anywhere else fails the build (test/repo).
 */

/** HASH. The round's state: epoch, version, state, window, sequence, pools. Written by every round script. */
export const roundState = (roundId: string) => `fg:{${roundId}}:state`

/** HASH. Holder key to 5 bytes: sequence (u32 big endian), pool. Written by claim.lua; never deleted. */
export const roundHolders = (roundId: string) => `fg:{${roundId}}:holders`

/** STREAM. One entry a granting batch or change; the id is `<last sequence>-<n>`. Never trimmed while the round lives. */
export const roundLog = (roundId: string) => `fg:{${roundId}}:log`

/** ZSET. Grants that were given back after a fail-over, `<sequence> <pool> <at> <holder>` by sequence. By fence-restore.lua. */
export const roundRestored = (roundId: string) => `fg:{${roundId}}:restored`

/** HASH. A strict round's order of arrival: frontier, late, and each worker's mark (scripts/lib/order.lua). By allot.lua. */
export const roundOrder = (roundId: string) => `fg:{${roundId}}:order`

/** ZSET. Claims of a strict round that wait for their turn, by arrival stamp (scripts/lib/waiting.lua). By allot.lua. */
export const roundWaiting = (roundId: string) => `fg:{${roundId}}:waiting`

/** HASH. A drawn round's moving state: window, phase, entries, lease of the draw. Written by enter.lua and draw-*.lua. */
export const roundDraw = (roundId: string) => `fg:{${roundId}}:draw`

/** STRING. One chunk of the list of entries: records of 17 bytes (tag, pool). Written by enter.lua; never deleted. */
export const roundEntries = (roundId: string, chunk: number) => `fg:{${roundId}}:entries:${chunk}`

/** STREAM. One entry a batch of entries; the id is the length of the list behind it. Written by enter.lua. */
export const roundBatches = (roundId: string) => `fg:{${roundId}}:batches`

/** STRING. Who entered, by a bucket of the person's digest: slots of 10 bytes (scripts/lib/seen.lua). Written by enter.lua. */
export const roundSeen = (roundId: string, bucket: number) => `fg:{${roundId}}:seen:${bucket}`

/** HASH. The published files of a window's draw, by name. Written by draw-open.lua, draw-write.lua, draw-finish.lua. */
export const roundBundle = (roundId: string, window: number) => `fg:{${roundId}}:bundle:${window}`

/** STRING. The round was given up before it was made, and never will be. Written once, by round-void.lua. */
export const roundVoid = (roundId: string) => `fg:{${roundId}}:void`

/** CHANNEL. The round's stock notices, by every round script (by fence-restore.lua, before the round is bound, on `…:unbound`); `awaits <stamp>` calls for the marks of a strict round's workers. */
export const roundChannel = (roundId: string) => `fg:{${roundId}}:stock`

/** The pattern of all stock channels, and the id of the round that a channel belongs to. */
export const allChannels = () => 'fg:{*}:stock'
export const channelRound = (channel: string) => channel.slice(4, -7)

/** HASH. Campaign id to its JSON. Written once at creation. */
export const campaigns = () => 'fg:campaigns'

/** The pattern of every key and channel, as ACL rules write it. */
export const everything = () => 'fg:*'

/** HASH. Round id to `<number> <campaign id>`: the index of rounds. Written once at creation. */
export const rounds = () => 'fg:rounds'

/** STRING. The last round number given out. */
export const roundNumber = () => 'fg:round-number'

/** HASH. Round number to round id: how a voucher code finds its round. */
export const roundsByNumber = () => 'fg:rounds-by-number'

/** SET. Ids of drawn rounds whose last draw is not over: what a worker looks after from its start. */
export const undrawnRounds = () => 'fg:undrawn-rounds'

/** STRING. The secret that tags, receipts' key and beacons derive from, when the configuration gives none. Written once. */
export const drawSecret = () => 'fg:draw-secret'

/** HASH. What is committed of a campaign's budget: `<round> <request>` to minor units, and `sum`. By budget.lua. */
export const campaignBudget = (campaignId: string) => `fg:{${campaignId}}:budget`

/** HASH. `<campaign> <round> <request>` to `<ms> <minor units>`: commitments of which it is not known yet what came of them. A field dies when it is. */
export const unsettledBudgets = () => 'fg:unsettled-budgets'

/** HASH. A campaign's clock and chain: last, ahead, chain, entries, vouchers; how far grants were booked and swept. */
export const campaignState = (campaignId: string) => `fg:{${campaignId}}:state`

/** HASH. Account to minor units. Written with the ledger by every script that moves money. */
export const campaignBalances = (campaignId: string) => `fg:{${campaignId}}:balances`

/** STREAM. The ledger: one entry a change, the id is `<ms of the campaign's clock>-<n>`. Never trimmed. */
export const campaignLedger = (campaignId: string) => `fg:{${campaignId}}:ledger`

/** HASH. `<round number>:<serial>` to the record of a voucher that was touched. Never deleted. */
export const campaignVouchers = (campaignId: string) => `fg:{${campaignId}}:vouchers`

/** HASH. Bucket of vouchers that expire together to how many were touched. A field dies when its bucket expired. */
export const campaignTouched = (campaignId: string) => `fg:{${campaignId}}:touched`

/** ZSET. Touched vouchers that hold money, by the ms at which their lock or validity ends. */
export const campaignDue = (campaignId: string) => `fg:{${campaignId}}:due`

/** HASH. Redemption id to its facts. Written by redeem.lua, reverse.lua, deactivate.lua. */
export const campaignRedemptions = (campaignId: string) => `fg:{${campaignId}}:redemptions`

/** HASH. `<caller> <Idempotency-Key>` to the body's fingerprint and the id of the answer. */
export const campaignRequests = (campaignId: string) => `fg:{${campaignId}}:requests`

/** HASH. Id of a redemption or reversal to `<ms> <JSON>`, given again byte for byte. */
export const campaignAnswers = (campaignId: string) => `fg:{${campaignId}}:answers`

/** HASH. What rules count: vouchers an order, a user's at a merchant a day, money a day. */
export const campaignUsage = (campaignId: string) => `fg:{${campaignId}}:usage`

/** HASH. `<date> <part>` to the ms of settling, `<date>` to the day's totals. Written by settle.lua. */
export const campaignSettlements = (campaignId: string) => `fg:{${campaignId}}:settlements`

/** HASH. Merchant id to its JSON. */
export const merchants = () => 'fg:merchants'

/** HASH. What operators set while the engine runs: `rate user|address|key` to a number, `held <merchant>` to its JSON. */
export const controls = () => 'fg:controls'

/** CHANNEL. Nothing is published on it: its subscribers are the workers of a node, so its being there is the node's. */
export const nodeChannel = (node: string) => `fg:node:${node}`

/** The pattern of all nodes' channels. */
export const allNodes = () => 'fg:node:*'

/** STRING. Written behind each request at the level replicated, so that WAIT has a write of its own to count. */
export const replicationMark = () => 'fg:replication-mark'

/** STRING. The run of the server whose log was synced whole, at the levels that sync; by the first connection to it. */
export const syncMark = () => 'fg:sync-mark'

/** STRING. The same two of one server of a cluster, by a tag that lies in one of its slots. */
export const serverReplicationMark = (tag: string) => `fg:{${tag}}:replication-mark`
export const serverSyncMark = (tag: string) => `fg:{${tag}}:sync-mark`

/** CHANNEL. On a cluster, what nodeChannel and allNodes are on one Redis: a sharded channel, all of them in one cluster slot. */
export const shardedNodeChannel = (node: string) => `fg:{nodes}:${node}`
export const allShardedNodes = () => 'fg:{nodes}:*'

/** HASH. The head of the audit log: entries, chain, last, and the requests that were written. By audit.lua. */
export const auditState = () => 'fg:{audit}:state'

/** STREAM. Who did what, one entry an asking and one an ending. By audit.lua; never trimmed. */
export const auditLog = () => 'fg:{audit}:log'

/** STRING. The secret that voucher codes derive from, when the configuration gives none. Written once. */
export const voucherSecret = () => 'fg:voucher-secret'

/** HASH. Setting to what all nodes of this Redis have, of a secret its fingerprint. By the first start, and `config change`. */
export const agreed = () => 'fg:agreed'

/** STRING. The random value under which the ids of operators' keyed changes follow from their keys. Written once. */
export const requestSecret = () => 'fg:request-secret'

/**
 * HASH. Idempotency-Key to the fingerprint of its body, all of a caller's of one week. Dies two weeks after. Operators' are all
 * one caller's. In the slot of another key, which then stands for the caller: the requests that changed that key.
 */
export const callerKeys = (caller: string, week: number) => `fg:{${caller}}:keys:${week}`
