-- Hashes as a script of many changes writes them: what is put is read again at once, and goes to Redis as one command a
-- hash at the end. Each write inside a script is a command of its own in the log and on its way to replicas, and that
-- costs more than the change itself.

local function hash_get(book, key, field)
  local puts = book.puts[key]
  return puts and puts[field] or redis.call('HGET', key, field)
end

local function hash_put(book, key, field, value)
  local puts = book.puts[key] or {}
  book.puts[key], puts[field] = puts, value
end

-- Adds to a counter that nothing else of the script reads.
local function hash_add(book, key, field, amount)
  local adds = book.adds[key] or {}
  book.adds[key], adds[field] = adds, (adds[field] or 0) + amount
end

local function hash_write(book)
  for key, puts in pairs(book.puts) do
    local flat = {}
    for field, value in pairs(puts) do flat[#flat + 1], flat[#flat + 2] = field, value end
    redis.call('HSET', key, unpack(flat))
  end
  for key, adds in pairs(book.adds) do
    for field, amount in pairs(adds) do
      if amount ~= 0 then redis.call('HINCRBY', key, field, string.format('%.0f', amount)) end
    end
  end
end
