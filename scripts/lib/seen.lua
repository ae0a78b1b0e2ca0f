-- Who has entered: one string a bucket of users, made of slots of ten bytes that are used from the front, the rest 0xff.
--   slot   digest of the user (6) | place in the list of entries, from 1 (u32, big endian)
-- A bucket is as long as one of the allocator's sizes holds, and is written anew when it is full: APPEND would leave it
-- half empty, a hash costs half as much again for an entrant.
local SLOT, FREE, NOWHERE = 10, ('\255'):rep(10), 4294967295

local function seen_place(bucket, slot)
  local a, b, c, d = bucket:byte(slot * SLOT + 7, slot * SLOT + 10)
  return ((a * 256 + b) * 256 + c) * 256 + d
end

-- The place of a user's entry, or nil.
local function seen_find(bucket, digest)
  local from = 1
  while true do
    local at = bucket:find(digest, from, true)
    if not at then return nil end
    if (at - 1) % SLOT == 0 then
      local place = seen_place(bucket, (at - 1) / SLOT)
      return place < NOWHERE and place or nil
    end
    from = at + 1
  end
end

-- How many slots of a bucket are used.
local function seen_count(bucket)
  local from = 1
  while true do
    local at = bucket:find(FREE, from, true)
    if not at or (at - 1) % SLOT == 0 then return at and (at - 1) / SLOT or #bucket / SLOT end
    from = at + 1
  end
end

-- The bytes of a bucket that holds at least so many: the allocator's next size less the string's own six bytes.
local function seen_size(bytes)
  local size, step = 128, 32
  while size - 6 < bytes do
    size = size + step
    if size == 8 * step then step = 2 * step end
  end
  return size - 6 - (size - 6) % SLOT
end

-- Puts an entry into the bucket of `key`. `book` keeps how many slots and bytes the buckets of this batch have.
local function seen_put(book, key, bucket, slot)
  local known = book[key] or { used = seen_count(bucket), size = #bucket }
  book[key] = known
  local at = known.used * SLOT
  known.used = known.used + 1
  if at < known.size then
    redis.call('SETRANGE', key, ('%d'):format(at), slot)
  else
    known.size = seen_size(at + SLOT)
    redis.call('SET', key, redis.call('GETRANGE', key, 0, at) .. slot .. ('\255'):rep(known.size - at - SLOT))
  end
end
