-- When a round is shut to everybody who holds nothing, and for how long it stays so after a change that opens it.
-- A worker may refuse for the lease without asking; so a round that was shut grants nothing until the lease is over,
-- and no refusal is ever behind a grant.

-- The outcome of everybody who holds nothing, or nil while the round grants.
local function shut_outcome(round)
  if round.state == OPEN then return round.now < round.holds and round.holds_as or nil end
  if round.state == DRAWN then return round_remaining(round) == 0 and CODE.sold_out or CODE.closed end
  return ({ [SCHEDULED] = CODE.not_open, [PAUSED] = CODE.paused, [CLOSED] = CODE.closed, [DRAWING] = CODE.not_open })[round.state]
end

-- Called before a change that lets grants resume: what was said until now is said until the lease is over.
local function shut_hold(round, lease)
  local outcome = shut_outcome(round) or (round_remaining(round) == 0 and CODE.sold_out)
  if outcome then round.holds, round.holds_as = round.now + lease, outcome end
end
