-- A voucher's state machine and its record. Only a voucher that was touched has a record:
--   <state> <expires> <worth> <rest>    rest: of locked "<ends> <lock> <order>", of redeemed the redemption's id
-- A lock is its id, or "<id>@<merchant>" where a key that is bound to that merchant made it.
-- The table is the same as the one in docs/redemption.md; a test compares them.
local TURNS = {
  active = { lock = 'locked', redeem = 'redeemed', expire = 'expired', deactivate = 'deactivated' },
  locked = { lock = 'locked', unlock = 'active', redeem = 'redeemed', expire = 'expired', deactivate = 'deactivated' },
  redeemed = { reverse = 'active', deactivate = 'deactivated' },
  expired = {},
  deactivated = {},
}

-- What a voucher in a final state answers to whoever wants to use it.
local REFUSES = { redeemed = CODE.already_redeemed, expired = CODE.expired, deactivated = CODE.deactivated }

-- The account that a voucher's money is in, by its stored state; the other states hold none.
local HOLDS = { active = 'allocated', locked = 'reserved' }

-- The book of a script that reads vouchers, or nil when a record is missing too: a voucher whose record was lost would
-- be redeemed a second time.
local function voucher_open(state, balances, stream, vouchers)
  local book = ledger_open(state, balances, stream)
  if not book or redis.call('HLEN', vouchers) ~= book.vouchers then return nil end
  return book
end

-- The voucher as it stands now; `facts` is "<field> <bucket> <expires> <worth>". A lock that ran out counts as none,
-- though its money is still in `reserved` (stored).
local function voucher_read(book, keys, facts)
  local field, bucket, expires, worth = facts:match('^(%S+) (%S+) (%d+) (%d+)$')
  local record = hash_get(book, keys.vouchers, field)
  local v = { keys = keys, field = field, bucket = bucket, expires = tonumber(expires), worth = tonumber(worth) }
  v.touched, v.stored, v.rest = record, 'active', ''
  if record then v.stored, v.rest = record:match('^(%a+) %d+ %d+ ?(.*)$') end
  v.state = v.stored
  if v.stored == 'locked' then
    v.ends, v.lock, v.merchant, v.order = v.rest:match('^(%d+) ([^%s@]+)@?(%S*) (.*)$')
    if book.now >= tonumber(v.ends) then v.state = 'active' end
  end
  if HOLDS[v.state] and book.now >= v.expires then v.state = 'expired' end
  return v
end

-- Writes the record. One that still holds money is looked at again when it is `due`; an untouched voucher leaves the
-- mass that expires together (its bucket counts how many did).
local function voucher_write(book, v, state, rest, due)
  if not v.touched then
    hash_add(book, v.keys.touched, v.bucket, 1)
    book.vouchers = book.vouchers + 1
  end
  local record = state .. ' ' .. digits(v.expires) .. ' ' .. digits(v.worth) .. ' ' .. rest
  hash_put(book, v.keys.vouchers, v.field, record)
  if due then redis.call('ZADD', v.keys.due, digits(due), v.field) end
  if not due and v.touched then redis.call('ZREM', v.keys.due, v.field) end
end
