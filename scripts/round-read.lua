#!lua flags=no-writes
-- Reads a round: its notice as of now, by Redis's clock, and its configuration.
-- @key state    roundState
-- @reply [outcome, notice, config]: granted, or fenced when there is no state
-- @cost two HMGET
-- @include round
local round = round_read(KEYS[1], '')
if not round then return { CODE.fenced } end
return { CODE.granted, round_notice(round), redis.call('HGET', KEYS[1], 'config') }
