#!lua
-- Publishes the rules of a window and opens it to entries: the first one, or one again in which nobody entered and whose
-- time is over. Rules that somebody entered under are never replaced, and none are published that this would be late for.
-- @key draw     roundDraw
-- @key bundle   roundBundle
-- @arg window   the window's number
-- @arg rules    rules.json
-- @arg closes   when entries end, milliseconds since 1970
-- @arg latest   after this the window would open late, milliseconds since 1970
-- @arg new      1 when the round is being made: only then may the state be missing
-- @reply [outcome, now]: granted; replayed when the window stands already; not_open when it is too late for these rules; fenced
--        when the state is missing
-- @cost two HSET
local draw = redis.call('HMGET', KEYS[1], 'window', 'phase', 'first', 'entries', 'closes')
local time = redis.call('TIME')
local now = math.floor(time[1] * 1000 + time[2] / 1000)
local phase = ARGV[2] == '' and 'new' or 'open'
if not draw[1] and ARGV[5] ~= '1' then return { CODE.fenced } end
if draw[1] then
  local over = now >= tonumber(draw[5])
  local renews = draw[2] == 'open' and draw[3] == draw[4] and over and draw[1] == ARGV[1]
  if not renews and draw[2] ~= 'new' then return { CODE.replayed, now } end
end
if phase == 'open' and now > tonumber(ARGV[4]) then return { CODE.not_open, now } end
if not draw[1] then redis.call('HSET', KEYS[1], 'first', 0, 'entries', 0, 'base', 0, 'owner', '', 'until', 0) end
redis.call('HSET', KEYS[1], 'window', ARGV[1], 'phase', phase, 'closes', ARGV[3], 'shed', 0, 'opened', now)
if phase == 'open' then redis.call('HSET', KEYS[2], 'rules.json', ARGV[2]) end
return { CODE.granted, now }
