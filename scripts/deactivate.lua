#!lua
-- Deactivates a voucher, or a redemption with its voucher (a fraud hold); the money goes where expired money goes. The
-- ledger's entry says who did it and why. Asked again it changes nothing.
-- @key state        campaignState
-- @key balances     campaignBalances
-- @key ledger       campaignLedger
-- @key vouchers     campaignVouchers
-- @key touched      campaignTouched
-- @key due          campaignDue
-- @key redemptions  campaignRedemptions
-- @key budget       campaignBudget
-- @arg voucher      field, bucket, expiry (ms) and worth (minor units); empty for a redemption
-- @arg redemption   its id; empty for a voucher
-- @arg unused       available or returned
-- @arg by           the caller
-- @arg note         the reason
-- @arg dry          1 asks what would be and writes nothing; else empty
-- @reply [outcome]: granted; replayed when that was done before; already_redeemed (a voucher only), expired,
--        not_reversible (nothing of the redemption is left), fenced; dry [granted, the state it is in] or the same
-- @cost one HLEN, three HSET, two HINCRBY, one XADD; dry one HLEN
-- @include hash
-- @include ledger
-- @include voucher
-- @include redemption
-- @include unused
local book = voucher_open(KEYS[1], KEYS[2], KEYS[3], KEYS[4])
if not book then return { CODE.fenced } end
local made = ARGV[2] ~= '' and redemption_read(KEYS[7], ARGV[2]) or nil
local keys = { vouchers = KEYS[4], touched = KEYS[5], due = KEYS[6] }
local voucher = voucher_read(book, keys, made and made.voucher or ARGV[1])
if made and made.state == 'reversed' then return { CODE.not_reversible } end
if made and made.state == 'deactivated' or voucher.state == 'deactivated' then return { CODE.replayed } end
if voucher.state == 'redeemed' and not made then return { CODE.already_redeemed } end
local to = TURNS[voucher.state].deactivate
if not to then return { CODE.expired } end
if ARGV[6] == '1' then return { CODE.granted, voucher.state } end
local amount, account, merchant = voucher.worth, HOLDS[voucher.stored], nil
if made then
  amount, account, merchant = made.discount - made.reversed, 'payable:' .. made.merchant, made.merchant
  made.reversed, made.state = made.discount, 'deactivated'
  redemption_write(book, made)
end
voucher_write(book, voucher, to, '')
unused_add(KEYS[8], ARGV[3], amount)
local words = { 'kind', made and 'hold' or 'deactivate', 'voucher', voucher.field, 'by', ARGV[4], 'note', ARGV[5] }
if made then words[9], words[10], words[11], words[12] = 'ref', made.id, 'merchant', merchant end
ledger_post(book, words, { account, -amount, ARGV[3], amount })
ledger_close(book)
return { CODE.granted }
