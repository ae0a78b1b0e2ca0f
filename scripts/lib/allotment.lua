-- Grants in the order of arrival: who gets the next sequence, and how that is kept. A holder's record has 21 bytes here, the
-- first five as everywhere: sequence u32, pool u8, then the tie of the claim that won it, and f64 ms when it was granted.

-- Decides claims in their order. Gives the outcomes of the refused by member, the new records by holder (sequence u32, pool
-- u8, tie, f64 ms when it was granted), and holders and grants in turn as the log wants them.
local function allotment_decide(round, due, held)
  local refused, records, granted, shut = {}, {}, {}, shut_outcome(round)
  for i, claim in ipairs(due) do
    local pool = claim.pool
    if not held[i] and not records[claim.holder] then
      if shut or round.granted[pool] >= round.room[pool] then
        refused[claim.member] = shut or CODE.sold_out
      else
        round.granted[pool], round.sequence = round.granted[pool] + 1, round.sequence + 1
        local grant = struct.pack('>I4B', round.sequence, pool)
        records[claim.holder] = grant .. claim.tie .. struct.pack('>d', round.now)
        granted[#granted + 1], granted[#granted + 2] = claim.holder, grant
      end
    end
  end
  return refused, records, granted
end

-- Keeps the new records, the log's entry and the counts; publishes to every worker. Gives the notice.
local function allotment_write(round, keys, channel, records, granted)
  local puts, counts = {}, { 'sequence', round.sequence }
  for holder, record in pairs(records) do puts[#puts + 1], puts[#puts + 2] = holder, record end
  for pool = 0, round.pools - 1 do
    counts[#counts + 1], counts[#counts + 2] = 'g' .. pool, round.granted[pool]
  end
  local users, pools = log_repack(granted, #granted)
  redis.call('HSET', keys.holders, unpack(puts))
  redis.call('XADD', keys.log, round.sequence .. '-*', 'at', round.now, 'users', users, 'pools', pools)
  return round_write(round, channel, unpack(counts))
end
