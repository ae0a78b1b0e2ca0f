#!lua
-- Publishes files of a draw's proof and goes on to the next phase, once: whoever comes later finds what stands. Whoever
-- comes first may publish what follows from the commitment, since it is the same from everybody and a slow worker must not
-- lose its work; the commitment carries a time, so it is taken from the worker that has the draw in hand only.
-- @key draw     roundDraw
-- @key bundle   roundBundle
-- @arg owner    the worker
-- @arg lease    ms
-- @arg window   the window's number
-- @arg from     the phase that the files end
-- @arg to       the phase that they begin
-- @arg file     a file's name; this and its bytes once a file
-- @arg bytes    the file
-- @reply [outcome]: granted; replayed when that phase is over; wrong_state when another worker is to commit; fenced
-- @cost two HSET
local draw = redis.call('HMGET', KEYS[1], 'window', 'phase', 'owner')
if not draw[1] then return { CODE.fenced } end
if draw[1] ~= ARGV[3] or draw[2] ~= ARGV[4] then return { CODE.replayed } end
if ARGV[4] == 'closed' and draw[3] ~= ARGV[1] then return { CODE.wrong_state } end
local time = redis.call('TIME')
redis.call('HSET', KEYS[2], unpack(ARGV, 6))
redis.call('HSET', KEYS[1], 'phase', ARGV[5], 'until', tonumber(time[1]) * 1000 + tonumber(ARGV[2]))
return { CODE.granted }
