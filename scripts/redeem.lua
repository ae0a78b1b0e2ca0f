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
-- @arg day          the business day that the engine believes in: date, its first ms, the first ms of the next
-- @arg voucher      field, bucket, expiry (ms) and worth (minor units); this and the rest once a redemption
-- @arg request      caller and Idempotency-Key
-- @arg fingerprint  of the request's body
-- @arg most         per order, per merchant and day, minor units a day; 0 is no limit
-- @arg id           the new redemption's id
-- @arg discount     minor units
-- @arg who          template (its place), merchant, user
-- @arg order        the order's id
-- @arg gross        the order's amount, minor units
-- @arg pool         the pool that granted it
-- @arg answer       the redemption as JSON without its time
-- @reply [outcome, replies]: wrong_day with the time (ms), fenced, or granted with [outcome, at, answer] each: granted or
--        replayed with the redemption that stands, voucher_locked with the lock's end, idempotency_mismatch, expired,
--        already_redeemed, deactivated, order_limit, merchant_limit, budget_exceeded
-- @cost a redemption: two HGET, one XADD, its share of five HSET; 35 µs
-- @include hash
-- @include ledger
-- @include voucher
-- @include request
-- @include redemption
-- @include usage
local book = voucher_open(KEYS[1], KEYS[2], KEYS[3], KEYS[4])
local keys = { vouchers = KEYS[4], touched = KEYS[5], due = KEYS[6], requests = KEYS[8], answers = KEYS[9] }
if not book then return { CODE.fenced } end
local date, first, next_day = ARGV[1]:match('^(%S+) (%d+) (%d+)$')
if book.now < tonumber(first) or book.now >= tonumber(next_day) then return { CODE.wrong_day, digits(book.now) } end
local function redeem(facts, request, fingerprint, most, id, discount, who, order, gross, pool, answer)
  local voucher = voucher_read(book, keys, facts)
  local known, to = request_known(book, keys, request, fingerprint), TURNS[voucher.state].redeem
  if known or not to then return known or { REFUSES[voucher.state] } end
  if voucher.state == 'locked' and voucher.order ~= order then return { CODE.voucher_locked, voucher.ends } end
  local merchant = who:match(' (%S+) ')
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
local replies = {}
for i = 2, #ARGV, 11 do replies[#replies + 1] = redeem(unpack(ARGV, i, i + 10)) end
ledger_close(book)
return { CODE.granted, replies }
