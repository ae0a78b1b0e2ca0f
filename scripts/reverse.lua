#!lua
-- Reverses a redemption, never more than was redeemed. A full reversal inside the validity makes the voucher active
-- again with its expiry unchanged; a partial or late one does not, and its money goes where expired money goes.
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
-- @key budget       campaignBudget
-- @arg redemption   its id
-- @arg request      caller and Idempotency-Key
-- @arg fingerprint  of the request's body
-- @arg id           the new reversal's id
-- @arg amount       minor units of the discount, 0 for all that is left
-- @arg unused       available or returned: where money goes that nobody will use
-- @arg merchant     who alone may, or empty
-- @arg note         the reason
-- @arg answer       the reversal's JSON up to its amount
-- @reply [outcome, at, answer]: granted or replayed with the time (ms) and JSON of the reversal that stands; not_found,
--        not_reversible (nothing of it is left), over_redeemed, idempotency_mismatch, fenced
-- @cost two HMGET, five HSET, up to eight HINCRBY, one ZADD, one XADD
-- @include hash
-- @include ledger
-- @include voucher
-- @include request
-- @include redemption
-- @include usage-take
-- @include unused
local book = voucher_open(KEYS[1], KEYS[2], KEYS[3], KEYS[4])
if not book then return { CODE.fenced } end
local keys = { vouchers = KEYS[4], touched = KEYS[5], due = KEYS[6], requests = KEYS[8], answers = KEYS[9] }
local known = request_known(book, keys, ARGV[2], ARGV[3])
if known then return known end
local made = redemption_read(KEYS[7], ARGV[1])
if not made or (ARGV[7] ~= '' and ARGV[7] ~= made.merchant) then return { CODE.not_found } end
local voucher = voucher_read(book, keys, made.voucher)
if made.state == 'reversed' or made.state == 'deactivated' then return { CODE.not_reversible } end
local left, amount = made.discount - made.reversed, tonumber(ARGV[5])
if amount > left then return { CODE.over_redeemed } end
local to = amount == 0 and made.state == 'succeeded' and book.now < voucher.expires and TURNS[voucher.state].reverse
if amount == 0 then amount = left end
made.reversed, made.state = made.reversed + amount, amount == left and 'reversed' or 'partial'
redemption_write(book, made)
usage_take(KEYS[10], made, amount, to)
local legs = { 'payable:' .. made.merchant, -amount, ARGV[6], amount }
if to then
  voucher_write(book, voucher, to, '', voucher.expires)
  legs = { legs[1], -amount, HOLDS[to], voucher.worth, 'available', amount - voucher.worth }
else unused_add(KEYS[11], ARGV[6], amount) end
ledger_post(book, { 'kind', 'reverse', 'ref', ARGV[4], 'voucher', voucher.field, 'by', ARGV[2]:match('^%S+'),
  'note', ARGV[8], 'merchant', made.merchant, 'count', to and '1' or '0' }, legs)
local answer = ARGV[9] .. digits(amount) .. ',"voucher_state":"' .. (to or voucher.stored) .. '"}'
local reply = request_keep(book, keys, ARGV[2], ARGV[3], ARGV[4], answer)
ledger_close(book)
return reply
