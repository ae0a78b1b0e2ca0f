-- When a round is shut to everybody who holds nothing, and that it stays so for a while after a change that opens it.
-- A worker may refuse for the lease without asking; so a round that was shut is held shut until a worker that received the
-- change has waited for the lease on a clock of its own and says so (hold-end.lua). Then no refusal is behind a grant,
-- whatever Redis's clock does.

-- The outcome of everybody who holds nothing, or nil while the round grants.
local function shut_outcome(round)
  if round.state == OPEN then return round.hold ~= '' and round.holds_as or nil end
  if round.state == DRAWN then return round_remaining(round) == 0 and CODE.sold_out or CODE.closed end
  return ({ [SCHEDULED] = CODE.not_open, [PAUSED] = CODE.paused, [CLOSED] = CODE.closed, [DRAWING] = CODE.not_open })[round.state]
end

-- What everybody gets who holds nothing when nothing is left in any pool: while packs are quarantined nobody can tell that
-- they are gone. Strict and drawn rounds never have any, since only the level fenced quarantines, and it has no such rounds.
local function shut_end(round)
  for pool = 0, round.pools - 1 do if round.quarantined[pool] > 0 then return CODE.fenced end end
  return CODE.sold_out
end

-- Called before a change that lets grants resume: what was said until now is said until the hold ends.
local function shut_hold(round, hold)
  local outcome = shut_outcome(round) or (round_remaining(round) == 0 and shut_end(round))
  if outcome then round_hold(round, hold, outcome) end
end
