-- A redemption's facts, kept for its reversal, and the counters that rules limit. The facts are words; state is
-- succeeded, partial, reversed or deactivated:
--   <field> <bucket> <expires> <worth> <discount> <reversed> <state> <day> <template> <merchant> <user> <order>

-- Adds the fields that count vouchers of a template on an order, those of a user at a merchant on a business day, and
-- what all redemptions of a day cost. Free text stands last, so no two counts share a field.
local function redemption_counted(r)
  local day, template, merchant, user, order = r.rest:match('^(%S+) (%S+) (%S+) (%S+) (.*)$')
  r.merchant = merchant
  r.fields = {
    'order ' .. template .. ' ' .. merchant .. ' ' .. order,
    'day ' .. day .. ' ' .. template .. ' ' .. merchant .. ' ' .. user,
    'spent ' .. day,
  }
  return r
end

-- Whether a lock keeps a redemption out: all but those of its order, of its merchant too where it has one. Who is bound to a
-- merchant has no part in the locks of keys that are not.
local function lock_keeps_out(voucher, merchant, order, bound)
  if voucher.state ~= 'locked' then return false end
  if voucher.order ~= order then return true end
  return voucher.merchant ~= merchant and (voucher.merchant ~= '' or bound ~= '')
end

local function redemption_new(key, id, voucher, discount, rest)
  local r = { key = key, id = id, voucher = voucher, discount = tonumber(discount), reversed = 0 }
  r.state, r.rest = 'succeeded', rest
  return r
end

local function redemption_read(key, id)
  local text = redis.call('HGET', key, id)
  if not text then return nil end
  local r = { id = id, key = key }
  r.voucher, r.discount, r.reversed, r.state, r.rest = text:match('^(%S+ %S+ %d+ %d+) (%d+) (%d+) (%a+) (.*)$')
  r.discount, r.reversed = tonumber(r.discount), tonumber(r.reversed)
  return redemption_counted(r)
end

local function redemption_write(book, r)
  local words = { r.voucher, digits(r.discount), digits(r.reversed), r.state, r.rest }
  hash_put(book, r.key, r.id, table.concat(words, ' '))
end
