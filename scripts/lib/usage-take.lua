-- Takes a reversed amount off what its day cost, and a voucher that is active again off the counts of its limits.
local function usage_take(key, made, amount, restored)
  local takes = { restored and 1 or 0, restored and 1 or 0, amount }
  for i, field in ipairs(made.fields) do
    local counted = takes[i] > 0 and redis.call('HEXISTS', key, field) == 1
    if counted then redis.call('HINCRBY', key, field, digits(-takes[i])) end
  end
end
