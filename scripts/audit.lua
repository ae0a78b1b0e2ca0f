#!lua
-- Appends one entry to the audit log, chained to the one before it; an entry that is sent again counts once.
-- It never refuses: an operator must be able to stop a release when this log was damaged, and the damage stays visible
-- in the numbers and in the chain.
-- @key state    auditState
-- @key log      auditLog
-- @arg request  the entry's id
-- @arg who      the caller's id, which holds no key
-- @arg action   method and route
-- @arg target   the path that was asked
-- @arg body     the body as JSON
-- @arg outcome  asked, then the status or the code of the answer
-- @reply [outcome]: granted
-- @cost one XADD, one HSET
local f = redis.call('HMGET', KEYS[1], 'entries', 'chain', 'last', 'request ' .. ARGV[1])
if f[4] then return { CODE.granted } end
local time = redis.call('TIME')
local at = string.format('%.0f', math.max(math.floor(time[1] * 1000 + time[2] / 1000), tonumber(f[3] or 0)))
local number = string.format('%.0f', tonumber(f[1] or 0) + 1)
local chain = redis.sha1hex(table.concat({ f[2] or '', number, at, unpack(ARGV) }, '\n'))
redis.call('XADD', KEYS[2], '*', 'number', number, 'at', at, 'request', ARGV[1], 'who', ARGV[2], 'action', ARGV[3],
  'target', ARGV[4], 'body', ARGV[5], 'outcome', ARGV[6], 'chain', chain)
redis.call('HSET', KEYS[1], 'entries', number, 'chain', chain, 'last', at, 'request ' .. ARGV[1], number)
return { CODE.granted }
