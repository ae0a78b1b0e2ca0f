#!lua
-- Books the grants of a round that were made since the last time: their packs' money is allocated. The round's log has
-- the grants one by one; a sequence is booked once, however often it is sent.
-- @key state     campaignState
-- @key balances  campaignBalances
-- @key ledger    campaignLedger
-- @arg round     the round's number
-- @arg sequence  the round's last sequence
-- @arg amount    what a pack can cost at most, minor units
-- @arg source    available, or sponsor_funds where there is no budget
-- @reply [outcome]: granted, replayed when all of it was booked, fenced
-- @cost one HGET, two HINCRBY, one XADD, two HSET
-- @include hash
-- @include ledger
local book = ledger_open(KEYS[1], KEYS[2], KEYS[3])
if not book then return { CODE.fenced } end
local field, sequence = 'booked ' .. ARGV[1], tonumber(ARGV[2])
local before = tonumber(redis.call('HGET', KEYS[1], field) or 0)
if sequence <= before then return { CODE.replayed } end
local packs = sequence - before
local money = packs * tonumber(ARGV[3])
redis.call('HSET', KEYS[1], field, ARGV[2])
local ref = ARGV[1] .. ':' .. digits(before + 1) .. '-' .. ARGV[2]
ledger_post(book, { 'kind', 'grant', 'ref', ref, 'count', digits(packs) }, { ARGV[4], -money, 'allocated', money })
ledger_close(book)
return { CODE.granted }
