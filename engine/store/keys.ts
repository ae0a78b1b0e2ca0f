/**
 * Every key in Redis, one function a key. The braces keep all of a round in one cluster slot; keys without braces are
 * touched by single-key commands only. Nothing here has a TTL unless its line says so: a state key that vanishes by
 * itself is amnesia. A key string anywhere else fails the build (test/repo).
 */

/** HASH. The round's state: epoch, version, state, window, sequence, pools. Written by every round script. */
export const roundState = (roundId: string) => `fg:{${roundId}}:state`

/** HASH. Holder key to 5 bytes: sequence (u32 big endian), pool. Written by claim.lua; never deleted. */
export const roundHolders = (roundId: string) => `fg:{${roundId}}:holders`

/** STREAM. One entry a granting batch or change; the id is `<last sequence>-<n>`. Never trimmed while the round lives. */
export const roundLog = (roundId: string) => `fg:{${roundId}}:log`

/** HASH. Serial to the record of a voucher that was touched. Written by the voucher scripts. */
export const roundVouchers = (roundId: string) => `fg:{${roundId}}:vouchers`

/** HASH. Redemption id to its answer, and `<caller> <key>` to the redemption id. Written by redeem.lua. */
export const roundRedemptions = (roundId: string) => `fg:{${roundId}}:redemptions`

/** CHANNEL. The round's stock notices. Published by every round script. */
export const roundChannel = (roundId: string) => `fg:{${roundId}}:stock`

/** The pattern of all stock channels, and the id of the round that a channel belongs to. */
export const allChannels = () => 'fg:{*}:stock'
export const channelRound = (channel: string) => channel.slice(4, -7)

/** HASH. Campaign id to its JSON. Written once at creation. */
export const campaigns = () => 'fg:campaigns'

/** HASH. Round id to `<number> <campaign id>`: the index of rounds. Written once at creation. */
export const rounds = () => 'fg:rounds'

/** STRING. The last round number given out. */
export const roundNumber = () => 'fg:round-number'

/** HASH. Round number to round id: how a voucher code finds its round. */
export const roundsByNumber = () => 'fg:rounds-by-number'

/** HASH. What is committed of a campaign's budget: `<round> <request>` to minor units, and `sum`. By budget.lua. */
export const campaignBudget = (campaignId: string) => `fg:{${campaignId}}:budget`

/** STRING. The secret that voucher codes derive from, when the configuration gives none. Written once. */
export const voucherSecret = () => 'fg:voucher-secret'

/** STRING. The fingerprint of the body that came with an Idempotency-Key. Dies after 7 days. */
export const idempotency = (caller: string, key: string) => `fg:idempotency:${caller}:${key}`
