#!lua
-- Turns a round from one state to the next: open, pause, resume, close. The table is the state machine.
-- @key state    roundState
-- @key log      roundLog
-- @arg channel  where the notice is published
-- @arg epoch    the epoch the engine believes in
-- @arg verb     open, pause, resume or close
-- @arg hold     what the hold that begins is named by, empty where no worker may go on refusing
-- @arg request  the caller's request id: asked again, it changes nothing more
-- @arg dry      1 asks what would be and writes nothing; else empty
-- @reply [outcome, notice]: granted, replayed where this request did it before, wrong_state or fenced; dry [granted, the notice as
--        it would be, as it is] or the same
-- @cost one HSET, one XADD, one PUBLISH; dry nothing
-- @include round
-- @include notice
-- @include log
-- @include shut
local TURNS = {
  open = { [SCHEDULED] = OPEN },
  pause = { [OPEN] = PAUSED },
  resume = { [PAUSED] = OPEN },
  close = { [SCHEDULED] = CLOSED, [OPEN] = CLOSED, [PAUSED] = CLOSED },
}
local round = round_read(KEYS[1], ARGV[2])
if not round or redis.call('EXISTS', KEYS[2]) == 0 then return { CODE.fenced } end
if redis.call('HEXISTS', KEYS[1], 'request ' .. ARGV[5]) == 1 then return { CODE.replayed, round_notice(round) } end
local before, to = round_notice(round), TURNS[ARGV[3]][round.state]
if not to then return { CODE.wrong_state, before } end
if to == OPEN then shut_hold(round, ARGV[4]) end
round.state = to
if ARGV[3] == 'open' then round.opens = round.now end
if ARGV[3] == 'close' then round.closes = round.now end
if ARGV[6] == '1' then return { CODE.granted, round_notice(round), before } end
log_change(KEYS[2], round, ARGV[3], ARGV[5], 0)
return { CODE.granted, round_write(round, ARGV[1], 'state', to, 'opens', round.opens, 'closes', round.closes,
  'hold', round.hold, 'holds_as', round.holds_as, 'request ' .. ARGV[5], round.now) }
