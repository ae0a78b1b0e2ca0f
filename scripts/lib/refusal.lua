-- What a voucher in a final state answers to whoever wants to use it.
local REFUSES = { redeemed = CODE.already_redeemed, expired = CODE.expired, deactivated = CODE.deactivated }
