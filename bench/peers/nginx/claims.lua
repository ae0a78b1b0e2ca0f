-- POST /claims in nginx: check the key, read the body, one EVALSHA over a kept-alive unix socket, answer.
-- The body is read by a pattern, not by a JSON parser: Debian's module brings none, and it is in nginx's favour.
-- It does not validate further, and it has no time-out answer of its own: after a lost reply it says 502, and
-- nobody knows whether the claim ran. The answers have the shape and about the size of the engine's without vouchers.
local redis = require('nginx.redis')

local claims, settings = {}, nil

function claims.configure(given)
  settings = given
end

local function say(status, kind, body)
  ngx.status = status
  ngx.header['Content-Type'] = kind
  ngx.header['Content-Length'] = #body
  ngx.print(body)
end

local function refuse(status, code, title)
  say(status, 'application/problem+json', '{"type":"about:blank","title":"' .. title .. '","status":' .. status
    .. ',"code":"' .. code .. '","detail":"' .. title .. '"}')
end

local function decide(user)
  local connection = redis:new()
  local reply, fault = connection:connect(settings.socket)
  if not reply then
    return nil, fault
  end
  reply, fault = connection:evalsha(settings.sha, 2, '{rival}:holders', '{rival}:left', user, settings.stock)
  if reply then
    connection:set_keepalive(60000, settings.pool)
  end
  return reply, fault
end

function claims.answer()
  if ngx.var.http_authorization ~= settings.bearer then
    return refuse(401, 'unauthorized', 'The credential is missing or wrong')
  end
  ngx.req.read_body()
  local user = (ngx.req.get_body_data() or ''):match('^%s*{%s*"user_id"%s*:%s*"([%w._:@|+-]+)"%s*}%s*$')
  if not user or #user > 64 then
    return refuse(422, 'invalid', 'user_id is missing or wrong')
  end
  local reply, fault = decide(user)
  if not reply then
    ngx.log(ngx.ERR, fault)
    return refuse(502, 'unavailable', 'Redis did not answer')
  end
  if reply[1] == 3 then
    return refuse(409, 'sold_out', 'Nothing is left that this user could use')
  end
  say(reply[1] == 0 and 201 or 200, 'application/json', '{"outcome":"granted","claim":{"id":"clm_rival' .. reply[2]
    .. '","round_id":"rnd_rival","user_id":"' .. user .. '","pool":"general","slot":1,"sequence":' .. reply[2]
    .. ',"granted_at":"' .. ngx.utctime() .. '"}}')
end

return claims
