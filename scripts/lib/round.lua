-- The state of a round: read, judged, written and announced by every round script in the same words.
-- Pools are fields t0 g0 q0 t1 g1 q1 … (total, granted, quarantined); pool 0 is `general`. Numbers stay below 2^53.
local SCHEDULED, OPEN, PAUSED, CLOSED, DRAWING, DRAWN = 1, 2, 3, 4, 5, 6

-- The name of this server's history: another one after each promotion, restart and restored file.
local function round_server() return redis.call('INFO', 'replication'):match('master_replid:(%x+)') end

-- Holds a round shut: `hold` is the name of the change, and as the same change may be made again on a server that never saw
-- it, the hold's own name has the server's with it. Whoever received the first one cannot end the second.
local function round_hold(round, hold, outcome)
  round.hold, round.holds_as = hold == '' and '' or hold .. '_' .. round_server():sub(1, 16), outcome
end

-- The state as a table, or nil when it is missing, of another epoch or, at the level fenced, bound to another server's
-- history: then nothing may be done (fenced). Readers give no epoch.
local function round_read(key, epoch)
  local f = redis.call('HMGET', key, 'epoch', 'version', 'state', 'opens', 'closes', 'last', 'sequence', 'pools', 't0', 'g0',
    'hold', 'holds_as', 'q0', 'ranges', 'replid', 'reserve')
  if not f[1] or (epoch ~= '' and f[1] ~= epoch) then return nil end
  if f[15] and epoch ~= '' and f[15] ~= round_server() then return nil end
  local time = redis.call('TIME')
  local now = math.floor(time[1] * 1000 + time[2] / 1000)
  local round = {
    key = key, epoch = f[1], clock = now, version = tonumber(f[2]), state = tonumber(f[3]), opens = tonumber(f[4]),
    closes = tonumber(f[5]), now = math.max(now, tonumber(f[6])), sequence = tonumber(f[7]),
    hold = f[11] or '', holds_as = tonumber(f[12]) or 0, pools = tonumber(f[8]), total = {}, granted = {},
    quarantined = {}, room = {}, given = 0, ranges = f[14], replid = f[15], reserve = tonumber(f[16]),
  }
  for pool = 0, round.pools - 1 do
    local p = pool == 0 and { f[9], f[10], f[13] } or redis.call('HMGET', key, 't' .. pool, 'g' .. pool, 'q' .. pool)
    round.total[pool], round.granted[pool], round.quarantined[pool] = tonumber(p[1]), tonumber(p[2]), tonumber(p[3]) or 0
    round.room[pool], round.given = round.total[pool] - round.quarantined[pool], round.given + round.granted[pool]
  end
  if (round.ranges or '') == '' then round.given = round.sequence end
  -- The stored state moves by itself at the round's times, on Redis's clock, which never goes back here.
  local stored = round.state
  if round.state == SCHEDULED and round.opens > 0 and round.now >= round.opens then round.state = OPEN end
  if round.closes > 0 and round.now >= round.closes and round.state < CLOSED then round.state = CLOSED end
  round.turned = round.state ~= stored
  return round
end

-- What is left over all pools.
local function round_remaining(round)
  local left = 0
  for pool = 0, round.pools - 1 do left = left + round.room[pool] - round.granted[pool] end
  return left
end
