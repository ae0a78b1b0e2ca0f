-- The ledger of one campaign: double entry in the atom of the change that is booked. Balances are integers that Redis
-- adds in 64 bits; a Lua number only ever carries one amount, below 2^52, and is written with %.0f. Each entry has the
-- SHA-1 of the one before it and of its own words, so none can be changed or dropped without changing all later ones.
local WORDS = { 'at', 'kind', 'ref', 'voucher', 'by', 'note', 'merchant', 'gross', 'pool', 'count', 'legs' }

-- An integer as text, without a digit lost.
local function digits(number)
  return string.format('%.0f', number)
end

-- The book with the campaign's clock (Redis's, never back; `ahead` is set by rehearsals only), or nil when the state or
-- a part of the ledger is missing: then nothing may be done (fenced).
local function ledger_open(state, balances, stream)
  local f = redis.call('HMGET', state, 'last', 'ahead', 'chain', 'entries', 'vouchers')
  if not f[1] or redis.call('XLEN', stream) ~= tonumber(f[4]) then return nil end
  local time = redis.call('TIME')
  local now = math.floor(time[1] * 1000 + time[2] / 1000) + tonumber(f[2] or 0)
  return {
    state = state, balances = balances, stream = stream, now = math.max(now, tonumber(f[1])), chain = f[3],
    entries = tonumber(f[4]), vouchers = tonumber(f[5]), puts = {}, adds = {},
  }
end

-- Books one entry: `legs` is account, amount, account, amount, …, which must sum to zero.
local function ledger_post(book, entry, legs)
  local sum, told = 0, {}
  for i = 1, #legs, 2 do
    sum = sum + legs[i + 1]
    hash_add(book, book.balances, legs[i], legs[i + 1])
    if legs[i + 1] ~= 0 then told[#told + 1] = legs[i] .. ' ' .. digits(legs[i + 1]) end
  end
  assert(sum == 0, 'the legs of a ledger entry do not sum to zero')
  entry.at, entry.legs = digits(book.now), table.concat(told, ' ')
  local fields, values = {}, { book.chain }
  for _, word in ipairs(WORDS) do
    local value = tostring(entry[word] or '')
    values[#values + 1] = value
    if value ~= '' then fields[#fields + 1], fields[#fields + 2] = word, value end
  end
  book.chain = redis.sha1hex(table.concat(values, '\n'))
  fields[#fields + 1], fields[#fields + 2] = 'chain', book.chain
  redis.call('XADD', book.stream, entry.at .. '-*', unpack(fields))
  book.entries = book.entries + 1
end

-- Writes what was put, moves the money of the entries and keeps where the book stands. What one script moves in an
-- account is below 2^52 too, since a campaign commits no more.
local function ledger_close(book)
  hash_write(book)
  redis.call('HSET', book.state, 'last', digits(book.now), 'chain', book.chain, 'entries', book.entries,
    'vouchers', book.vouchers)
end
