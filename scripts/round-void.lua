#!lua
-- Looks whether a change of a round was made, for whoever committed money for it. One that was not never will be: it is void
-- from now on, whenever its bytes arrive.
-- @key state    roundState
-- @key void     roundVoid
-- @arg request  the request id of a restock; empty for the creation of the round
-- @reply [outcome]: replayed when it was made, granted when it is void; fenced for a restock of a round without a state
-- @cost one EXISTS, one HSETNX
local stands = redis.call('EXISTS', KEYS[1]) == 1
if ARGV[1] ~= '' then
  if not stands then return { CODE.fenced } end
  redis.call('HSETNX', KEYS[1], 'request ' .. ARGV[1], 'void')
  return { redis.call('HGET', KEYS[1], 'request ' .. ARGV[1]) == 'void' and CODE.granted or CODE.replayed }
end
if stands then return { CODE.replayed } end
redis.call('SET', KEYS[2], '1')
return { CODE.granted }
