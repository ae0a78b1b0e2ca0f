#!lua
-- Keeps which body each Idempotency-Key of a caller came with, over all campaigns: a key stands for one body. Two
-- weeks are looked at, so a key is remembered for one week at least.
-- @key this         callerKeys
-- @key last         callerKeys
-- @arg ttl          seconds after which a week is forgotten
-- @arg key          an Idempotency-Key; this and its fingerprint once a request, at most 500
-- @arg fingerprint  of the body that it came with
-- @reply [outcome, owns]: granted with a character a request: 1 where the key is this body's, 0 where it is another's
-- @cost two HMGET, one HSET
local names, kept, puts, owns = {}, {}, {}, {}
for i = 2, #ARGV, 2 do names[#names + 1] = ARGV[i] end
local this, last = redis.call('HMGET', KEYS[1], unpack(names)), redis.call('HMGET', KEYS[2], unpack(names))
for i, name in ipairs(names) do
  local fingerprint = ARGV[2 * i + 1]
  local known = this[i] or last[i] or kept[name]
  if not known then
    kept[name], puts[#puts + 1], puts[#puts + 2] = fingerprint, name, fingerprint
  end
  owns[i] = (known or fingerprint) == fingerprint and '1' or '0'
end
if #puts > 0 then redis.call('HSET', KEYS[1], unpack(puts)) end
if redis.call('TTL', KEYS[1]) == -1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return { CODE.granted, table.concat(owns) }
