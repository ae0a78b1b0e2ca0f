-- The list of entries: records of 17 bytes (tag, pool) in chunks of one length, each as long as one of the allocator's
-- sizes holds, so that a full chunk wastes nothing. A chunk is made whole at its first record and then written in place.
local RECORD, CHUNK = 17, 3854

-- Whether `count` records behind the first `n` lie within chunks that are `keys` many from number `first` on.
local function records_fit(n, count, first, keys)
  return math.floor(n / CHUNK) >= first and math.floor((n + count - 1) / CHUNK) < first + keys
end

-- Writes one batch's records behind the first `n`; `keys` are the chunks from number `first` on.
local function records_write(keys, first, n, records)
  local from = 1
  while from <= #records do
    local key, at = keys[math.floor(n / CHUNK) - first + 1], n % CHUNK
    local part = records:sub(from, from + (CHUNK - at) * RECORD - 1)
    if at == 0 then redis.call('SETRANGE', key, CHUNK * RECORD - 1, '\0') end
    redis.call('SETRANGE', key, at * RECORD, part)
    from, n = from + #part, n + #part / RECORD
  end
end
