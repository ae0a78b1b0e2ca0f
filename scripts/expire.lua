#!lua
-- Expires the untouched vouchers of one template in a run of a round's grants, all at once: the money of all vouchers
-- of the run, less those that were touched (their buckets count them), moves in one entry. How far it came is kept, so
-- a run is never expired twice, and nothing that was never used is looked at.
-- @key state     campaignState
-- @key balances  campaignBalances
-- @key ledger    campaignLedger
-- @key touched   campaignTouched
-- @key budget    campaignBudget
-- @arg run       "<round number>:<template>", whose progress this is
-- @arg from      the last sequence that was expired before
-- @arg to        the last sequence of this run
-- @arg packs     how many of the run's sequences were granted
-- @arg quantity  vouchers of the template in a pack
-- @arg worth     of one voucher, minor units
-- @arg ends      milliseconds since 1970 at which the run's last bucket ends
-- @arg buckets   the run's buckets, separated by spaces; each lies in the run as a whole
-- @arg unused    available or returned
-- @reply [outcome, sequence]: granted or replayed (another worker was there first) with how far it came, not_open when
--        the buckets have not ended, fenced
-- @cost one HGET, one HMGET, one HDEL, three HINCRBY, one XADD, two HSET
-- @include hash
-- @include ledger
-- @include unused
local book = ledger_open(KEYS[1], KEYS[2], KEYS[3])
if not book then return { CODE.fenced } end
local cursor = 'swept ' .. ARGV[1]
local before = redis.call('HGET', KEYS[1], cursor) or '0'
if before ~= ARGV[2] then return { CODE.replayed, before } end
if book.now < tonumber(ARGV[7]) then return { CODE.not_open, before } end
local buckets, touched = {}, 0
for bucket in ARGV[8]:gmatch('%S+') do buckets[#buckets + 1] = bucket end
for _, count in ipairs(redis.call('HMGET', KEYS[4], unpack(buckets))) do touched = touched + (tonumber(count) or 0) end
local count = tonumber(ARGV[4]) * tonumber(ARGV[5]) - touched
local money = count * tonumber(ARGV[6])
redis.call('HDEL', KEYS[4], unpack(buckets))
redis.call('HSET', KEYS[1], cursor, ARGV[3])
unused_add(KEYS[5], ARGV[9], money)
ledger_post(book, { 'kind', 'expire', 'ref', ARGV[1] .. ':' .. ARGV[3], 'count', digits(count) },
  { 'allocated', -money, ARGV[9], money })
ledger_close(book)
return { CODE.granted, ARGV[3] }
