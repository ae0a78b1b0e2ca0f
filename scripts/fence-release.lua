#!lua
-- Gives quarantined stock back to the pools: an operator's word that nobody comes any more with a grant out of it. The
-- sequences stay empty; as many more are granted behind the last one.
-- @key state    roundState
-- @key log      roundLog
-- @arg channel  where the notice is published
-- @arg epoch    the epoch the engine believes in
-- @arg most     what no sequence may pass
-- @arg hold     what the hold that begins is named by, empty where no worker may go on refusing
-- @arg request  the caller's request id: asked again, it changes nothing more
-- @arg dry      1 asks what would be and writes nothing; else empty
-- @reply [outcome, notice]: granted, replayed where this request did it before, wrong_state when nothing is quarantined, invalid
--        (over the most) or fenced; dry [granted, the notice as it would be, as it is] or the same
-- @cost one HSET, one XADD, one PUBLISH; dry nothing
-- @include round
-- @include notice
-- @include log
-- @include shut
-- @include aside
local round = round_read(KEYS[1], ARGV[2])
if not round or redis.call('EXISTS', KEYS[2]) == 0 then return { CODE.fenced } end
if redis.call('HEXISTS', KEYS[1], 'request ' .. ARGV[5]) == 1 then return { CODE.replayed, round_notice(round) } end
local dry, before, left, held = ARGV[6] == '1', round_notice(round), round_remaining(round), 0
for pool = 0, round.pools - 1 do held = held + round.quarantined[pool] end
if held == 0 then return { CODE.wrong_state, before } end
if round.sequence + left + held > tonumber(ARGV[3]) then return { CODE.invalid, before } end
if round.state == OPEN and left == 0 then shut_hold(round, ARGV[4]) end
aside_release(round, not dry and KEYS[2], ARGV[5])
if dry then return { CODE.granted, round_notice(round), before } end
local fields = { 'ranges', round.ranges, 'owed', ' ', 'hold', round.hold, 'holds_as', round.holds_as,
  'request ' .. ARGV[5], round.now }
return { CODE.granted, round_write(round, ARGV[1], aside_counts(round, fields)) }
