#!lua
-- Commits a part of a campaign's budget to a round's request, or gives it back; a request counts once.
-- @key budget   campaignBudget
-- @arg request  the round and the request that the money is for
-- @arg amount   minor units; 0 takes the request back
-- @arg most     the campaign's max_amount, minor units
-- @reply [outcome, sum]: granted or budget_exceeded, and what is committed now, minor units
-- @cost one HGET, one HSET
local before = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or 0)
local sum = tonumber(redis.call('HGET', KEYS[1], 'sum') or 0)
local after = sum - before + tonumber(ARGV[2])
if after > tonumber(ARGV[3]) and tonumber(ARGV[2]) > before then
  return { CODE.budget_exceeded, string.format('%.0f', sum) }
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2], 'sum', string.format('%.0f', after))
return { CODE.granted, string.format('%.0f', after) }
