-- Claims of a strict round that wait for their turn: a ZSET by stamp, the member being tie (8 bytes), pool (1), holder. Of
-- one stamp the smaller tie comes first; a tie is a keyed hash, and shows whose claim it was that a holder was granted.
local ALLOT_MOST = 1024

-- Claims as a worker sends them: stamp f64, asked before (0 or 1), tie, pool, length of the holder key, the key.
local function waiting_claims(bytes)
  local claims, at = {}, 1
  while at <= #bytes do
    local stamp, again, tie, pool, holder, behind = struct.unpack('>dBc8BBc0', bytes, at)
    claims[#claims + 1] = { stamp = stamp, again = again == 1, tie = tie, pool = pool, holder = holder,
      member = tie .. string.char(pool) .. holder }
    at = behind
  end
  return claims
end

-- The stamp of the first that waits, or nil.
local function waiting_oldest(key) return tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]) end

-- Takes what is due up to `low`, oldest first, and says up to which stamp everything was taken.
local function waiting_take(key, low)
  local rows = redis.call('ZRANGEBYSCORE', key, '-inf', string.format('%.0f', low), 'WITHSCORES', 'LIMIT', 0, ALLOT_MOST)
  local due = {}
  for i = 1, #rows, 2 do
    local member = rows[i]
    due[#due + 1] = { member = member, tie = member:sub(1, 8), pool = member:byte(9), holder = member:sub(10) }
  end
  if #due > 0 then redis.call('ZREMRANGEBYRANK', key, 0, #due - 1) end
  return due, #due < ALLOT_MOST and low or tonumber(rows[#rows]) - 1
end

-- What the holder of each claim holds, by place.
local function waiting_held(key, claims)
  local holders = {}
  for i = 1, #claims do holders[i] = claims[i].holder end
  return #holders > 0 and redis.call('HMGET', key, unpack(holders)) or {}
end
