#!lua
-- Adds stock to a pool, or takes unsold stock back (a negative amount); never below what is granted.
-- @key state    roundState
-- @key log      roundLog
-- @arg channel  where the notice is published
-- @arg epoch    the epoch the engine believes in
-- @arg pool     the pool's place, 0 is `general`
-- @arg add      how much, an integer other than zero
-- @arg most     what the total over all pools may not pass
-- @arg total    what the pool's total has to be now, empty where it may be anything
-- @arg hold     what the hold that begins is named by, empty where no worker may go on refusing
-- @arg request  the caller's request id: asked again, it changes nothing more
-- @arg dry      1 asks what would be and writes nothing; else empty
-- @reply [outcome, notice]: granted, replayed where this request did it before, changed (another total), below_granted, invalid
--        (over the most), wrong_state, unavailable (given up before it came: round-void.lua) or fenced; dry [granted, the
--        notice as it would be, as it is] or the same
-- @cost one HSET, one XADD, one PUBLISH; dry nothing
-- @include round
-- @include notice
-- @include log
-- @include shut
local round = round_read(KEYS[1], ARGV[2])
if not round or redis.call('EXISTS', KEYS[2]) == 0 then return { CODE.fenced } end
local known = redis.call('HGET', KEYS[1], 'request ' .. ARGV[8])
if known then return { known == 'void' and CODE.unavailable or CODE.replayed, round_notice(round) } end
local pool, add, before = tonumber(ARGV[3]), tonumber(ARGV[4]), round_notice(round)
if round.state == CLOSED and add > 0 then return { CODE.wrong_state, before } end
if ARGV[6] ~= '' and tonumber(ARGV[6]) ~= round.total[pool] then return { CODE.changed, before } end
if round.room[pool] + add < round.granted[pool] then return { CODE.below_granted, before } end
if round_remaining(round) + round.sequence + add > tonumber(ARGV[5]) then return { CODE.invalid, before } end
if round.state == OPEN and round_remaining(round) == 0 then shut_hold(round, ARGV[7]) end
round.total[pool] = round.total[pool] + add
if ARGV[9] == '1' then return { CODE.granted, round_notice(round), before } end
log_change(KEYS[2], round, 'restock ' .. pool, ARGV[8], add)
return { CODE.granted, round_write(round, ARGV[1], 't' .. pool, round.total[pool], 'hold', round.hold, 'holds_as', round.holds_as,
  'request ' .. ARGV[8], round.now) }
