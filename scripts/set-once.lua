#!lua
-- Sets and clears fields of what operators keep (rates, merchants, held merchants), once for each request: asked again it changes
-- nothing more, whatever was set since. Two weeks are looked at, so a request is remembered for one week at least.
-- @key fields   controls
-- @key this     callerKeys
-- @key last     callerKeys
-- @arg ttl      seconds after which a week is forgotten
-- @arg request  the request's name
-- @arg cleared  how many fields are cleared; they follow, then a field and its value for each that is set, at most 1,000 in all
-- @reply [outcome]: granted, or replayed when the request was made before
-- @cost two HEXISTS, two HSET, one HDEL
if redis.call('HEXISTS', KEYS[2], ARGV[2]) == 1 or redis.call('HEXISTS', KEYS[3], ARGV[2]) == 1 then
  return { CODE.replayed }
end
local first = 4 + tonumber(ARGV[3])
if first > 4 then redis.call('HDEL', KEYS[1], unpack(ARGV, 4, first - 1)) end
if ARGV[first] then redis.call('HSET', KEYS[1], unpack(ARGV, first)) end
redis.call('HSET', KEYS[2], ARGV[2], '1')
if redis.call('TTL', KEYS[2]) == -1 then redis.call('EXPIRE', KEYS[2], ARGV[1]) end
return { CODE.granted }
