#!lua flags=no-writes
-- Reads vouchers of one campaign as they stand now, by its clock, with the answers of their redemptions.
-- @key state      campaignState
-- @key balances   campaignBalances
-- @key ledger     campaignLedger
-- @key vouchers   campaignVouchers
-- @key answers    campaignAnswers
-- @arg vouchers   field, bucket, expiry (ms) and worth of each, joined by commas
-- @reply [outcome, now, states, locks, answers]: granted with lists by voucher: its state; of a lock that stands
--        "<ends> <lock> <order>"; of a redeemed one "<at> <JSON>" of its redemption, else empty texts; fenced
-- @cost one HLEN and HGET a voucher, one HGET a redeemed one
-- @include hash
-- @include ledger
-- @include voucher
local book = voucher_open(KEYS[1], KEYS[2], KEYS[3], KEYS[4])
if not book then return { CODE.fenced } end
local states, locks, answers = {}, {}, {}
for facts in ARGV[1]:gmatch('[^,]+') do
  local voucher = voucher_read(book, { vouchers = KEYS[4] }, facts)
  states[#states + 1] = voucher.state
  locks[#locks + 1] = voucher.state == 'locked' and voucher.rest or ''
  answers[#answers + 1] = voucher.state == 'redeemed' and redis.call('HGET', KEYS[5], voucher.rest) or ''
end
return { CODE.granted, digits(book.now), states, locks, answers }
