#!lua
-- Takes an order's lock off a voucher; where the order has none, there is nothing to do.
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
-- @reply [outcome, ends]: granted when a lock was taken off, replayed when there was none, voucher_locked with the end
--        of another order's or merchant's lock, fenced
-- @cost two HSET, one ZADD, two HINCRBY, one XADD
-- @include hash
-- @include ledger
-- @include voucher
local book = voucher_open(KEYS[1], KEYS[2], KEYS[3], KEYS[4])
if not book then return { CODE.fenced } end
local keys = { vouchers = KEYS[4], touched = KEYS[5], due = KEYS[6] }
local voucher = voucher_read(book, keys, ARGV[1])
local to = TURNS[voucher.state].unlock
if not to then return { CODE.replayed } end
if voucher.merchant ~= ARGV[3] or voucher.order ~= ARGV[4] then return { CODE.voucher_locked, voucher.ends } end
voucher_write(book, voucher, to, '', voucher.expires)
ledger_post(book, { 'kind', 'unlock', 'ref', voucher.lock, 'voucher', voucher.field, 'by', ARGV[2] },
  { HOLDS[voucher.stored], -voucher.worth, HOLDS[to], voucher.worth })
ledger_close(book)
return { CODE.granted }
