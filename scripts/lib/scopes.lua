-- The log's entry of a batch of claims, and in it the scopes of the keys by which they came.

-- Of which claims of a batch the grants came: those of their scopes. `vias` is one scope for all claims, or the scopes in
-- use with commas, a line end, and u16 big endian a claim: the place of its scope, 0 for none.
local function log_vias(vias, users, pools, puts, puts_n)
  local head, kept, at = vias:find('\n', 1, true), {}, 1
  if not head or puts_n == 2 * #users then return vias end
  for i = 1, #users do
    -- Somebody may be refused in one pool and granted in another one.
    if users[i] == puts[at] and (#pools == 1 or pools:sub(i, i) == puts[at + 1]:sub(5)) then
      kept[#kept + 1], at = vias:sub(head + 2 * i - 1, head + 2 * i), at + 2
    end
  end
  return vias:sub(1, head) .. table.concat(kept)
end

-- Appends the grants of a batch: who asked, for which pools and by which scopes stand in claim.lua's arguments (3, 4, 6), `puts`
-- are holders and grants in turn. The field `via` is behind all that a node reads that does not know it.
local function log_claims(key, round, asked, users, puts, puts_n)
  local id, logged, pools = round.sequence .. '-*', asked[3], asked[4]
  if puts_n < 2 * #users then logged, pools = log_repack(puts, puts_n) end
  if not asked[6] then return redis.call('XADD', key, id, 'at', round.now, 'users', logged, 'pools', pools) end
  local via = log_vias(asked[6], users, asked[4], puts, puts_n)
  redis.call('XADD', key, id, 'at', round.now, 'users', logged, 'pools', pools, 'via', via)
end
