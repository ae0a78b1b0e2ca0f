#!lua flags=no-writes
-- Reads a round: its notice as of now, by Redis's clock, its configuration, and whether it may be granted from here.
-- @key state    roundState
-- @reply [outcome, notice, config, server]: granted, or fenced when there is no state. At the level fenced `server` is here
--        or elsewhere, where the round is bound to, and this server's name; at the other levels it is empty
-- @cost two HMGET
-- @include round
-- @include notice
local round = round_read(KEYS[1], '')
if not round then return { CODE.fenced } end
local server = round.replid and (round.replid == round_server() and 'here ' or 'elsewhere ') .. round_server() or ''
return { CODE.granted, round_notice(round), redis.call('HGET', KEYS[1], 'config'), server }
