-- Which engines may claim from a fenced round: `engines` is ` id:status …`, and a status is joining (registered, maybe not
-- yet on every replica), in, or left (it reported all it acknowledged in this epoch, and never answers from it again).

local function engine_status(engines, engine) return (engines or ''):match(' ' .. engine .. ':(%a+) ') end

local function engine_drop(engines, engine) return ((engines or ' '):gsub(' ' .. engine .. ':%a+ ', ' ')) end

local function engine_mark(engines, engine, status) return engine_drop(engines, engine) .. engine .. ':' .. status .. ' ' end

-- Whether an engine may claim: a round and its engines are of one level, and it has joined this epoch.
local function engine_admitted(round, engine)
  if not round.replid or engine == '' then return not round.replid and engine == '' end
  return engine_status(redis.call('HGET', round.key, 'engines'), engine) == 'in'
end
