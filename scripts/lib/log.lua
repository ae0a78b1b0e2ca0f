-- The round's log: one entry a change, in the order in which Redis decided. An entry's id is `<sequence>-<n>`, so the
-- entry that granted a sequence is the first whose id is not below it, and the log needs no clock.

-- The granted part of a batch, packed again: holder keys as a MessagePack array, and a byte of pool each.
local function log_repack(puts, puts_n)
  local users, pools = {}, {}
  for i = 1, puts_n, 2 do
    users[#users + 1], pools[#pools + 1] = puts[i], puts[i + 1]:sub(5)
  end
  return cmsgpack.pack(users), table.concat(pools)
end

-- Appends a change that grants nothing: what it was, who asked for it, and a number.
local function log_change(key, round, kind, request, amount)
  redis.call('XADD', key, round.sequence .. '-*', 'at', round.now, 'kind', kind, 'request', request, 'amount', amount)
end
