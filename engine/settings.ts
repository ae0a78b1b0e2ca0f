/**
 * Every setting, once: name, unit, default, bounds, sentence. engine/config.ts reads them; the help of `fairgrab up` is made of
 * them, and docs/config.md has a row for each, which a test compares.
 */
export interface Row {
  readonly name: string
  readonly unit: string
  readonly default: string
  readonly min?: number
  readonly max?: number
  readonly choices?: readonly string[]
  readonly sentence: string
}

const row = (name: string, unit: string, fallback: string, sentence: string, more: Partial<Row> = {}): Row => ({
  name,
  unit,
  default: fallback,
  sentence,
  ...more,
})
const count = (name: string, unit: string, fallback: number, [min, max]: readonly [number, number], sentence: string) =>
  row(name, unit, String(fallback), sentence, { min, max })

export const SETTINGS = [
  count('PORT', 'port', 8080, [0, 65535], 'Where HTTP and the stream listen; 0 takes a free one.'),
  row('HOST', 'address', '', 'The address to listen on; all of them, or 127.0.0.1 while FAIRGRAB_KEYS is unset.'),
  row(
    'REDIS_URL',
    'address',
    '',
    'redis://, rediss://, redis+sentinel://, redis+cluster:// or unix://; unset starts an embedded redis-server.',
  ),
  row('FAIRGRAB_REDIS_CA', 'file', '', 'PEM of the authority that signed the certificate of a rediss:// server.'),
  row('FAIRGRAB_REDIS_CERT', 'file', '', 'PEM of the certificate that the engine shows to a rediss:// server.'),
  row('FAIRGRAB_REDIS_KEY', 'file', '', 'PEM of the private key of that certificate.'),
  row(
    'FAIRGRAB_DATA_DIR',
    'folder',
    './data',
    'Where the embedded redis-server and the journals of the level fenced live.',
  ),
  row('FAIRGRAB_KEYS', 'role:key,…', '', 'API keys: operator, platform, merchant or viewer, a colon, the key.'),
  row(
    'FAIRGRAB_METRICS',
    'who',
    '',
    'Who may read /metrics: everybody, keys of operators and viewers, or nobody; unset is key with FAIRGRAB_KEYS, else public.',
    { choices: ['public', 'key', 'off'] },
  ),
  row('FAIRGRAB_JWT_SECRET', 'text', '', 'Verifies user tokens signed with HS256; at least 32 bytes.'),
  row('FAIRGRAB_JWT_SECRET_PREVIOUS', 'text', '', 'The secret before it, while tokens that it signed are about.'),
  row('FAIRGRAB_JWT_ISSUER', 'text', '', 'What the claim iss of user tokens has to be; unset takes any.'),
  row('FAIRGRAB_JWT_AUDIENCE', 'text', '', 'What the claim aud of user tokens has to name; unset takes any.'),
  row('FAIRGRAB_JWT_PUBLIC_KEY', 'PEM', '', 'Verifies user tokens signed with EdDSA (Ed25519).'),
  row(
    'FAIRGRAB_JWKS',
    'file or address',
    '',
    'Published keys that verify user tokens (RS256, ES256, EdDSA): a file, or an https:// address.',
  ),
  row('FAIRGRAB_VOUCHER_SECRET', 'hex', '', 'What voucher codes derive from, 32 bytes; unset keeps one in Redis.'),
  row(
    'FAIRGRAB_DRAW_SECRET',
    'hex',
    '',
    'What tags, receipts and beacons derive from, 32 bytes; unset keeps one in Redis.',
  ),
  row('FAIRGRAB_DURABILITY', 'level', 'always', 'What Redis must have done before a grant is acknowledged.', {
    choices: ['memory', 'everysec', 'always', 'replicated', 'fenced'],
  }),
  row(
    'FAIRGRAB_DURABILITY_DECLARED',
    'yes or no',
    'no',
    'Grants also where the server lets nobody read whether it gives the level: its provider promises it.',
    { choices: ['no', 'yes'] },
  ),
  count('FAIRGRAB_REPLICAS', 'replicas', 0, [0, 16], 'At replicated and fenced: all replicas that may be promoted.'),
  count('FAIRGRAB_WORKERS', 'processes', 0, [0, 64], 'Workers that share the port; 0 is the cores less one.'),
  count('FAIRGRAB_BATCH_CLAIMS', 'claims', 512, [1, 512], 'The most claims one script call decides.'),
  count('FAIRGRAB_BATCHES_IN_FLIGHT', 'batches', 4, [1, 4], 'Script calls of one round under way at once.'),
  count('FAIRGRAB_SOCKETS', 'sockets', 18000, [1, 1_000_000], 'Stream sockets one worker accepts.'),
  count(
    'FAIRGRAB_SOCKETS_ADDRESS',
    'sockets',
    0,
    [0, 1_000_000],
    'Stream sockets one worker accepts of one address without a credential; 0 is no limit.',
  ),
  count(
    'FAIRGRAB_HEAD_BYTES',
    'bytes',
    16_384,
    [4096, 65_536],
    'The longest head of a request, its first line and its headers with their cookies.',
  ),
  count('FAIRGRAB_RATE_USER', 'requests/s', 20, [0, 1_000_000], 'What one user token may ask; 0 is no limit.'),
  count(
    'FAIRGRAB_RATE_ADDRESS',
    'requests/s',
    200,
    [0, 1_000_000],
    'What one address may ask without a key; 0 is no limit.',
  ),
  count('FAIRGRAB_RATE_KEY', 'requests/s', 0, [0, 10_000_000], 'What one API key may ask; 0 is no limit.'),
  count(
    'FAIRGRAB_RATE_WRONG_CODES',
    'codes/s',
    0,
    [0, 1_000_000],
    'Voucher codes that do not exist one caller may ask for; 0 is no limit.',
  ),
  row(
    'FAIRGRAB_ORIGINS',
    'origins',
    '',
    'Origins whose pages may call the engine and open the stream besides its own, comma separated.',
  ),
  row(
    'FAIRGRAB_TRUSTED_PROXIES',
    'networks',
    '',
    'Proxies whose X-Forwarded-For says who asks: addresses and networks (10.0.0.0/8), comma separated.',
  ),
  row('FAIRGRAB_ARRIVALS', 'folder', '', 'Where each worker records when each decided claim arrived; for measuring.'),
  row('LOG_LEVEL', 'level', 'info', 'The least level that is logged.', {
    choices: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
  }),
] as const satisfies readonly Row[]

export type SettingName = (typeof SETTINGS)[number]['name']
