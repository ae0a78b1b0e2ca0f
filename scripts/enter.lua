#!lua
-- Takes a batch of claims into the open window of a drawn round: state, window, dedupe by user, record, list, in one
-- atom. A user who entered before keeps that entry, whatever they ask for now. Nothing is published: how many entered an
-- open window is nobody's to know. This is where an entry is late: by Redis's clock, at the window's end.
-- @key state    roundState
-- @key draw     roundDraw
-- @key batches  roundBatches
-- @key chunk    roundEntries
-- @key chunk2   roundEntries
-- @key chunk3   roundEntries
-- @key seen*    roundSeen
-- @arg epoch    the epoch the engine believes in; another one is fenced
-- @arg first    the number of the first of the three chunks
-- @arg shed     how many of 256 users this worker sheds; the most that any worker sheds is kept for the window
-- @arg claims   25 bytes a claim, at most 512: bucket u16, digest (6), tag (16), pool; its bucket's key is among the keys
-- @reply [outcome, notice, window, entries, rest, exceptions, shed]: granted when the batch was decided; wrong_state when
--        the list has `entries` by now and the chunks are others; fenced. Claims not among the exceptions have the outcome
--        `rest`: entered (at the places after `entries`), not_open, paused, closed, sold_out. An exception is 8 bytes:
--        index u16, replayed u8, place u32 (from 1), 0 u8, big endian.
-- @cost one MGET, a SETRANGE an entry, one XADD, two HSET a batch; 7 µs an entry with its log, 1 µs a repeat
-- @include round
-- @include notice
-- @include shut
-- @include seen
-- @include records
local round, claims = round_read(KEYS[1], ARGV[1]), ARGV[4]
local draw = redis.call('HMGET', KEYS[2], 'window', 'phase', 'entries', 'closes', 'shed')
if not round or not draw[1] then return { CODE.fenced } end
local entries, first, count = tonumber(draw[3]), tonumber(ARGV[2]), #claims / 25
-- A list that lost its batches or its records would be another list.
if entries > 0 and redis.call('EXISTS', KEYS[3]) == 0 then return { CODE.fenced } end
if not records_fit(entries, count, first, 3) then return { CODE.wrong_state, round_notice(round), draw[1], entries } end
local takes = draw[2] == 'open' and round.now < tonumber(draw[4])
local shut = shut_outcome(round) or (not takes and CODE.not_open) or nil
local shed = math.max(tonumber(draw[5]), tonumber(ARGV[3]))
local buckets = redis.call('MGET', unpack(KEYS, 7))
local records, exceptions, fresh, book = {}, {}, {}, {}
for i = 1, count do
  local at = i * 25 - 24
  local user, bucket = claims:sub(at, at + 7), buckets[i] or ''
  local place = fresh[user] or seen_find(bucket, user:sub(3))
  if place then
    exceptions[#exceptions + 1] = struct.pack('>HBI4B', i - 1, CODE.replayed, place, 0)
  elseif not shut then
    records[#records + 1] = claims:sub(at + 8, at + 24)
    fresh[user] = entries + #records
    seen_put(book, KEYS[6 + i], bucket, user:sub(3) .. struct.pack('>I4', fresh[user]))
  end
end
if #records > 0 then
  records_write({ KEYS[4], KEYS[5], KEYS[6] }, first, entries, table.concat(records))
  redis.call('XADD', KEYS[3], entries + #records .. '-0', 'at', round.now, 'window', draw[1])
  redis.call('HSET', KEYS[2], 'entries', entries + #records, 'shed', shed)
  redis.call('HSET', KEYS[1], 'last', round.now)
end
if round.turned then redis.call('HSET', KEYS[1], 'state', round.state, 'last', round.now) end
return { CODE.granted, round_notice(round), draw[1], entries, shut or CODE.entered, table.concat(exceptions), shed }
