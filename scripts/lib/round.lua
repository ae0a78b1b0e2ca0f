-- The state of a round: read, judged, written and announced by every round script in the same words.
-- Pools are fields t0 g0 t1 g1 … (total and granted); pool 0 is `general`. Numbers stay below 2^53.
local SCHEDULED, OPEN, PAUSED, CLOSED, DRAWING, DRAWN = 1, 2, 3, 4, 5, 6

-- The state as a table, or nil when it is missing or of another epoch: then nothing may be done (fenced).
local function round_read(key, epoch)
  local f = redis.call('HMGET', key, 'epoch', 'version', 'state', 'opens', 'closes', 'last', 'sequence', 'pools', 't0', 'g0',
    'holds', 'holds_as')
  if not f[1] or (epoch ~= '' and f[1] ~= epoch) then return nil end
  local time = redis.call('TIME')
  local now = math.floor(time[1] * 1000 + time[2] / 1000)
  local round = {
    key = key, epoch = f[1], version = tonumber(f[2]), state = tonumber(f[3]), opens = tonumber(f[4]),
    closes = tonumber(f[5]), now = math.max(now, tonumber(f[6])), sequence = tonumber(f[7]),
    holds = tonumber(f[11]) or 0, holds_as = tonumber(f[12]) or 0, pools = tonumber(f[8]), total = { [0] = tonumber(f[9]) }, granted = { [0] = tonumber(f[10]) },
  }
  for pool = 1, round.pools - 1 do
    local p = redis.call('HMGET', key, 't' .. pool, 'g' .. pool)
    round.total[pool], round.granted[pool] = tonumber(p[1]), tonumber(p[2])
  end
  -- The stored state moves by itself at the round's times, on Redis's clock, which never goes back here.
  if round.state == SCHEDULED and round.opens > 0 and round.now >= round.opens then round.state = OPEN end
  if round.closes > 0 and round.now >= round.closes and round.state < CLOSED then round.state = CLOSED end
  return round
end

-- What is left over all pools.
local function round_remaining(round)
  local left = 0
  for pool = 0, round.pools - 1 do left = left + round.total[pool] - round.granted[pool] end
  return left
end

-- The notice: epoch version state sequence now opens closes, then total and granted of each pool.
local function round_notice(round)
  local words = { round.epoch, round.version, round.state, round.sequence, round.now, round.opens, round.closes }
  for pool = 0, round.pools - 1 do
    words[#words + 1] = round.total[pool]
    words[#words + 1] = round.granted[pool]
  end
  return table.concat(words, ' ')
end

-- Writes what changed, raises the version, and tells every worker. Returns the notice.
local function round_write(round, channel, ...)
  round.version = round.version + 1
  redis.call('HSET', round.key, 'version', round.version, 'last', round.now, ...)
  local notice = round_notice(round)
  redis.call('PUBLISH', channel, notice)
  return notice
end
