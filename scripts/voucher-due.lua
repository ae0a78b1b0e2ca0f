#!lua
-- Looks at touched vouchers whose lock or validity ended: a lapsed lock gives its money back to `allocated`, a voucher
-- past its validity expires. At most `most` a call, in one ledger entry; what was done is not due again.
-- @key state     campaignState
-- @key balances  campaignBalances
-- @key ledger    campaignLedger
-- @key vouchers  campaignVouchers
-- @key touched   campaignTouched
-- @key due       campaignDue
-- @key budget    campaignBudget
-- @arg most      vouchers, at most 500
-- @arg unused    available or returned
-- @reply [outcome, count]: granted and how many were looked at, replayed when none was due, fenced
-- @cost one ZRANGEBYSCORE, one HGET, HSET and ZADD or ZREM a voucher, one XADD
-- @include hash
-- @include ledger
-- @include voucher
-- @include unused
local book = voucher_open(KEYS[1], KEYS[2], KEYS[3], KEYS[4])
if not book then return { CODE.fenced } end
local fields = redis.call('ZRANGEBYSCORE', KEYS[6], '-inf', digits(book.now), 'LIMIT', 0, tonumber(ARGV[1]))
if #fields == 0 then return { CODE.replayed, 0 } end
local keys = { vouchers = KEYS[4], touched = KEYS[5], due = KEYS[6] }
local due, records = {}, redis.call('HMGET', KEYS[4], unpack(fields))
for i, field in ipairs(fields) do
  if not records[i] then return { CODE.fenced } end
  local expires, worth = records[i]:match('^%a+ (%d+) (%d+)')
  due[i] = voucher_read(book, keys, field .. ' - ' .. expires .. ' ' .. worth)
end
local from, back, expired, count = { allocated = 0, reserved = 0 }, 0, 0, 0
for _, voucher in ipairs(due) do
  local account = HOLDS[voucher.stored]
  from[account] = from[account] - voucher.worth
  if voucher.state == 'expired' then
    expired, count = expired + voucher.worth, count + 1
    voucher_write(book, voucher, 'expired', '')
  else
    back = back + voucher.worth
    voucher_write(book, voucher, 'active', '', voucher.expires)
  end
end
unused_add(KEYS[7], ARGV[2], expired)
ledger_post(book, { 'kind', 'expire', 'ref', 'touched', 'count', digits(count) },
  { 'allocated', from.allocated + back, 'reserved', from.reserved, ARGV[2], expired })
ledger_close(book)
return { CODE.granted, #fields }
