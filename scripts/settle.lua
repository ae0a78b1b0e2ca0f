#!lua
-- Settles a part of a business day: what was payable to merchants is settled. A part is settled once; the last part
-- keeps the day's totals. The parts follow from the ledger's entries of that day, which never change.
-- @key state        campaignState
-- @key balances     campaignBalances
-- @key ledger       campaignLedger
-- @key settlements  campaignSettlements
-- @arg date         the business day
-- @arg ends         milliseconds since 1970 at which it ended
-- @arg part         the part's number, from 1
-- @arg amounts      merchant, amount, merchant, amount, … separated by spaces
-- @arg totals       the day's totals as JSON with the last part, else empty
-- @arg by           the caller
-- @reply [outcome]: granted, replayed when the part was settled before, day_open, fenced
-- @cost two HGET, two HINCRBY a merchant, one XADD
-- @include hash
-- @include ledger
local book = ledger_open(KEYS[1], KEYS[2], KEYS[3])
if not book then return { CODE.fenced } end
if book.now < tonumber(ARGV[2]) then return { CODE.day_open } end
local part = ARGV[1] .. ' ' .. ARGV[3]
if redis.call('HEXISTS', KEYS[4], part) == 1 then return { CODE.replayed } end
local legs = {}
for merchant, amount in ARGV[4]:gmatch('(%S+) (%-?%d+)') do
  legs[#legs + 1], legs[#legs + 2] = 'payable:' .. merchant, -tonumber(amount)
  legs[#legs + 1], legs[#legs + 2] = 'settled:' .. merchant, tonumber(amount)
end
redis.call('HSET', KEYS[4], part, digits(book.now))
if ARGV[5] ~= '' then redis.call('HSET', KEYS[4], ARGV[1], ARGV[5]) end
ledger_post(book, { 'kind', 'settle', 'ref', part, 'by', ARGV[6] }, legs)
ledger_close(book)
return { CODE.granted }
