#!lua
-- Takes the draw of a window in hand for one worker, for as long as the lease: closes a window whose time is over, or goes
-- on where another worker stopped. What a worker does then is the same for each of them, so a lease only saves work.
-- @key state    roundState
-- @key draw     roundDraw
-- @key log      roundLog
-- @arg channel  where the notice is published
-- @arg epoch    the epoch the engine believes in
-- @arg owner    the worker
-- @arg lease    ms
-- @arg draws    ms since 1970 before which nothing is drawn, 0 for none
-- @reply [outcome, notice, window, phase, first, entries, base, now]: granted to this worker; not_open when nothing is to
--        be drawn yet, replayed when nothing is any more; wrong_state while another worker has it; fenced
-- @cost one HSET; once a window one XADD, one PUBLISH
-- @include round
-- @include notice
-- @include log
local round = round_read(KEYS[1], ARGV[2])
local draw = redis.call('HMGET', KEYS[2], 'window', 'phase', 'first', 'entries', 'base', 'closes', 'owner', 'until', 'opened')
if not round or not draw[1] or redis.call('EXISTS', KEYS[3]) == 0 then return { CODE.fenced } end
local phase, base = draw[2], draw[5]
if phase == 'done' then return { CODE.replayed, round_notice(round) } end
if phase == 'new' or phase == 'open' then
  local over = phase == 'open' and round.state == OPEN and draw[3] ~= draw[4] and round.now >= tonumber(draw[6])
  if not over and round.state ~= CLOSED or round.now < tonumber(ARGV[5]) then
    return { CODE.not_open, round_notice(round) }
  end
  if draw[3] == draw[4] then
    redis.call('HSET', KEYS[2], 'phase', 'done')
    return { CODE.replayed, round_notice(round) }
  end
elseif draw[7] ~= ARGV[3] then
  -- By the clock as it is: a hold that ends later than a lease from now was taken before the clock was set back.
  local left = tonumber(draw[8]) - round.clock
  if left > 0 and left <= tonumber(ARGV[4]) then return { CODE.wrong_state, round_notice(round) } end
end
if phase == 'open' then
  phase, base = 'closed', round.sequence
  redis.call('HSET', KEYS[2], 'phase', phase, 'base', base, 'final', round.state == CLOSED and 1 or 0,
    'first ' .. draw[1], draw[3])
  round.state = DRAWING
  -- The log says with the draw when its window was opened, so that all of the window's times are in one place.
  log_change(KEYS[3], round, 'draw ' .. draw[1], '', math.min(tonumber(draw[9] or 0), round.now))
  round_write(round, ARGV[1], 'state', DRAWING)
end
redis.call('HSET', KEYS[2], 'owner', ARGV[3], 'until', round.clock + tonumber(ARGV[4]))
return { CODE.granted, round_notice(round), draw[1], phase, draw[3], draw[4], base, round.now }
