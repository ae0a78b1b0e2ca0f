-- Grants in the order of arrival: who gets the next sequence, and how that is kept. A holder's record has 21 bytes here, the
-- first five as everywhere: sequence u32, pool u8, then the tie of the claim that won it, and f64 ms when it was granted. Behind
-- them is the scope of the key by which that claim came, once its worker has asked for it: any worker may grant it, and what waits
-- has no room for a scope that older nodes would not take for a part of the holder.

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

-- Adds their scopes to the records that claims of this call won. `vias` is one scope for all claims, or the scopes in use with
-- commas, a line end, and u16 big endian a claim: the place of its scope, 0 for none.
local function allotment_scopes(key, vias, claims, held, records)
  local head, scopes, puts = vias:find('\n', 1, true), {}, {}
  for scope in vias:sub(1, head and head - 1):gmatch('[^,]+') do scopes[#scopes + 1] = scope end
  for i, claim in ipairs(claims) do
    local record, scope = held[i] or records[claim.holder], scopes[head and struct.unpack('>H', vias, head + 2 * i - 1) or 1]
    if record and scope and #record == 21 and record:sub(6, 13) == claim.tie then
      puts[#puts + 1], puts[#puts + 2] = claim.holder, record .. scope
    end
  end
  if #puts > 0 then redis.call('HSET', key, unpack(puts)) end
end
