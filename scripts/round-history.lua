#!lua
-- Looks whether a round is in the history that it was in, at the levels below fenced: a server's replication id names it.
-- A copy that was promoted, and a log that lacks what somebody was shown (a version, or another epoch), are another history
-- and begin an epoch of their own, so that nobody compares versions of the two; a restart on the same log is none. A fenced
-- round is fence-bind.lua's.
-- @key state    roundState
-- @arg channel  where the notice is published
-- @arg epoch    the epoch that the engine was shown, empty where it knows none
-- @arg version  the highest version of it that the engine was shown
-- @arg next     the epoch to begin in another history, 16 hex digits
-- @reply [outcome, notice]: granted when an epoch began, replayed when none had to, fenced when there is no state
-- @cost one INFO, one HGET; where the history is another one HSET, and a PUBLISH where an epoch begins
-- @include round
-- @include notice
local round = round_read(KEYS[1], '')
if not round then return { CODE.fenced } end
if round.replid then return { CODE.replayed, round_notice(round) } end
local server, history = round_server(), redis.call('HGET', KEYS[1], 'history')
-- Redis keeps the id of the history that it was promoted from, and none behind a start on its own log.
local promoted = redis.call('INFO', 'replication'):match('master_replid2:0*(%x*)') ~= ''
local lacks = ARGV[2] == round.epoch and tonumber(ARGV[3]) > round.version
local elsewhere = ARGV[2] ~= '' and ARGV[2] ~= round.epoch
if lacks or (history and history ~= server and (promoted or elsewhere)) then
  round.epoch = ARGV[4]
  return { CODE.granted, round_write(round, ARGV[1], 'epoch', round.epoch, 'history', server, 'state', round.state) }
end
if history ~= server then redis.call('HSET', KEYS[1], 'history', server) end
return { CODE.replayed, round_notice(round) }
