#!lua
-- Makes grants of a batch of a draw's winners, in the order of the result. A batch that was granted is not granted again.
-- @key state    roundState
-- @key holders  roundHolders
-- @key log      roundLog
-- @key draw     roundDraw
-- @arg channel  where the notice is published
-- @arg epoch    the epoch the engine believes in
-- @arg lease    ms, by which the worker's hold of the draw is prolonged
-- @arg first    the sequence of the first of them
-- @arg users    MessagePack array of holder keys, at most 512
-- @arg pools    a byte each: the pool whose seat it is
-- @reply [outcome, notice]: granted or replayed; sold_out when a pool has no such seat; fenced
-- @cost one HLEN, one HSET, one XADD, two HSET, one PUBLISH; 1.5 µs a grant
-- @include round
-- @include notice
local round = round_read(KEYS[1], ARGV[2])
local phase = redis.call('HGET', KEYS[4], 'phase')
if not round or not phase then return { CODE.fenced } end
local first, users, pools = tonumber(ARGV[4]), cmsgpack.unpack(ARGV[5]), ARGV[6]
if round.sequence >= first + #users - 1 then return { CODE.replayed, round_notice(round) } end
local whole = redis.call('HLEN', KEYS[2]) == round.sequence and redis.call('EXISTS', KEYS[3]) == 1
if not whole or phase ~= 'drawn' or round.sequence ~= first - 1 then return { CODE.fenced } end
local puts, granted = {}, round.granted
for i, user in ipairs(users) do
  local pool = pools:byte(i)
  granted[pool] = granted[pool] + 1
  puts[2 * i - 1], puts[2 * i] = user, struct.pack('>I4B', first + i - 1, pool)
end
for pool = 0, round.pools - 1 do
  if granted[pool] > round.total[pool] then return { CODE.sold_out } end
end
round.sequence = first + #users - 1
redis.call('HSET', KEYS[2], unpack(puts))
redis.call('XADD', KEYS[3], round.sequence .. '-*', 'at', round.now, 'users', ARGV[5], 'pools', pools)
redis.call('HSET', KEYS[4], 'until', round.clock + tonumber(ARGV[3]))
local counts = { 'sequence', round.sequence }
for pool = 0, round.pools - 1 do
  counts[#counts + 1], counts[#counts + 2] = 'g' .. pool, granted[pool]
end
return { CODE.granted, round_write(round, ARGV[1], unpack(counts)) }
