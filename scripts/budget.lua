#!lua
-- Commits a part of a campaign's budget for a change of a round, and settles it when it is known what came of the change. A
-- request is committed once: a copy that arrives late changes nothing, whatever it was settled to.
-- @key budget   campaignBudget
-- @arg request  the round and the request that the money is for
-- @arg amount   minor units
-- @arg most     the campaign's max_amount, minor units; what is settled passes it, too
-- @arg settles  1 when this is what came of it: 0 where nothing did, negative where stock was taken back; else empty
-- @arg dry      1 asks what would be and writes nothing; else empty
-- @reply [outcome, sum]: granted or budget_exceeded, and what is committed now, minor units; dry what would be
-- @cost two HGET, one HSET; dry no HSET
local known = redis.call('HGET', KEYS[1], ARGV[1])
local sum, amount, commits = tonumber(redis.call('HGET', KEYS[1], 'sum') or 0), tonumber(ARGV[2]), ARGV[4] == ''
if known and commits then return { CODE.granted, string.format('%.0f', sum) } end
local after = sum - tonumber(known or 0) + amount
if commits and amount > 0 and after > tonumber(ARGV[3]) then return { CODE.budget_exceeded, string.format('%.0f', sum) } end
if ARGV[5] == '1' then return { CODE.granted, string.format('%.0f', after) } end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2], 'sum', string.format('%.0f', after))
return { CODE.granted, string.format('%.0f', after) }
