/**
 * Planted bugs of credentials and of what they open: who reads the metrics, published keys. How they are planted, and what was rejected, stands
 * in plants.ts.
 */
import { type Plant, plant } from './plant.ts'

const READERS = 'server/metrics-readers'
const ROUTES = 'engine/server/routes/routes.ts'

const [SET, PUBLISHED, TOKENS, SOURCE] = [
  'engine/auth/key-set.ts',
  'engine/auth/published-keys.ts',
  'engine/auth/user-tokens.ts',
  'engine/main/key-source.ts',
]
const [OF_SET, OF_KEYS, OF_SERVER] = ['unit/key-set', 'unit/published-keys', 'server/published-keys']

const [CONFIG, OF_CONFIG, OF_TOKENS] = ['engine/config.ts', 'unit/config', 'unit/user-tokens']

const SETTING_PLANTS: readonly Plant[] = [
  plant(
    'published keys are asked for again only behind readings that were due',
    'engine/auth/published-keys.ts',
    ['        this.#readAgain()\n', ''],
    'unit/published-keys',
  ),
  plant(
    'a terminal that closes leaves the Redis of a node behind',
    'engine/cli.ts',
    ["['SIGTERM', 'SIGINT', 'SIGHUP'] as const", "['SIGTERM', 'SIGINT'] as const"],
    'server/drain',
  ),
  plant(
    'a private key is set as the public one',
    TOKENS,
    ["throw wrong('is a private key", "void wrong('is a private key"],
    OF_TOKENS,
  ),
  plant(
    'a second PEM is left out in silence',
    TOKENS,
    ["throw wrong('has more behind", "void wrong('has more behind"],
    OF_TOKENS,
  ),
  plant('an exp in milliseconds never ends', TOKENS, ['if (exp > EXP_S_MAX)', 'if (exp > 1e15)'], OF_TOKENS),
  plant('a cohort that is null is wrong', TOKENS, ['value === null || ', ''], OF_TOKENS),
  plant(
    'an issuer is checked of no token',
    CONFIG,
    ["value !== '' && jwtSecret + jwtPublicKey + jwks === ''", 'false'],
    OF_CONFIG,
  ),
  plant(
    'an audience of white space takes any',
    CONFIG,
    ["value === '' && given.value(name) !== ''", 'false'],
    OF_CONFIG,
  ),
  plant(
    'a secret of before stands alone',
    CONFIG,
    ["jwtSecretPrevious !== '' && jwtSecret === ''", 'false'],
    OF_CONFIG,
  ),
  plant('a list of proxies without one is none', CONFIG, ["text !== '' && entries.length === 0", 'false'], OF_CONFIG),
  plant(
    'everybody is a trusted proxy',
    'engine/main/start-check.ts',
    ['if (everybody !== undefined)', 'if (false)'],
    OF_CONFIG,
  ),
]

const PUBLISHED_PLANTS: readonly Plant[] = [
  plant('published keys: short RSA keys verify', SET, ['modulusLength < least || ', ''], OF_SET),
  plant('published keys: any exponent will do', SET, ['publicExponent < 3n || ', ''], OF_SET),
  plant('published keys: private keys are taken', SET, ["if (Object.hasOwn(jwk, 'd'))", 'if (false)'], OF_SET),
  plant('published keys: keys for encryption verify', SET, ["use !== undefined && use !== 'sig'", 'false'], OF_SET),
  plant('published keys: what a key may do is not read', SET, ["operations.includes('verify')", 'true'], OF_SET),
  plant(
    'published keys: a key may be of another algorithm',
    SET,
    ['alg !== undefined && alg !== algorithm', 'false'],
    OF_SET,
  ),
  plant(
    'published keys: of two keys of one kid the first is taken',
    SET,
    ['(count.get(kid) ?? 0) > 1', 'false'],
    OF_SET,
  ),
  plant(
    'published keys: a set without a key is a set',
    SET,
    ['if (keys.length === 0) throw', 'if (false) throw'],
    OF_KEYS,
  ),
  plant('published keys: a name twice is read', SET, ['if (twice !== undefined)', 'if (twice === 0)'], OF_SET),
  plant(
    'published keys: a remembered token outlives its key',
    TOKENS,
    ['remembered && !remembered.key?.isGone', 'remembered'],
    OF_KEYS,
  ),
  plant(
    'published keys: any key of the algorithm is tried',
    PUBLISHED,
    ['kid === undefined || key.kid === kid', 'true'],
    OF_KEYS,
  ),
  plant(
    'published keys: without a kid the first one is taken',
    PUBLISHED,
    ['fitting.length === 1 ? fitting[0] : undefined', 'fitting[0]'],
    OF_KEYS,
  ),
  plant('published keys: the token says its algorithm', PUBLISHED, ['key.algorithm === algorithm && ', ''], OF_KEYS),
  plant(
    'published keys: each unknown kid has them read',
    PUBLISHED,
    ['now - this.#askedAt >= FOR_UNKNOWN_MS', 'true'],
    OF_KEYS,
  ),
  plant(
    'published keys: an unknown kid has nothing read',
    PUBLISHED,
    ['now - this.#askedAt >= FOR_UNKNOWN_MS', 'false'],
    OF_KEYS,
  ),
  plant(
    'published keys: away, they are forgotten',
    PUBLISHED,
    ['        this.#isAway = true\n', '        this.#isAway = true\n        this.#keys = undefined\n'],
    OF_KEYS,
  ),
  plant(
    'published keys: away, an unknown kid is refused for good',
    PUBLISHED,
    ['this.#keys === undefined || this.#isAway ?', 'this.#keys === undefined ?'],
    OF_KEYS,
  ),
  plant(
    'published keys: a key that is gone stays',
    PUBLISHED,
    ['if (!now.includes(key)) key.isGone = true', 'void now'],
    OF_KEYS,
  ),
  plant('published keys: a redirect is followed', SOURCE, ["redirect: 'manual'", "redirect: 'follow'"], OF_SERVER),
  plant(
    'published keys: a set of any length is read',
    SOURCE,
    ['    if (size > KEY_SET_BYTES_MAX) throw', '    if (size < 0) throw'],
    OF_SERVER,
  ),
  plant('published keys: plain http from anywhere', SOURCE, [' && LOOPBACK.test(url.hostname)', ''], OF_SERVER),
  plant(
    'published keys: a host that begins like the loopback is it',
    SOURCE,
    ['|\\[::1\\])$/', '|\\[::1\\])/'],
    OF_SERVER,
  ),
  plant(
    'published keys: a body that came early is lost',
    'engine/server/uws/held-body.ts',
    ['    else this.#chunks.push(Buffer.from(chunk.slice(0)))\n', ''],
    OF_SERVER,
  ),
  plant(
    'published keys: who left claims',
    'engine/server/http/gateway.ts',
    ['if (exchange.open) again(', 'again('],
    OF_SERVER,
  ),
  plant(
    'published keys: an upgrade does not wait',
    'engine/server/uws/sockets.ts',
    ['if (refused?.wait && waits > 0)', 'if (false)'],
    OF_SERVER,
  ),
  plant(
    'published keys: a request does not wait',
    'engine/server/http/gateway.ts',
    ["if (missing === 'away' ||", 'if (missing !== undefined ||'],
    OF_SERVER,
  ),
]

const [FILE, OF_FILE, OF_NODE] = ['engine/main/key-file.ts', 'unit/key-file', 'server/key-file']

const FILE_PLANTS: readonly Plant[] = [
  plant('key file: half of a file holds', FILE, ['    if (isSame) this.#take', '    this.#take'], OF_FILE),
  plant('key file: keys that are wrong hold', FILE, ['parseKeys(keys)', 'keys.split()'], OF_FILE),
  plant('key file: what is wrong is said each second', FILE, ['    if (message === this.#said) return\n', ''], OF_FILE),
  plant(
    'key file: headers of keys that are gone are known',
    'engine/auth/callers.ts',
    ['    this.#headers.clear()\n', ''],
    'unit/callers',
  ),
  plant('key file: sockets outlive their key', 'engine/main.ts', ['      stream.recheck()\n', ''], OF_NODE),
  plant(
    'key file: a socket keeps the role of its key',
    'engine/auth/callers.ts',
    ['other?.id === one.id &&', 'other !== undefined &&'],
    OF_NODE,
  ),
  plant(
    'key file: a worker that comes later has the first keys',
    'engine/processes/supervisor.ts',
    ['    this.#env = { ...this.#env, FAIRGRAB_KEYS: keys }\n', ''],
    OF_NODE,
  ),
  plant(
    'key file: SIGHUP ends the node',
    'engine/processes/supervisor.ts',
    ["  process.on('SIGHUP', take)\n", ''],
    OF_NODE,
  ),
  plant(
    'published keys: sockets outlive the key of their token',
    'engine/main/key-source.ts',
    ['      if (isNew) changed()\n', ''],
    OF_SERVER,
  ),
]

const OF_CLAIMS = 'server/claim-scopes'

const SCOPE_PLANTS: readonly Plant[] = [
  plant(
    'scopes: a redemption does not say who acted',
    'engine/campaign/voucher/redemption.ts',
    ['      ...(via === undefined ? {} : { via }),\n', ''],
    'server/scoped-keys',
  ),
  plant(
    'scopes: the audit log does not say who acted',
    'engine/auth/callers.ts',
    ['(via === undefined ? id :', '(via !== undefined ? id :'],
    'server/scoped-keys',
  ),
  plant(
    'scopes: a reversal does not say who acted',
    'engine/campaign/voucher/redemption.ts',
    ["state: 'succeeded', type, reason, ...via })", "state: 'succeeded', type, reason })"],
    'server/scoped-keys',
  ),
  plant(
    'scopes: the history names whoever redeemed as who held',
    'engine/campaign/voucher/histories.ts',
    ["const ANSWERED = ['redeem', 'reverse']", "const ANSWERED = ['reverse', 'hold']"],
    'server/scoped-keys',
  ),
  plant(
    'scopes: a single claim does not say by whose key it came',
    'engine/server/answers/claim.ts',
    ['  ask.via = caller.via\n', ''],
    OF_CLAIMS,
  ),
  plant(
    'scopes: the claims of a batch do not say by whose key they came',
    'engine/server/routes/claim-routes.ts',
    ['round.askMany(requests, resolve, caller.via)', 'round.askMany(requests, resolve)'],
    OF_CLAIMS,
  ),
  plant(
    'scopes: claims of a packed frame do not say by whose key they came',
    'engine/server/stream/stream.ts',
    ['packResults(id, answers)), caller.via)', 'packResults(id, answers)))'],
    OF_CLAIMS,
  ),
  plant(
    'scopes: a user is told by whose key they hold',
    'engine/server/routes/claim-routes.ts',
    ["may(caller, 'read') ? await userClaims.viaOf", "may(caller, 'public') ? await userClaims.viaOf"],
    OF_CLAIMS,
  ),
  plant(
    'scopes: a batch that goes on with an ask counts its claims from the first',
    'engine/campaign/claim/claim-queue.ts',
    ['const taken = Math.min(left, count - (i === 0 ? from : 0))', 'const taken = Math.min(left, count)'],
    'unit/claim-queue',
  ),
  plant(
    'scopes: every claim costs a look for scopes',
    'engine/store/data/claim-store.ts',
    ['    if (vias) args.push(vias)\n', "    args.push(vias ?? '')\n"],
    'script/claim',
  ),
  plant(
    'scopes: the log has those of the claims that were not granted, too',
    'scripts/lib/scopes.lua',
    ['if not head or puts_n == 2 * #users then', 'if puts_n > 0 then'],
    'script/claim',
  ),
  plant(
    'scopes: who is refused in one pool leaves their scope to the grant in another',
    'scripts/lib/scopes.lua',
    [' and (#pools == 1 or pools:sub(i, i) == puts[at + 1]:sub(5))', ''],
    'script/claim',
  ),
  plant(
    'scopes: a sequence that went to somebody else says their scope',
    'engine/store/data/claim-store.ts',
    ['    if (partsOf(holder).userId !== userId) return undefined\n', ''],
    'script/claim',
  ),
  plant(
    'scopes: in a strict round whoever asks again leaves their scope to the grant of another claim',
    'scripts/lib/allotment.lua',
    [' and record:sub(6, 13) == claim.tie then\n      puts', ' then\n      puts'],
    'script/allot',
  ),
  plant(
    'scopes: a strict round adds a scope behind another one',
    'scripts/lib/allotment.lua',
    [' and #record == 21', ''],
    'script/allot',
  ),
  plant(
    'scopes: a strict round forgets whose key a claim came by',
    'engine/campaign/claim/arrival-queue.ts',
    ['via: ask.via, asked', 'via: undefined, asked'],
    OF_CLAIMS,
  ),
  plant(
    'scopes: the grants of strict rounds are listed without',
    'engine/server/routes/claim-routes.ts',
    ['isStrict(round.view.config) ? claims.withVias', "'' ? claims.withVias"],
    OF_CLAIMS,
  ),
  plant(
    'scopes: every scope is a merchant',
    'engine/auth/callers.ts',
    ["role === 'merchant' ? { merchant: scope } : {}", 'role ? { merchant: scope } : {}'],
    'unit/callers',
  ),
  plant(
    'scopes: a limit to campaigns is passed over',
    'engine/auth/callers.ts',
    ['rest.length > 1 ||', ''],
    'server/campaign-keys',
  ),
]

export const KEY_PLANTS: readonly Plant[] = [
  plant('metrics: nobody needs a key', ROUTES, ["    right: 'measure',\n", "    right: 'public',\n"], READERS),
  plant(
    'metrics: a platform reads them',
    'engine/auth/callers.ts',
    ["platform: ['claim-any', ", "platform: ['measure', 'claim-any', "],
    READERS,
  ),
  plant('metrics: off is for keys', ROUTES, ["isMetrics && metricsFor === 'off'", 'isMetrics && !metricsFor'], READERS),
  plant('metrics: public is for keys', ROUTES, ["metricsFor === 'public' ? open", 'false ? open'], READERS),
  plant(
    'metrics: with keys they are public by themselves',
    'engine/config.ts',
    ["=== '' ? 'public' : 'key'", "=== '' ? 'public' : 'public'"],
    READERS,
  ),
  plant(
    'metrics: the workers of a node that made its key ask for one',
    'engine/processes/supervisor.ts',
    ['    FAIRGRAB_METRICS: config.metrics,\n', ''],
    READERS,
  ),
  plant(
    'metrics: the desk shows a key again that was refused',
    'engine/dashboard/desk/pulse-board.js',
    ['    this.#refused = key\n', ''],
    'browser/desk',
  ),
  ...SETTING_PLANTS,
  ...PUBLISHED_PLANTS,
  ...FILE_PLANTS,
  ...SCOPE_PLANTS,
]
