/**
 * Planted bugs of the edge: text that is no UTF-8, types in another case, the longest head, the first ping. How they are
 * planted, and what was rejected, stands in plants.ts.
 */
import { type Plant, plant } from './plant.ts'

const GARBLED = 'server/garbled-text'
const [TEXT, ENCODING, MEMBERS] = ['engine/base/text.ts', 'engine/wire/encoding.ts', 'engine/wire/member-count.ts']

export const EDGE_PLANTS: readonly Plant[] = [
  plant(
    'the edge: JSON of any bytes is read',
    TEXT,
    ['  if (text.includes(GARBLED) && !isUtf8(bytes)) return undefined\n', ''],
    GARBLED,
  ),
  plant('the edge: half of a surrogate pair is read', ENCODING, [' || hasLoneSurrogate(text)', ''], GARBLED),
  plant(
    'the edge: a whole surrogate pair is refused',
    TEXT,
    ["SURROGATE.test(json.replace(SOUND_ESCAPES, ''))", 'true'],
    GARBLED,
  ),
  plant('the edge: a byte-order mark is no JSON', TEXT, ['text.startsWith(MARK)', "text === ''"], GARBLED),
  plant(
    'the edge: a short text of MessagePack is of any bytes',
    MEMBERS,
    ['if (seen >= 0x80 && !isText', 'if (seen > 0xff && !isText'],
    GARBLED,
  ),
  plant(
    'the edge: a longer text of MessagePack is of any bytes',
    MEMBERS,
    ['if (head >= TEXT_8 && !isText', 'if (head > 0xdf && !isText'],
    GARBLED,
  ),
  plant(
    'the edge: a part of a path that is no text stands for itself',
    'engine/server/uws/exchange.ts',
    ['.test(part) ? part : GARBLED', '.test(part) ? part : part'],
    GARBLED,
  ),
  plant(
    'the edge: a token for the stream is of any bytes',
    'engine/server/uws/sockets.ts',
    ['credential?.includes(GARBLED) || isGarbledHeader(header)', 'isGarbledHeader(header)'],
    GARBLED,
  ),
  plant(
    'the edge: a header is of any bytes',
    'engine/server/uws/exchange.ts',
    ["utf8Text(Buffer.from(text, 'latin1')) === undefined", 'text.includes(GARBLED)'],
    GARBLED,
  ),
  plant(
    'the edge: what is no text is asked of the routes',
    'engine/server/http/gateway.ts',
    ['  if (exchange.garbled) return refuseGarbled(exchange)\n', ''],
    GARBLED,
  ),
  plant('the edge: a media type has a case', ENCODING, ['.trim().toLowerCase()\n', '.trim()\n'], GARBLED),
  plant(
    'the edge: a type that begins like JSON is JSON',
    ENCODING,
    [
      '  return Object.hasOwn(READ, type) ? READ[type] : undefined\n',
      "  return READ[type] ?? (type.startsWith('application/json') ? 'json' : undefined)\n",
    ],
    GARBLED,
  ),
  plant(
    "the edge: a token's type has a case",
    'engine/auth/user-tokens.ts',
    ['jwt$/i.test(type)', 'jwt$/.test(type)'],
    'unit/user-tokens',
  ),
  plant(
    'the edge: claims of a token are of any bytes',
    'engine/auth/user-tokens.ts',
    ['if (json === undefined || hasLoneSurrogate(json)) return undefined', 'if (json === undefined) return undefined'],
    'unit/user-tokens',
  ),
  plant(
    'the edge: the workers have the head of the library',
    'engine/processes/supervisor.ts',
    ['    UWS_HTTP_MAX_HEADERS_SIZE: String(config.headBytes),\n', ''],
    'server/heads',
  ),
  plant(
    'the edge: a silent subscriber is pinged when a proxy has cut it',
    'engine/base/limits.ts',
    ['export const SOCKET_IDLE_S = 40', 'export const SOCKET_IDLE_S = 120'],
    'server/proxies',
  ),
  plant(
    'an address in a file is handed to workers that read the file, too',
    'engine/processes/supervisor.ts',
    ['embeddedUrl(config.dataDir) } : {})', 'embeddedUrl(config.dataDir) } : { REDIS_URL: config.redisUrl })'],
    'server/starting',
  ),
  plant(
    'the edge: a setting of any bytes is taken',
    'engine/config.ts',
    ['value.includes(GARBLED)', "value === 'GARBLED'"],
    'unit/config',
  ),
  plant(
    'the edge: the stream takes any query',
    'engine/server/stream/stream.ts',
    ['if (wrong) return', 'if (false) return'],
    'server/unknown-input',
  ),
  plant(
    'the edge: the body of a GET is passed over',
    'engine/server/http/gateway.ts',
    ["exchange.framing !== 'bare' &&", 'false &&'],
    'server/unknown-input',
  ),
  plant(
    'the edge: a wrong credential counts against no rate',
    'engine/server/http/gateway.ts',
    ['if (!counted(services, exchange, ANONYMOUS, false)) return', ''],
    'server/rate-limits',
  ),
  plant(
    'the edge: a path that does not exist counts against the address whoever asks',
    'engine/server/routes/routes.ts',
    ['callers.ofHeader(exchange.authorization) ?? ANONYMOUS', 'ANONYMOUS ?? callers'],
    'server/rate-limits',
  ),
  plant(
    'the edge: an upgrade that is refused counts against no rate',
    'engine/server/stream/stream.ts',
    ['return allowed || late ? refused :', 'return allowed || !late ? refused :'],
    'server/rate-limits',
  ),
  plant(
    'the edge: a token that proves nothing is verified twice',
    'engine/auth/user-tokens.ts',
    ['if (this.#refused?.token !== token) this.verify(token)', 'this.verify(token)'],
    'unit/user-tokens',
  ),
  plant(
    'the edge: each worker reads the files of secrets for itself',
    'engine/processes/supervisor.ts',
    ['    ...config.read,\n', ''],
    'server/secret-files',
  ),
  plant(
    'the edge: workers whose settings are wrong are replaced for ever',
    'engine/processes/worker.ts',
    ['return fail(cause as Error)', 'throw cause'],
    'server/secret-files',
  ),
  plant(
    'the edge: a secret has a byte of zero',
    'engine/config.ts',
    ["if (text.includes('\\0'))", 'if (false)'],
    'unit/config',
  ),
  plant(
    'the edge: nginx writes addresses with tokens',
    'deploy/proxy/nginx.conf',
    ['error.log crit;', 'error.log;'],
    'server/proxies',
  ),
  plant(
    'the edge: Caddy writes addresses with tokens',
    'deploy/proxy/Caddyfile',
    ['replace access_token -', 'replace another -'],
    'server/proxies',
  ),
  plant(
    'the edge: nginx takes no long body',
    'deploy/proxy/nginx.conf',
    ['client_max_body_size 16m', 'client_max_body_size 1m'],
    'server/proxies',
  ),
  plant(
    'the edge: HAProxy ends connections at a reload',
    'deploy/proxy/haproxy.cfg',
    ['  option idle-close-on-response\n', ''],
    'server/proxies',
  ),
  plant(
    'the edge: Caddy has no IPv4 or IPv6 to listen to',
    'deploy/proxy/Caddyfile',
    [':443 {\n', ':443 {\n\tbind 127.0.0.1\n'],
    'fault/proxy-reloads',
  ),
  plant(
    'a refused upgrade does not say when to ask again',
    'engine/server/stream/stream-socket.ts',
    ['retryAfterS: problem(code).retry_after_s,', ''],
    'server/socket-limits',
  ),
  plant(
    'the origin of an app stops the start',
    'engine/config.ts',
    ['if (app !== undefined) return [app]\n', ''],
    'unit/config',
  ),
  plant(
    'health keeps quiet about published keys that are away',
    'engine/main/key-source.ts',
    ['if (!trouble) return', 'if (trouble) return'],
    'server/published-keys',
  ),
  plant(
    'a limited key reads the metrics of all campaigns',
    'engine/server/http/campaign-limits.ts',
    ["if (right === 'measure' &&", 'if (false &&'],
    'server/campaign-keys',
  ),
  plant(
    'a file of keys that is refused is warned of nowhere',
    'engine/ops/health.ts',
    ["this.#keys = what === '' ? [] :", 'this.#keys = what ? [] :'],
    'server/key-file',
  ),
  plant(
    'a worker that comes knows nothing of a refused file of keys',
    'engine/processes/supervisor.ts',
    ["if (this.#keysRefused !== '') tell", 'if (this.#stopping) tell'],
    'server/key-file',
  ),
  plant(
    'a file of keys that is sound again is still called refused',
    'engine/main/key-file.ts',
    ["    this.#judge('')\n", ''],
    'unit/key-file',
  ),
  plant(
    'a voucher shows its redemption as it was answered',
    'engine/campaign/voucher/kept-redemptions.ts',
    ['  reversed_amount: reversed,', '  reversed_amount: 0 * reversed,'],
    'server/kept-redemptions',
  ),
  plant(
    'a reversal in the history has the wrong sign',
    'engine/campaign/voucher/histories.ts',
    ['amount: -legOf(', 'amount: legOf('],
    'server/kept-redemptions',
  ),
  plant(
    'a length without a value is none',
    'engine/server/uws/exchange.ts',
    ["lengths + (value === '' ? 2 : 1)", 'lengths + 1'],
    'server/framing',
  ),
  plant(
    'of two credentials the first is believed',
    'engine/server/uws/exchange.ts',
    [' || credentials > 1) return', ') return'],
    'server/framing',
  ),
  plant(
    'an ambiguous request is answered before the rest of its packet was read',
    'engine/server/routes/routes.ts',
    ['  exchange.behindPacket(clock, () => {', '  [clock].forEach(() => {'],
    'server/framing',
  ),
  plant(
    'a request in chunks keeps its connection',
    'engine/server/uws/exchange.ts',
    ["this.framing === 'ambiguous' || this.framing === 'chunked'", "this.framing === 'ambiguous'"],
    'server/framing',
  ),
  plant(
    'what no route is asked in chunks is answered before the rest of its packet was read',
    'engine/server/routes/routes.ts',
    [
      'exchange.endsConnection ? behind(services, exchange, it => nothing(services, it)) : nothing(services, exchange)',
      'nothing(services, exchange)',
    ],
    'server/framing',
  ),
  plant(
    'each claim that Redis refuses is a line of the log',
    'engine/main.ts',
    [
      "failed: reporter('redis did not decide')",
      "failed: cause => log.warn({ cause: String(cause) }, 'redis did not decide')",
    ],
    'server/quiet-log',
  ),
  plant(
    'nobody can say what the audit log lacks',
    'engine/main.ts',
    ['{ err: cause, lacking }', '{ err: cause }'],
    'server/quiet-log',
  ),
]
