-- What a fail-over sets aside at the level fenced: sequences, and the stock that goes with them. `ranges` is `from-to,…`;
-- an `r` behind a range says that it was released, so never to be filled.

-- Whether a sequence is set aside and not released.
local function aside_holds(round, sequence)
  for from, to, released in (round.ranges or ''):gmatch('(%d+)-(%d+)(r?)') do
    if sequence >= tonumber(from) and sequence <= tonumber(to) then return released == '' end
  end
  return false
end

-- Takes a place for a grant of `pool` that is restored, of what is quarantined or of what is left; where the pool has
-- none one moves from another pool, since nobody knows whose the lost grants were. False when nothing is left.
local function aside_take(round, pool, aside, log)
  local function places(p) return aside and round.quarantined[p] or round.room[p] - round.granted[p] end
  local from = pool
  for p = 0, round.pools - 1 do if places(from) <= 0 then from = p end end
  if places(from) <= 0 then return false end
  if from ~= pool then log_change(log, round, 'moved', from .. ' ' .. pool, 1) end
  if aside then round.quarantined[from] = round.quarantined[from] - 1 end
  round.total[from] = round.total[from] - 1
  round.total[pool] = round.total[pool] + 1
  round.granted[pool] = round.granted[pool] + 1
  for p = 0, round.pools - 1 do round.room[p] = round.total[p] - round.quarantined[p] end
  return true
end

-- Gives what is quarantined back to its pools and shuts the ranges; a dry call has no log.
local function aside_release(round, log, request)
  local back = 0
  for p = 0, round.pools - 1 do
    back = back + round.quarantined[p]
    round.quarantined[p], round.room[p] = 0, round.total[p]
  end
  round.ranges = (round.ranges or ''):gsub('(%d+-%d+)r?', '%1r')
  if back > 0 and log then log_change(log, round, 'release', request, back) end
end

-- Sets aside what lies between the last sequence and `start`; `missing` of them are nobody's that is known. Unless it is
-- certain that no answer had them, as many packs are quarantined with them, as far as there is stock.
local function aside_add(round, start, missing, uncertain)
  local range = (round.sequence + 1) .. '-' .. start .. (uncertain and '' or 'r')
  round.ranges = ((round.ranges or '') == '' and '' or round.ranges .. ',') .. range
  for p = 0, uncertain and round.pools - 1 or -1 do
    local some = math.max(0, math.min(missing, round.room[p] - round.granted[p]))
    round.quarantined[p], round.room[p], missing = round.quarantined[p] + some, round.room[p] - some, missing - some
  end
end

-- The counts of all pools, as fields to be written.
local function aside_counts(round, fields)
  for p = 0, round.pools - 1 do
    for name, counts in pairs({ t = round.total, g = round.granted, q = round.quarantined }) do
      fields[#fields + 1], fields[#fields + 2] = name .. p, counts[p]
    end
  end
  return unpack(fields)
end
