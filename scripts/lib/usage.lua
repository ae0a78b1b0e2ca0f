-- Counting redemptions against the three limits of their campaign: per order, per merchant and day, money a day.

-- Counts one, or returns the number of the first limit that refuses. `most` is three numbers, 0 for none; what has no
-- limit is not counted.
local function usage_add(key, made, most)
  local fields, adds, limits = made.fields, { 1, 1, made.discount }, {}
  local refusals = { CODE.order_limit, CODE.merchant_limit, CODE.budget_exceeded }
  local before = redis.call('HMGET', key, unpack(fields))
  for limit in most:gmatch('%d+') do limits[#limits + 1] = tonumber(limit) end
  for i = 1, 3 do
    if limits[i] > 0 and tonumber(before[i] or 0) + adds[i] > limits[i] then return refusals[i] end
  end
  for i = 1, 3 do
    if limits[i] > 0 then redis.call('HINCRBY', key, fields[i], digits(adds[i])) end
  end
  return nil
end
