-- The notice: epoch version state sequence now opens closes, then total and granted of each pool; where a fail-over
-- set sequences aside, which, and how many of each pool nobody may have; while the round is held shut, `!` and the hold's name.
local function round_notice(round)
  local words = { round.epoch, round.version, round.state, round.sequence, round.now, round.opens, round.closes }
  for pool = 0, round.pools - 1 do
    words[#words + 1] = round.total[pool]
    words[#words + 1] = round.granted[pool]
  end
  if (round.ranges or '') ~= '' then words[#words + 1] = round.ranges .. ';' .. table.concat(round.quarantined, ',', 0, round.pools - 1) end
  if round.hold ~= '' then words[#words + 1] = '!' .. round.hold end
  return table.concat(words, ' ')
end

-- Writes what changed, raises the version, and publishes it to every worker. Returns the notice. Where it may not be published (an ACL) nothing
-- of it is undone: a notice may be lost on any way, and the checks of the engine name what they may not do.
local function round_write(round, channel, ...)
  round.version = round.version + 1
  redis.call('HSET', round.key, 'version', round.version, 'last', round.now, ...)
  local notice = round_notice(round)
  redis.pcall('PUBLISH', channel, notice)
  return notice
end

-- The notice for an answer that changes nothing. That the clock has turned the round is written first: what is published of
-- it must hold on a server whose clock is behind, too.
local function round_answer(round, channel)
  return round.turned and round_write(round, channel, 'state', round.state) or round_notice(round)
end
