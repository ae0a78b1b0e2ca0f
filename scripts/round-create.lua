#!lua
-- Creates the state of a round; the only script that may. Asked again with the same round it changes nothing.
-- @key state    roundState
-- @key log      roundLog
-- @key void     roundVoid
-- @arg channel  where the notice is published
-- @arg epoch    the new round's epoch, 16 hex digits
-- @arg opens    milliseconds since 1970, 0 for a round that an operator opens
-- @arg closes   milliseconds since 1970, 0 for a round that an operator closes
-- @arg config   the round's JSON, kept as it is
-- @arg totals   stock of each pool, separated by spaces; the first is `general`
-- @arg fenced   1 at the level fenced: the round is bound to this server, and nothing is reserved yet
-- @reply [outcome, notice]: granted, or replayed when the round stood already; unavailable when it was given up (round-void.lua)
-- @cost one HSET, one XADD, one PUBLISH
-- @include round
-- @include notice
-- @include log
if redis.call('EXISTS', KEYS[1]) == 1 then
  return { CODE.replayed, round_notice(round_read(KEYS[1], '')) }
end
if redis.call('EXISTS', KEYS[3]) == 1 then return { CODE.unavailable } end
local pools = 0
for total in ARGV[6]:gmatch('%d+') do
  redis.call('HSET', KEYS[1], 't' .. pools, total, 'g' .. pools, 0)
  pools = pools + 1
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[2], 'version', 0, 'state', SCHEDULED, 'opens', ARGV[3], 'closes', ARGV[4],
  'last', 0, 'sequence', 0, 'pools', pools, 'config', ARGV[5])
if ARGV[7] == '1' then
  redis.call('HSET', KEYS[1], 'replid', round_server(), 'reserve', 0, 'pending', 0, 'engines', ' ')
else
  redis.call('HSET', KEYS[1], 'history', round_server())
end
local round = round_read(KEYS[1], ARGV[2])
log_change(KEYS[2], round, 'create', '', 0)
return { CODE.granted, round_write(round, ARGV[1]) }
