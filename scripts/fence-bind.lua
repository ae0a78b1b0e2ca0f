#!lua
-- Binds a fenced round to the server that it is on now, under a new epoch: the end of a recovery. Engines that believe
-- in the old epoch are refused from then on, wherever they write. When every engine that could have acknowledged
-- something has reported all, the next grant stands behind what they reported; else behind all that may have been granted, and
-- what lies between is quarantined. Asked again, or by several engines at once, it happens once.
-- @key state     roundState
-- @key log       roundLog
-- @key restored  roundRestored
-- @arg channel   where the notice is published
-- @arg epoch     the epoch to be ended
-- @arg next      the epoch to begin, 16 hex digits
-- @arg patience  ms to wait for engines that have not reported, from the first asking on
-- @arg hold      what the hold that begins is named by, empty where no worker may go on refusing
-- @arg server    the server that was given what was lost
-- @reply [outcome, notice, missing]: granted with how many sequences were set aside, replayed when another engine ended
--        the epoch, unavailable while engines are waited for, fenced when there is no state
-- @cost one HMGET, one ZREVRANGE, one ZCOUNT, one XADD, one HSET, one PUBLISH
-- @include round
-- @include notice
-- @include log
-- @include aside
local round = round_read(KEYS[1], '')
if not round or redis.call('EXISTS', KEYS[2]) == 0 then return { CODE.fenced } end
if ARGV[6] ~= '' and ARGV[6] ~= round_server() then return { CODE.fenced } end
if round.epoch ~= ARGV[2] then return { CODE.replayed, round_notice(round), 0 } end
local server = round_server()
local f = redis.call('HMGET', KEYS[1], 'engines', 'pending', 'owed', 'waits')
local here, owed, silent = round.replid == server, f[3] or ' ', 0
for engine, status in (f[1] or ''):gmatch('([%w_]+):(%a+)') do
  if status ~= 'left' and not here then
    silent = silent + 1
    owed = owed .. engine .. ':' .. round.epoch .. ' '
  end
end
-- Patience is a time on this server's own clock; where that was set back it begins anew.
local since = tonumber(((f[4] or ''):match('^' .. server .. ' (%d+)')))
if since and since > round.clock then since = nil end
if silent > 0 and round.clock - (since or round.clock) < tonumber(ARGV[4]) then
  if not since then redis.call('HSET', KEYS[1], 'waits', server .. ' ' .. round.clock) end
  return { CODE.unavailable, round_notice(round), 0 }
end
local top = redis.call('ZREVRANGE', KEYS[3], 0, 0, 'WITHSCORES')[2]
local start = math.max(round.sequence, tonumber(top) or 0)
if silent > 0 then start = math.max(start, round.reserve, tonumber(f[2])) else owed = f[3] or ' ' end
local missing = start - round.sequence - redis.call('ZCOUNT', KEYS[3], round.sequence + 1, start)
if missing > 0 then aside_add(round, start, missing, silent > 0) end
if round.state == OPEN then round_hold(round, ARGV[5], CODE.fenced) end
round.epoch, round.sequence = ARGV[3], start
log_change(KEYS[2], round, silent > 0 and 'bind, set aside' or 'bind, exact', ARGV[2], missing)
local fields = { 'epoch', ARGV[3], 'replid', server, 'sequence', start, 'reserve', start, 'pending', start, 'engines', ' ',
  'owed', owed, 'waits', '', 'hold', round.hold, 'holds_as', round.holds_as, 'ranges', round.ranges or '' }
return { CODE.granted, round_write(round, ARGV[1], aside_counts(round, fields)), missing }
