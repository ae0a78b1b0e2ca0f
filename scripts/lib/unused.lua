-- Money that nobody will use goes back: to `returned`, or to `available`, where new rounds may commit it again.
local function unused_add(budget, account, amount)
  if account == 'available' and amount > 0 and redis.call('HEXISTS', budget, 'sum') == 1 then
    redis.call('HINCRBY', budget, 'sum', digits(-amount))
  end
end
