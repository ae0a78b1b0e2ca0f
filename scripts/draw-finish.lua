#!lua
-- Ends the draw of a window whose winners are granted: the next window opens to what is left, or the round is drawn. A window
-- is not opened late under its rules; the engine makes new ones.
-- @key state    roundState
-- @key draw     roundDraw
-- @key bundle   roundBundle
-- @arg channel  where the notice is published
-- @arg epoch    the epoch the engine believes in
-- @arg window   the window that was drawn
-- @arg rules    rules.json of the next window, or nothing when there is to be none
-- @arg closes   when entries of the next window end, milliseconds since 1970
-- @arg latest   after this the next window would open late, milliseconds since 1970
-- @reply [outcome, notice]: granted; replayed when that window was ended before; not_open when it is too late for these rules;
--        fenced
-- @cost three HSET, one PUBLISH
-- @include round
-- @include notice
local round = round_read(KEYS[1], ARGV[2])
local draw = redis.call('HMGET', KEYS[2], 'window', 'phase', 'entries', 'final')
if not round or not draw[1] then return { CODE.fenced } end
if draw[1] ~= ARGV[3] or draw[2] ~= 'drawn' then return { CODE.replayed, round_notice(round) } end
local over = draw[4] == '1' or (round.closes > 0 and round.now >= round.closes)
local goes_on = not over and ARGV[4] ~= '' and round_remaining(round) > 0
if goes_on and round.now > tonumber(ARGV[6]) then return { CODE.not_open, round_notice(round) } end
round.state = goes_on and OPEN or DRAWN
if goes_on then
  redis.call('HSET', KEYS[2], 'window', draw[1] + 1, 'phase', 'open', 'first', draw[3], 'closes', ARGV[5], 'shed', 0,
    'opened', round.now)
  redis.call('HSET', KEYS[3], 'rules.json', ARGV[4])
else
  redis.call('HSET', KEYS[2], 'phase', 'done')
end
return { CODE.granted, round_write(round, ARGV[1], 'state', round.state) }
