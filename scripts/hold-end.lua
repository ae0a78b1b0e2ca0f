#!lua
-- Ends the hold that a change which lets grants resume began: the worker that asks has waited, since it received the change,
-- for as long as any worker may go on refusing. Of a hold that is over, or another one's, nothing is changed.
-- @key state    roundState
-- @arg channel  where the notice is published
-- @arg epoch    the epoch the engine believes in
-- @arg hold     the hold's name
-- @reply [outcome, notice]: granted, also when it was over, or fenced
-- @cost one HMGET, one HSET, one PUBLISH
-- @include round
-- @include notice
local round = round_read(KEYS[1], ARGV[2])
if not round then return { CODE.fenced } end
if round.hold ~= ARGV[3] then return { CODE.granted, round_answer(round, ARGV[1]) } end
round.hold = ''
return { CODE.granted, round_write(round, ARGV[1], 'hold', '', 'state', round.state) }
