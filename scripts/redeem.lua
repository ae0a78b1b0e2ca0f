#!lua
-- Redeems vouchers, each exactly once, in one atom with its request, lock, limits and money. They share a call.
-- @key state        campaignState
-- @key balances     campaignBalances
-- @key ledger       campaignLedger
-- @key vouchers     campaignVouchers
-- @key touched      campaignTouched
-- @key due          campaignDue
-- @key redemptions  campaignRedemptions
-- @key requests     campaignRequests
-- @key answers      campaignAnswers
-- @key usage        campaignUsage
-- @arg grounds      what was judged on: the business day and the lease of what operators had set (lib/grounds.lua)
-- @arg voucher      field, bucket, expiry (ms) and worth (minor units); this and the rest once a redemption
-- @arg request      caller and Idempotency-Key
-- @arg fingerprint  of the request's body
-- @arg most         per order, per merchant and day, minor units a day; 0 is no limit
-- @arg id           the new redemption's id
-- @arg discount     minor units
-- @arg who          template (its place), merchant, user
-- @arg order        the order's id
-- @arg bound        1 for a key that is bound to its merchant, else empty
-- @arg gross        the order's amount, minor units
-- @arg pool         the pool that granted it
-- @arg answer       the redemption as JSON without its time
-- @reply [outcome, replies]: wrong_day with the time (ms), fenced, or granted with [outcome, at, answer] each: granted or
--        replayed with the redemption that stands, voucher_locked with the lock's end, idempotency_mismatch, expired,
--        already_redeemed, deactivated, order_limit, merchant_limit, budget_exceeded, unavailable beyond the lease
-- @cost a redemption: two HGET, one XADD, its share of five HSET; 35 µs
-- @include hash
-- @include ledger
-- @include voucher
-- @include request
-- @include redemption
-- @include usage
-- @include grounds
local book, replies = voucher_open(KEYS[1], KEYS[2], KEYS[3], KEYS[4]), {}
local keys = { vouchers = KEYS[4], touched = KEYS[5], due = KEYS[6], requests = KEYS[8], answers = KEYS[9] }
if not book then return { CODE.fenced } end
local date, stale = grounds_read(book, ARGV[1])
if not date then return { CODE.wrong_day, digits(book.now) } end
local function redeem(facts, request, fingerprint, most, id, discount, who, order, bound, gross, pool, answer)
  local voucher = voucher_read(book, keys, facts)
  local known, to = request_known(book, keys, request, fingerprint), TURNS[voucher.state].redeem
  if known or not to or stale then return known or { REFUSES[voucher.state] or CODE.unavailable } end
  local merchant = who:match(' (%S+) ')
  if lock_keeps_out(voucher, merchant, order, bound) then return { CODE.voucher_locked, voucher.ends } end
  local made = redemption_new(KEYS[7], id, facts, discount, date .. ' ' .. who .. ' ' .. order)
  local refused = most ~= '0 0 0' and usage_add(KEYS[10], redemption_counted(made), most)
  if refused then return { refused } end
  redemption_write(book, made)
  voucher_write(book, voucher, to, id)
  ledger_post(book, { 'kind', 'redeem', 'ref', id, 'voucher', voucher.field, 'by', request:match('^%S+'),
    'merchant', merchant, 'gross', gross, 'pool', pool }, { HOLDS[voucher.stored], -voucher.worth,
    'payable:' .. merchant, made.discount, 'available', voucher.worth - made.discount })
  return request_keep(book, keys, request, fingerprint, id, answer)
end
for i = 2, #ARGV, 12 do replies[#replies + 1] = redeem(unpack(ARGV, i, i + 11)) end
ledger_close(book)
return { CODE.granted, replies }
