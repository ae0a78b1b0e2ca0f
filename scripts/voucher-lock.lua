#!lua
-- Locks a voucher for an order, so that no other order can use it until the lock ends by the campaign's clock. The
-- order that holds it may lock again: the same lock, with a later end.
-- @key state     campaignState
-- @key balances  campaignBalances
-- @key ledger    campaignLedger
-- @key vouchers  campaignVouchers
-- @key touched   campaignTouched
-- @key due       campaignDue
-- @arg voucher   field, bucket, expiry (ms) and worth (minor units)
-- @arg by        the caller
-- @arg order     the order's id
-- @arg ttl       milliseconds
-- @arg lock      the new lock's id
-- @reply [outcome, ends, lock]: granted with the end (ms) and id of the lock that stands; voucher_locked with the end
--        of the other one; already_redeemed, expired, deactivated, fenced
-- @cost two HSET, one ZADD, two HINCRBY, one XADD
-- @include hash
-- @include ledger
-- @include voucher
local book = voucher_open(KEYS[1], KEYS[2], KEYS[3], KEYS[4])
if not book then return { CODE.fenced } end
local keys = { vouchers = KEYS[4], touched = KEYS[5], due = KEYS[6] }
local voucher = voucher_read(book, keys, ARGV[1])
local to = TURNS[voucher.state].lock
if not to then return { REFUSES[voucher.state] } end
local mine = voucher.state == 'locked' and voucher.order == ARGV[3]
if voucher.state == 'locked' and not mine then return { CODE.voucher_locked, voucher.ends } end
local ends = math.min(book.now + tonumber(ARGV[4]), voucher.expires)
local id = mine and voucher.lock or ARGV[5]
voucher_write(book, voucher, to, digits(ends) .. ' ' .. id .. ' ' .. ARGV[3], ends)
if not mine then
  ledger_post(book, { 'kind', 'lock', 'ref', id, 'voucher', voucher.field, 'by', ARGV[2] },
    { HOLDS[voucher.stored], -voucher.worth, 'reserved', voucher.worth })
end
ledger_close(book)
return { CODE.granted, digits(ends), id }
