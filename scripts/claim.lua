#!lua
-- Decides a batch of claims of one round: window, state, limit by slot (the holder key), pool, stock, sequence, log
-- entry, version and notice, in one atom. Nothing is ever compensated: who asks again gets the same. Sold out is decided here.
-- @key state    roundState
-- @key holders  roundHolders
-- @key log      roundLog
-- @arg channel  where the notice is published
-- @arg epoch    the epoch the engine believes in; another one is fenced
-- @arg users    MessagePack array of holder keys, at most 512
-- @arg pools    a byte a claim, or one byte for all
-- @arg engine   at the level fenced who asks, else empty
-- @arg vias     left out where no key with a scope asked, else as scripts/lib/scopes.lua reads it
-- @reply [outcome, notice, first, rest, exceptions, reserve]: granted when the batch was decided, unavailable when it passes
--        the reserve (nothing was done), else fenced. Claims not among the exceptions have the outcome `rest`: granted
--        (first, first+1, …), sold_out, not_open, paused, closed, fenced (a hold, or what is left of the pool is
--        quarantined). An exception is 8 bytes: index u16, outcome u8, sequence u32, pool u8, big endian.
-- @cost one HLEN, EXISTS, HMGET, HSET, XADD, HSET and PUBLISH a batch (fenced: INFO, HGET); 1.5 µs a grant, 0.3 a refusal
-- @include round
-- @include notice
-- @include log
-- @include scopes
-- @include shut
-- @include engines
local round = round_read(KEYS[1], ARGV[2])
if not round or not engine_admitted(round, ARGV[5]) then return { CODE.fenced } end
-- A round that lost its holders or its log would sell its places a second time.
if redis.call('HLEN', KEYS[2]) ~= round.given or redis.call('EXISTS', KEYS[3]) == 0 then return { CODE.fenced } end
local users, pools = cmsgpack.unpack(ARGV[3]), ARGV[4]
local held = redis.call('HMGET', KEYS[2], unpack(users))
local shut, room, granted, quarantined = shut_outcome(round), round.room, round.granted, round.quarantined
local rest = shut or (round_remaining(round) > 0 and CODE.granted or shut_end(round))
local first, one_pool = round.sequence + 1, #pools == 1 and pools:byte(1)
local seen, puts, puts_n, exceptions = {}, {}, 0, {}
for i = 1, #users do
  local user = users[i]
  local grant = held[i] or seen[user]
  if grant then
    exceptions[#exceptions + 1] = struct.pack('>HB', i - 1, CODE.replayed) .. grant
  else
    local pool = one_pool or pools:byte(i)
    local outcome = shut or granted[pool] < room[pool] and CODE.granted or quarantined[pool] > 0 and CODE.fenced or CODE.sold_out
    if outcome == CODE.granted then
      granted[pool] = granted[pool] + 1
      round.sequence = round.sequence + 1
      grant = struct.pack('>I4B', round.sequence, pool)
      seen[user] = grant
      puts[puts_n + 1], puts[puts_n + 2] = user, grant
      puts_n = puts_n + 2
    elseif outcome ~= rest then
      exceptions[#exceptions + 1] = struct.pack('>HBI4B', i - 1, outcome, 0, pool)
    end
  end
end
if round.sequence > (round.reserve or round.sequence) then return { CODE.unavailable } end
if puts_n == 0 then return { CODE.granted, round_answer(round, ARGV[1]), first, rest, table.concat(exceptions), round.reserve } end
redis.call('HSET', KEYS[2], unpack(puts))
log_claims(KEYS[3], round, ARGV, users, puts, puts_n)
local counts = { 'sequence', round.sequence }
for pool = 0, round.pools - 1 do counts[2 * pool + 3], counts[2 * pool + 4] = 'g' .. pool, granted[pool] end
return { CODE.granted, round_write(round, ARGV[1], unpack(counts)), first, rest, table.concat(exceptions), round.reserve }
