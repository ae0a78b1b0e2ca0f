-- The rivals' claim: one user, one EVALSHA. Used by nginx, Fastify and redis-benchmark alike, so that they differ
-- only in what stands in front of Redis. It is what the better public projects run: dedupe by user in a HASH,
-- a stock counter, a sequence. It has no window, no pause, no pools, no log of grants, no stock version, no
-- publish and no epoch: each of them would cost the rivals more, so leaving them out is in their favour.
--
-- Four commands a grant, two a refusal, chosen by measuring: with stock and sequence as two keys, read by one MGET,
-- Redis used a third more CPU a grant. The sequence is therefore what is missing from the stock.
--
-- @key holders  HASH user -> sequence
-- @key left     STRING what is left of the stock; written once when the rival starts
-- @arg user     the user's id
-- @arg stock    the round's stock
-- @reply {0, sequence} granted, {1, sequence} held before, {3, 0} sold out
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held then
  return { 1, tonumber(held) }
end
if redis.call('GET', KEYS[2]) == '0' then
  return { 3, 0 }
end
local sequence = ARGV[2] - redis.call('DECR', KEYS[2])
redis.call('HSET', KEYS[1], ARGV[1], sequence)
return { 0, sequence }
