-- The order of arrival in a strict round. Every worker says up to which stamp nothing older will come from it (its
-- mark); what lies below the lowest mark can be allotted. Stamps and marks are microseconds since 1970 by the engine's
-- clocks; when a worker was seen is Redis's clock, in microseconds too. A HASH: frontier (all up to it is allotted), late,
-- since (somebody waits since then, 0 for nobody), woken (when marks were last called for), patience (how long a silent
-- worker is waited for), `w:<worker>`: `<mark> <seen>`.
local PATIENCE_US, WAKE_US = 50000, 1000

local function order_read(key)
  local time = redis.call('TIME')
  local order = { frontier = 0, late = 0, since = 0, woken = 0, patience = PATIENCE_US, workers = {} }
  order.now = time[1] * 1000000 + time[2]
  local flat = redis.call('HGETALL', key)
  for i = 1, #flat, 2 do
    if flat[i]:sub(1, 2) == 'w:' then
      local mark, seen = flat[i + 1]:match('(%d+) (%d+)')
      order.workers[flat[i]] = { mark = tonumber(mark), seen = tonumber(seen) }
    else
      order[flat[i]] = tonumber(flat[i + 1])
    end
  end
  -- What lies ahead of a clock that was set back begins anew.
  order.since, order.woken = math.min(order.since, order.now), math.min(order.woken, order.now)
  return order
end

local function order_words(worker) return string.format('%.0f %.0f', worker.mark, worker.seen) end

-- Takes a worker's mark in and gives the lowest of all. Who holds up `oldest`, the first that waits, for too long is dropped.
local function order_low(order, key, worker, mark, oldest)
  order.workers[worker] = { mark = mark, seen = order.now }
  local low = mark
  for name, other in pairs(order.workers) do
    if other.seen > order.now then
      other.seen = order.now
      redis.call('HSET', key, name, order_words(other))
    end
    local silent = order.since > 0 and order.now - math.max(other.seen, order.since) > order.patience
    if oldest and silent and other.mark < oldest then redis.call('HDEL', key, name) else low = math.min(low, other.mark) end
  end
  return low
end

-- Writes what changed. While somebody waits, workers are called for their marks, once a millisecond at most.
local function order_write(order, key, worker, channel, oldest)
  if not oldest then order.since = 0 elseif order.since == 0 then order.since = order.now end
  if oldest and order.now - order.woken >= WAKE_US then
    order.woken = order.now
    redis.pcall('PUBLISH', channel, 'awaits ' .. string.format('%.0f', oldest))
  end
  redis.call('HSET', key, worker, order_words(order.workers[worker]), 'late', order.late, 'frontier',
    string.format('%.0f', order.frontier), 'since', string.format('%.0f', order.since), 'woken',
    string.format('%.0f', order.woken))
end
