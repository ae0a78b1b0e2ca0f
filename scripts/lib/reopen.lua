-- Opens a round whose opening was lost: a grant that is given back shows that there was one, at its moment or before. Until
-- every worker has received that, nobody is granted anything.
local function reopen(round, log, at, fields)
  round_hold(round, 'opened', CODE.not_open)
  round.state, round.opens = OPEN, at
  log_change(log, round, 'open', 'given back', 0)
  for _, word in ipairs({ 'state', OPEN, 'opens', at, 'hold', round.hold, 'holds_as', round.holds_as }) do
    fields[#fields + 1] = word
  end
end
