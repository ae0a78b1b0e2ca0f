#!lua
-- Creates the state and the ledger of a campaign, funded with its budget; the only script that may. Asked again it
-- changes nothing.
-- @key state     campaignState
-- @key balances  campaignBalances
-- @key ledger    campaignLedger
-- @arg funds     minor units; 0 for a campaign without a budget, whose sponsor funds each grant as it is made
-- @reply [outcome]: granted, or replayed when it stood already
-- @cost one HSET, one XADD
-- @include hash
-- @include ledger
if redis.call('EXISTS', KEYS[1]) == 1 then return { CODE.replayed } end
redis.call('HSET', KEYS[1], 'last', 0, 'chain', '', 'entries', 0, 'vouchers', 0)
local book = ledger_open(KEYS[1], KEYS[2], KEYS[3])
local funds = tonumber(ARGV[1])
ledger_post(book, { 'kind', 'fund' }, { 'sponsor_funds', -funds, 'available', funds })
ledger_close(book)
return { CODE.granted }
