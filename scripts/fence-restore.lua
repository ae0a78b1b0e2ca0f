#!lua
-- Gives grants of an engine's journal back to their holders after a fail-over that lost them: same sequence, pool, moment.
-- Only places that nobody else can have are filled. What contradicts is noted once and changes nothing.
-- @key state     roundState
-- @key holders   roundHolders
-- @key log       roundLog
-- @key restored  roundRestored
-- @arg channel   where the notice is published; before the round is bound here beside it, since readers still are in the old life
-- @arg epoch     the epoch that the engine saw
-- @arg engine    whose journal it is
-- @arg reported  with the last of it: the epochs of which this engine has reported all that it ever acknowledged
-- @arg grants    lines of `sequence pool at holder`, at most 512
-- @arg server    the server whose round was looked at; the journal of a longer round may lack what a shorter one lost
-- @reply [outcome, notice, restored, conflicts]: granted with how many were given back and contradict; fenced
-- @cost one HGET and one ZRANGEBYSCORE a grant, one HSET and one ZADD a grant given back, one HSET, one PUBLISH
-- @include round
-- @include notice
-- @include log
-- @include engines
-- @include aside
-- @include reopen
local round = round_read(KEYS[1], '')
if not round or round.epoch ~= ARGV[2] or (ARGV[6] ~= '' and ARGV[6] ~= round_server()) then return { CODE.fenced } end
local here = round.replid == round_server()
local f, restored, conflicts, first = redis.call('HMGET', KEYS[1], 'engines', 'owed'), 0, 0, math.huge
for sequence, pool, at, holder in ARGV[5]:gmatch('(%d+) (%d+) (%d+) (%S+)\n') do
  local held, aside, why = redis.call('HGET', KEYS[2], holder), tonumber(sequence) <= round.sequence, nil
  sequence, pool = tonumber(sequence), tonumber(pool)
  local known = redis.call('ZRANGEBYSCORE', KEYS[4], sequence, sequence)[1]
  if held then
    why = struct.unpack('>I4', held) ~= sequence and 'holds another'
    -- An engine that was only asked again knows a later moment than the one that granted: the first moment is true.
    if not why and known and tonumber(known:match('^%d+ %d+ (%d+)')) > tonumber(at) then
      redis.call('ZREM', KEYS[4], known)
      redis.call('ZADD', KEYS[4], sequence, sequence .. ' ' .. pool .. ' ' .. at .. ' ' .. holder)
    end
  elseif pool >= round.pools or (aside and not aside_holds(round, sequence)) or (not aside and here) then
    why = 'not set aside'
  elseif known then why = 'taken'
  else
    why = not aside_take(round, pool, aside, KEYS[3]) and 'no stock'
  end
  if why and redis.call('HSETNX', KEYS[1], 'conflict ' .. sequence .. ' ' .. holder, why) == 1 then
    conflicts = conflicts + 1
    log_change(KEYS[3], round, 'conflict: ' .. why, holder, sequence)
  elseif not why and not held then
    restored, round.now, first = restored + 1, math.max(round.now, tonumber(at)), math.min(first, tonumber(at))
    redis.call('HSET', KEYS[2], holder, struct.pack('>I4B', sequence, pool))
    redis.call('ZADD', KEYS[4], sequence, sequence .. ' ' .. pool .. ' ' .. at .. ' ' .. holder)
  end
end
local engines, owed = f[1] or ' ', f[2] or ' '
for epoch in ARGV[4]:gmatch('%x+') do
  if epoch == round.epoch and not here then engines = engine_mark(engines, ARGV[3], 'left') end
  if here then owed = owed:gsub(' ' .. ARGV[3] .. ':' .. epoch .. ' ', ' ') end
end
if here and owed == ' ' and (f[2] or ' ') ~= ' ' then aside_release(round, KEYS[3], 'all told') end
local fields = { 'engines', engines, 'owed', owed, 'ranges', round.ranges or '' }
if restored > 0 and round.state == SCHEDULED then reopen(round, KEYS[3], first, fields) end
return { CODE.granted, round_write(round, here and ARGV[1] or ARGV[1] .. ':unbound', aside_counts(round, fields)), restored, conflicts }
