#!lua
-- Redeems a voucher exactly once. The request (caller and Idempotency-Key) and the voucher are decided in one atom;
-- the answer is kept and given again byte for byte, also after its reply was lost.
-- @key vouchers     roundVouchers
-- @key redemptions  roundRedemptions
-- @arg serial       the voucher's serial
-- @arg expires      milliseconds since 1970 from which the voucher is void
-- @arg request      caller and Idempotency-Key
-- @arg fingerprint  of the request's body
-- @arg id           the new redemption's id
-- @arg answer       the redemption as JSON without its time
-- @reply [outcome, at, answer]: granted or replayed with the time (ms) and JSON of the redemption that stands;
--        already_redeemed, expired, idempotency_mismatch
-- @cost two HGET, two HSET
local known = redis.call('HGET', KEYS[2], 'request ' .. ARGV[3])
if known then
  local fingerprint, at, answer = redis.call('HGET', KEYS[2], known):match('^(%S+) (%d+) (.*)$')
  if fingerprint ~= ARGV[4] then return { CODE.idempotency_mismatch } end
  return { CODE.replayed, at, answer }
end
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return { CODE.already_redeemed } end
local time = redis.call('TIME')
local now = string.format('%.0f', math.floor(time[1] * 1000 + time[2] / 1000))
if tonumber(now) >= tonumber(ARGV[2]) then return { CODE.expired } end
redis.call('HSET', KEYS[1], ARGV[1], 'redeemed ' .. ARGV[5])
redis.call('HSET', KEYS[2], 'request ' .. ARGV[3], ARGV[5], ARGV[5], ARGV[4] .. ' ' .. now .. ' ' .. ARGV[6])
return { CODE.granted, now, ARGV[6] }
