#!lua
-- Raises how far a fenced round may grant, ahead of need, in two calls: the first notes `pending`, its caller waits until
-- all replicas have that, the second lifts `reserve` to it. So whichever copy is promoted knows a number that no grant
-- ever passed. With its first call an engine is registered, with its second one it may claim. Nothing is ever lowered.
-- A last call signs it off, when all replicas have what it acknowledged.
-- @key state     roundState
-- @arg epoch     the epoch the engine believes in
-- @arg engine    the engine's id
-- @arg chunk     grants ahead of the last one; -1 signs the engine off
-- @arg confirmed what the first call answered, when all replicas have it; 0 in the first call
-- @reply [outcome, sequence]: granted with the new `pending`, or with the new `reserve`; fenced, also when the engine has
--        left this epoch or never asked for what it says is confirmed
-- @cost one HGET, one HMGET, one HSET
-- @include round
-- @include engines
local round = round_read(KEYS[1], ARGV[1])
if not round or not round.replid then return { CODE.fenced } end
local f = redis.call('HMGET', KEYS[1], 'pending', 'engines')
local pending, engines, confirmed = tonumber(f[1]), f[2], tonumber(ARGV[4])
local status = engine_status(engines, ARGV[2])
if status == 'left' then return { CODE.fenced } end
if ARGV[3] == '-1' then
  redis.call('HSET', KEYS[1], 'engines', engine_drop(engines, ARGV[2]))
  return { CODE.granted, pending }
end
if confirmed == 0 then
  pending = math.max(pending, round.sequence + math.min(tonumber(ARGV[3]), math.max(0, round_remaining(round))))
  if not status then engines = engine_mark(engines, ARGV[2], 'joining') end
  redis.call('HSET', KEYS[1], 'pending', pending, 'engines', engines)
  return { CODE.granted, pending }
end
if not status or confirmed > pending then return { CODE.fenced } end
local reserve = math.max(round.reserve, confirmed)
redis.call('HSET', KEYS[1], 'reserve', reserve, 'engines', engine_mark(engines, ARGV[2], 'in'))
return { CODE.granted, reserve }
