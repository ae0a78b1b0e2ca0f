#!lua
-- Allots the claims of a strict round in the order of their arrival stamps. A worker registers its claims and reports its
-- mark; what every worker's mark has passed is decided, oldest stamp first, ties by a keyed hash. A worker that keeps the
-- others waiting for 50 ms is waited for no longer: what it brings behind the frontier is late, comes after everybody, and
-- is counted. A claim may be sent again at any time: who holds is found, who was passed over is decided again.
-- @key state    roundState
-- @key holders  roundHolders
-- @key log      roundLog
-- @key order    roundOrder
-- @key waiting  roundWaiting
-- @arg channel  where notices and calls for marks are published
-- @arg epoch    the epoch the engine believes in; another one is fenced
-- @arg worker   who asks
-- @arg mark     microseconds since 1970: no older claim will come from this worker but those that are sent here
-- @arg claims   the claims, at most 512, as scripts/lib/waiting.lua reads them
-- @arg vias     left out where no key with a scope asked, else the scopes of the claims as scripts/lib/allotment.lua reads them
-- @reply [outcome, notice, frontier, late, decided]: granted, else fenced. Those of the claims that are decided by now, 16
--        bytes each: index u16, outcome u8 (granted, replayed, sold_out, not_open, paused, closed), sequence u32, pool u8,
--        f64 ms since 1970 when it was granted, big endian. The others wait.
-- @cost two HMGET, two HSET, one HGETALL, three reads of the queue a call; 8 µs a claim more than claim.lua at 5,000 a second
-- @include round
-- @include notice
-- @include log
-- @include shut
-- @include order
-- @include waiting
-- @include allotment
local round = round_read(KEYS[1], ARGV[2])
if not round or redis.call('HLEN', KEYS[2]) ~= round.given or redis.call('EXISTS', KEYS[3]) == 0 then return { CODE.fenced } end
local order, worker, claims = order_read(KEYS[4]), 'w:' .. ARGV[3], waiting_claims(ARGV[5])
local held, puts, behind = waiting_held(KEYS[2], claims), {}, {}
local low = order_low(order, KEYS[4], worker, tonumber(ARGV[4]), waiting_oldest(KEYS[5]))
for i, claim in ipairs(claims) do
  if not held[i] and claim.stamp > order.frontier then
    puts[#puts + 1], puts[#puts + 2] = string.format('%.0f', claim.stamp), claim.member
  elseif not held[i] then
    behind[#behind + 1] = claim
    if not claim.again then order.late = order.late + 1 end
  end
end
if #puts > 0 then redis.call('ZADD', KEYS[5], unpack(puts)) end
local due, taken = waiting_take(KEYS[5], low)
order.frontier = math.max(order.frontier, taken)
for _, claim in ipairs(behind) do due[#due + 1] = claim end

local refused, records, granted = allotment_decide(round, due, waiting_held(KEYS[2], due))
local keys, notice, decided = { holders = KEYS[2], log = KEYS[3] }, round_answer(round, ARGV[1]), {}
if #granted > 0 then notice = allotment_write(round, keys, ARGV[1], records, granted) end
if ARGV[6] then allotment_scopes(KEYS[2], ARGV[6], claims, held, records) end
order_write(order, KEYS[4], worker, ARGV[1], waiting_oldest(KEYS[5]))
for i, claim in ipairs(claims) do
  local record, refusal = held[i] or records[claim.holder], refused[claim.member]
  if record then
    local outcome = record:sub(6, 13) == claim.tie and CODE.granted or CODE.replayed
    decided[#decided + 1] = struct.pack('>HB', i - 1, outcome) .. record:sub(1, 5) .. record:sub(14, 21)
  elseif refusal then
    decided[#decided + 1] = struct.pack('>HBI4Bd', i - 1, refusal, 0, claim.pool, 0)
  end
end
return { CODE.granted, notice, string.format('%.0f', order.frontier), order.late, table.concat(decided) }
