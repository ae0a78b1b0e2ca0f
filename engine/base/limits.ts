/**
 * Every bound in the engine, with its unit and its reason. Nothing that grows with traffic may lack a row here.
 * Settings that an operator may change stand in engine/config.ts; these are constants of the protocol and the
 * machine. Derived numbers are computed from others so that they cannot drift apart.
 */

/** A user id: 1..64 bytes of [A-Za-z0-9._:@|+-]; no braces (hash tags), no slash (the slot's separator), no CR LF. */
export const USER_ID_BYTES_MAX = 64

/** Slots a user may have in one round (`limits.per_user`). One byte in the holder's key. */
export const SLOTS_MAX = 255

/** Pools of a round. A pool is one byte in a grant; small because each is a field of the stock message. */
export const POOLS_MAX = 16

/** Windows of one round in `window` mode: the length of the chain of its beacons' secrets. */
export const WINDOWS_MAX = 10_000

/** Claims in one script call. 512 keep the script under 2 ms; `unpack` in Lua fails at about 8,000 values. */
export const BATCH_CLAIMS_MAX = 512

/** Holders of one round that a worker remembers exactly, about 25 bytes each; beyond it holders are asked of Redis. */
export const HOLDERS_KNOWN_MAX = 4_000_000

/** After so long without a claim of a round, milliseconds, a worker lets go of its holders: 56 MB of 1.5 million. */
export const HOLDERS_IDLE_MS = 600_000

/** Rounds that are over and that nobody has claimed from for so long, of which a worker keeps what it read: the last ones. */
export const CLOSED_ROUNDS_KEPT = 100

/** Rounds, and campaigns, whose keys in Redis are looked at with one check of the server, every five seconds; of more it is their turn later. */
export const ROUNDS_LOOKED_AT = 100

/** Batches in flight of one round of one worker. Bounds the doubt after a lost connection to 4 x 512 claims. */
export const BATCHES_IN_FLIGHT_MAX = 4

/** Claims of one HTTP batch request or stream frame. */
export const CLAIMS_PER_REQUEST_MAX = 4096

/** Claims waiting in one worker, over all rounds; beyond it the answer is `overloaded` (nothing was executed). */
export const CLAIMS_WAITING_MAX = 1_200_000

/** An HTTP body of a single object, bytes. A claim needs under 200. */
export const BODY_BYTES_MAX = 64 * 1024

/** An HTTP body of a claims batch, bytes: 4,096 claims that name a user, a pool and a slot at full length. */
export const BATCH_BODY_BYTES_MAX = CLAIMS_PER_REQUEST_MAX * (2 * USER_ID_BYTES_MAX + 64)

/** A stream frame, bytes: 4,096 ids of 64 bytes and their framing. */
export const FRAME_BYTES_MAX = CLAIMS_PER_REQUEST_MAX * (USER_ID_BYTES_MAX + 8)

/** Topics one socket may subscribe to. */
export const TOPICS_PER_SOCKET_MAX = 64

/** Bytes a slow socket may owe us before its stock frames are dropped (they are absolute, the last is resent). */
export const BACKPRESSURE_BYTES_MAX = 1024 * 1024

/**
 * Bytes of answers that may wait for a socket's reader, beside the above, before it is closed; by who is behind it. A key
 * may have as many claims under way as a worker holds, so the answers to all of them fit; others ask one by one.
 */
export const OWED_BYTES_MAX = { key: 32 * 1024 * 1024, other: 1024 * 1024 } as const

/**
 * Seconds without a byte after which a socket is closed. Library bounds: 8..960. It pings 16 s before, so here within 24 s,
 * and every pause that proxies allow by themselves is longer (nginx: 60 s, HAProxy's examples: 30 s).
 */
export const SOCKET_IDLE_S = 40

/** Total stock of a round: sequences are four bytes, vouchers 28 bits of (sequence, place in the pack). */
export const STOCK_MAX = 100_000_000

/** Vouchers of one round, all packs together: the width of a code's serial. */
export const VOUCHERS_PER_ROUND_MAX = 2 ** 28

/** Vouchers in one pack. */
export const PACK_VOUCHERS_MAX = 64

/** Money: minor units a script may add without losing a digit; Lua numbers are doubles (exact to 2^53). */
export const AMOUNT_MAX = 2 ** 52

/** Merchants of one request, a line each: 20 calls of a script that each keep 500. */
export const MERCHANTS_PER_REQUEST_MAX = 10_000

/** Rows of a list answer. */
export const LIST_ROWS_MAX = 1000
export const LIST_ROWS_DEFAULT = 100

/** A machine whose clock is further from Redis's has the calendar of Redis, milliseconds; a token's leeway is as long. */
export const CLOCK_APART_MS = 60_000

/** The longest validity of a voucher, and the end of moments in rules: Lua writes a number with 14 digits, which milliseconds pass in the year 5138. */
export const VALID_FOR_S_MAX = 10 * 366 * 86_400
export const MOMENT_MS_END = Date.UTC(5138, 0)

/** Stock frames a second a round on the stream. */
export const STOCK_FRAMES_PER_S_MAX = 20

/**
 * How long a worker may refuse on a notice that it confirmed, milliseconds. A change that lets grants resume grants
 * nothing until it has passed, and is answered to its operator then.
 */
export const LEASE_MS = 250

/** Longest wait for one answer, milliseconds: after it `unknown` (dispatched) or `overloaded` (queued). */
export const ANSWER_DEADLINE_MS = 2000

/** What a worker that is asked to stop may take to answer what is under way, milliseconds; and to end, before it is killed. */
export const DRAIN_MS = 5000
export const STOP_MS = 10_000

/** A claim that would wait in its queue for longer than this, milliseconds, is `overloaded` at once: half of the deadline. */
export const SHED_WAIT_MS = 1000

/** A connection to Redis that says nothing for this long with commands in flight is replaced, milliseconds. */
export const REDIS_SILENCE_MS = 400

/** Grants ahead of the last one that the level fenced reserves in one go: what a fail-over may set aside at most. */
export const RESERVE_GRANTS = 20_000

/**
 * How long a recovery waits for the engines of a round that have not reported what they know, milliseconds. Until it is over everybody
 * still sees the history that was left, for which docs/reliability.md promises a second; who comes later gives back all the same.
 */
export const RECOVERY_PATIENCE_MS = 700

/** Between two tries of a recovery, and between two looks at where a fenced round is granted from, milliseconds. */
export const RECOVERY_RETRY_MS = 50
export const RECOVERY_RETRY_MS_MAX = 500
export const FENCE_LOOK_MS = 250

/** How long a refusal at the level fenced waits for all replicas to have what it rests on, milliseconds; then `fenced`. */
export const REFUSAL_WAIT_MS = 100

/** `Retry-After` of `fenced` while what is left of a pool is quarantined grows from a second to this. */
export const QUARANTINE_RETRY_S_MAX = 30

/** Credentials: longest bearer token and longest header line we look at, bytes. */
export const CREDENTIAL_BYTES_MAX = 8192

/** API keys of a node; each credential that is seen for the first time is compared with all of them, at 0.1 µs each. */
export const KEYS_MAX = 1000

/** Idempotency keys, order, merchant and store ids, bytes. */
export const KEY_BYTES_MAX = 128

/** Seconds that one lock may last; the order that holds it may lock again. */
export const LOCK_TTL_S_MAX = 3600

/** Addresses and users a rate limiter remembers; the oldest are forgotten first (they start with a full bucket). */
export const RATE_BUCKETS_MAX = 100_000

/** Keys of a published set that are read, and the bytes of its text: a set has a handful, and each key costs a reading of it. */
export const PUBLISHED_KEYS_MAX = 64
export const KEY_SET_BYTES_MAX = 256 * 1024

/** Requests of a worker that may wait for a key that their token names, each with a body of its own. */
export const WAITING_FOR_KEYS_MAX = 1024

/** Verified user tokens a worker remembers by their SHA-256. */
export const TOKENS_CACHED_MAX = 50_000
