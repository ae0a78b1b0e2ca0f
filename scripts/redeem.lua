#!lua
-- Redeems a voucher exactly once. Request, voucher, lock, limits, budget of the day and money are decided in one atom;
-- the answer is kept and given again byte for byte, also after its reply was lost.
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
-- @arg voucher      field, bucket, expiry (ms) and worth (minor units)
-- @arg request      caller and Idempotency-Key
-- @arg fingerprint  of the request's body
-- @arg day          the business day that the engine believes in: date, its first ms, the first ms of the next
-- @arg most         per order, per merchant and day, minor units a day; 0 is no limit
-- @arg id           the new redemption's id
-- @arg discount     minor units
-- @arg who          template (its place), merchant, user
-- @arg order        the order's id
-- @arg gross        the order's amount, minor units
-- @arg pool         the pool that granted it
-- @arg answer       the redemption as JSON without its time
-- @reply [outcome, at, answer]: granted or replayed with the time (ms) and JSON of the redemption that stands;
--        voucher_locked with the lock's end; wrong_day with the time; already_redeemed, expired, deactivated,
--        idempotency_mismatch, order_limit, merchant_limit, budget_exceeded, fenced
-- @cost three HMGET, five HSET, up to six HINCRBY, one ZREM, one XADD; 30 µs
-- @include ledger
-- @include voucher
-- @include refusal
-- @include request
-- @include redemption
-- @include usage
local book = ledger_open(KEYS[1], KEYS[2], KEYS[3])
local keys = { vouchers = KEYS[4], touched = KEYS[5], due = KEYS[6], requests = KEYS[8], answers = KEYS[9] }
local voucher = book and voucher_read(book, keys, ARGV[1])
if not voucher then return { CODE.fenced } end
local known = request_known(KEYS[8], KEYS[9], ARGV[2], ARGV[3])
if known then return known end
local date, first, next_day = ARGV[4]:match('^(%S+) (%d+) (%d+)$')
if book.now < tonumber(first) or book.now >= tonumber(next_day) then return { CODE.wrong_day, digits(book.now) } end
local to = TURNS[voucher.state].redeem
if not to then return { REFUSES[voucher.state] } end
if voucher.state == 'locked' and voucher.order ~= ARGV[9] then return { CODE.voucher_locked, voucher.ends } end
local made = { key = KEYS[7], id = ARGV[6], voucher = ARGV[1], discount = tonumber(ARGV[7]), reversed = 0 }
made.state, made.rest = 'succeeded', date .. ' ' .. ARGV[8] .. ' ' .. ARGV[9]
local refused = usage_add(KEYS[10], redemption_counted(made), ARGV[5])
if refused then return { refused } end
redemption_write(made)
voucher_write(book, voucher, to, made.id)
local spare = voucher.worth - made.discount
ledger_post(book, { kind = 'redeem', ref = made.id, voucher = voucher.field, by = ARGV[2]:match('^%S+'),
  merchant = made.merchant, gross = ARGV[10], pool = ARGV[11] },
  { HOLDS[voucher.stored], -voucher.worth, 'payable:' .. made.merchant, made.discount, 'available', spare })
return request_keep(book, keys, ARGV[2], ARGV[3], made.id, ARGV[12])
