#!lua
-- Locks a voucher for an order, so that no other order can use it until the lock ends by the campaign's clock. A key that
-- is bound to a merchant locks for an order of that merchant. Who holds the lock may lock again: the same one, which then ends
-- at the later of both ends.
-- @key state     campaignState
-- @key balances  campaignBalances
-- @key ledger    campaignLedger
-- @key vouchers  campaignVouchers
-- @key touched   campaignTouched
-- @key due       campaignDue
-- @arg voucher   field, bucket, expiry (ms) and worth (minor units)
-- @arg by        the caller
-- @arg merchant  whom the caller is bound to, or empty
-- @arg order     the order's id
-- @arg ttl       milliseconds
-- @arg lock      the new lock's id
-- @reply [outcome, ends, lock]: granted with the end (ms) and id of the lock that stands; voucher_locked with the end
--        of another one; already_redeemed, expired, deactivated, fenced
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
local mine = voucher.state == 'locked' and voucher.merchant == ARGV[3] and voucher.order == ARGV[4]
if voucher.state == 'locked' and not mine then return { CODE.voucher_locked, voucher.ends } end
local ends = math.min(book.now + tonumber(ARGV[5]), voucher.expires)
if mine then ends = math.max(ends, tonumber(voucher.ends)) end
local id = mine and voucher.lock or ARGV[6]
local lock = ARGV[3] == '' and id or id .. '@' .. ARGV[3]
voucher_write(book, voucher, to, digits(ends) .. ' ' .. lock .. ' ' .. ARGV[4], ends)
if not mine then
  ledger_post(book, { 'kind', 'lock', 'ref', id, 'voucher', voucher.field, 'by', ARGV[2] },
    { HOLDS[voucher.stored], -voucher.worth, 'reserved', voucher.worth })
end
ledger_close(book)
return { CODE.granted, digits(ends), id }
