#!lua
-- Moves a lapsed seat of a draw that is over down the waitlist: one more pack for the seat's pool, its grant to the next in
-- line, and the line that says so, in one atom.
-- @key state    roundState
-- @key holders  roundHolders
-- @key log      roundLog
-- @key draw     roundDraw
-- @key bundle   roundBundle
-- @arg channel  where the notice is published
-- @arg epoch    the epoch the engine believes in
-- @arg before   how many bytes of promotions.log the engine has read
-- @arg line     the line to append
-- @arg user     MessagePack array of the one holder key
-- @arg holder   the holder key
-- @arg pool     the pool's place
-- @reply [outcome, notice]: granted; wrong_state when the log has other lines by now, or the draw is not over; fenced
-- @cost four HSET, one XADD, one PUBLISH
-- @include round
-- @include notice
local round = round_read(KEYS[1], ARGV[2])
local phase = redis.call('HGET', KEYS[4], 'phase')
if not round or not phase or redis.call('HLEN', KEYS[2]) ~= round.sequence then return { CODE.fenced } end
local log = redis.call('HGET', KEYS[5], 'promotions.log') or ''
if phase ~= 'done' or #log ~= tonumber(ARGV[3]) then return { CODE.wrong_state, round_notice(round) } end
local pool = tonumber(ARGV[7])
round.sequence = round.sequence + 1
round.total[pool], round.granted[pool] = round.total[pool] + 1, round.granted[pool] + 1
redis.call('HSET', KEYS[2], ARGV[6], struct.pack('>I4B', round.sequence, pool))
redis.call('XADD', KEYS[3], round.sequence .. '-*', 'at', round.now, 'users', ARGV[5], 'pools', string.char(pool))
redis.call('HSET', KEYS[5], 'promotions.log', log .. ARGV[4])
return { CODE.granted, round_write(round, ARGV[1], 'sequence', round.sequence, 't' .. pool, round.total[pool],
  'g' .. pool, round.granted[pool]) }
