-- The ledger of one campaign: double entry in the atom of the change that is booked. Balances are integers that Redis
-- adds in 64 bits; a Lua number only ever carries one amount, below 2^52, and is written with %.0f. Each entry has the
-- SHA-1 of the one before it and of its own words, so none can be changed or dropped without changing all later ones.

-- An integer as text, without a digit lost; adding 0 makes minus zero zero, which Redis would not read.
local function digits(number)
  return string.format('%.0f', number + 0)
end

-- The book with Redis's clock and the campaign's (the same, but never back; `ahead` is set by rehearsals only), or nil when
-- the state or a part of the ledger is missing: then nothing may be done (fenced).
local function ledger_open(state, balances, stream)
  local f = redis.call('HMGET', state, 'last', 'ahead', 'chain', 'entries', 'vouchers')
  if not f[1] or redis.call('XLEN', stream) ~= tonumber(f[4]) then return nil end
  local time = redis.call('TIME')
  local clock = math.floor(time[1] * 1000 + time[2] / 1000)
  local now = math.max(clock + tonumber(f[2] or 0), tonumber(f[1]))
  return {
    state = state, balances = balances, stream = stream, clock = clock, now = now, chain = f[3],
    entries = tonumber(f[4]), vouchers = tonumber(f[5]), puts = {}, adds = {},
  }
end

-- Books one entry. `words` is name, value, name, value, …; `legs` is account, amount, account, amount, …, which must sum
-- to zero. What is chained is every name and value of the entry, in its order.
local function ledger_post(book, words, legs)
  local sum, moved = 0, {}
  for i = 1, #legs, 2 do
    local amount = legs[i + 1]
    sum = sum + amount
    if amount ~= 0 then
      hash_add(book, book.balances, legs[i], amount)
      moved[#moved + 1] = legs[i] .. ' ' .. digits(amount)
    end
  end
  assert(sum == 0, 'the legs of a ledger entry do not sum to zero')
  local n, at = #words, digits(book.now)
  words[n + 1], words[n + 2], words[n + 3], words[n + 4] = 'legs', table.concat(moved, ' '), 'at', at
  book.chain = redis.sha1hex(book.chain .. '\n' .. table.concat(words, '\n'))
  redis.call('XADD', book.stream, at .. '-*', 'chain', book.chain, unpack(words))
  book.entries = book.entries + 1
end

-- Writes what was put, moves the money of the entries and keeps where the book stands. What one script moves in an
-- account is below 2^52 too, since a campaign commits no more.
local function ledger_close(book)
  hash_write(book)
  redis.call('HSET', book.state, 'last', digits(book.now), 'chain', book.chain, 'entries', book.entries,
    'vouchers', book.vouchers)
end
