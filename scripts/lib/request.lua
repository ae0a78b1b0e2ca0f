-- A request is (caller, Idempotency-Key). It is kept with its body's fingerprint and the id of its answer, and the
-- answer as "<at> <JSON>", so that asking again gives the same bytes.

-- The reply to a request that was made before, or nil.
local function request_known(book, keys, request, fingerprint)
  local known = hash_get(book, keys.requests, request)
  if not known then return nil end
  local kept, id = known:match('^(%S+) (%S+)$')
  if kept ~= fingerprint then return { CODE.idempotency_mismatch } end
  local at, answer = hash_get(book, keys.answers, id):match('^(%d+) (.*)$')
  return { CODE.replayed, at, answer }
end

-- Keeps a request with its answer, and returns the reply.
local function request_keep(book, keys, request, fingerprint, id, answer)
  hash_put(book, keys.requests, request, fingerprint .. ' ' .. id)
  hash_put(book, keys.answers, id, digits(book.now) .. ' ' .. answer)
  return { CODE.granted, digits(book.now), answer }
end
