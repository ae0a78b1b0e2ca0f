/**
 * The settings: what a wrong one says, word by word, and what the defaults are.
 *
 * The messages are golden because they are the whole user interface of a failed start: each names the value, where it
 * came from and how to mend it. Change one here when you change it there, and read it as its reader would.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { ConfigError, distance, nearest, readConfig, readTarget, settingsGiven } from '../../engine/config.ts'
import { checkStart } from '../../engine/main/start-check.ts'
import { SETTINGS } from '../../engine/settings.ts'
import { clusterAddress, redisCli, redisOptions, serverUrl } from '../../engine/store/connection/address.ts'

const noSetting = (name: string, meant: string) =>
  `${name} (from the environment) is not a setting; did you mean ${meant}? Unset it; docs/config.md has them all.`

const MESSAGES: readonly (readonly [Record<string, string>, string])[] = [
  [
    { PORT: 'http' },
    'PORT: "http" (from the environment) is not a whole number; give port. Where HTTP and the stream listen; 0 takes a free one.',
  ],
  [
    { PORT: '65536' },
    'PORT: "65536" (from the environment) is out of bounds; give 0 to 65535 port. Where HTTP and the stream listen; 0 takes a free one.',
  ],
  [
    { PORT: '80.5' },
    'PORT: "80.5" (from the environment) is not a whole number; give port. Where HTTP and the stream listen; 0 takes a free one.',
  ],
  [
    { PORT: ' ' },
    'PORT: " " (from the environment) is not a whole number; give port. Where HTTP and the stream listen; 0 takes a free one.',
  ],
  [
    { PORT: '0x50' },
    'PORT: "0x50" (from the environment) is not a whole number; give port. Where HTTP and the stream listen; 0 takes a free one.',
  ],
  [
    { FAIRGRAB_JWT_SECRET_PREVIOUS: 'short' },
    'FAIRGRAB_JWT_SECRET_PREVIOUS (from the environment) is shorter than 32 bytes; make one with: openssl rand -hex 32',
  ],
  [
    { FAIRGRAB_WORKERS: '-1' },
    'FAIRGRAB_WORKERS: "-1" (from the environment) is out of bounds; give 0 to 64 processes. Workers that share the port; 0 is the cores less one.',
  ],
  [
    { FAIRGRAB_WORKERS: '65' },
    'FAIRGRAB_WORKERS: "65" (from the environment) is out of bounds; give 0 to 64 processes. Workers that share the port; 0 is the cores less one.',
  ],
  [
    { FAIRGRAB_BATCH_CLAIMS: '0' },
    'FAIRGRAB_BATCH_CLAIMS: "0" (from the environment) is out of bounds; give 1 to 512 claims. The most claims one script call decides.',
  ],
  [
    { FAIRGRAB_BATCHES_IN_FLIGHT: '5' },
    'FAIRGRAB_BATCHES_IN_FLIGHT: "5" (from the environment) is out of bounds; give 1 to 4 batches. Script calls of one round under way at once.',
  ],
  [
    { FAIRGRAB_RATE_USER: '20/s' },
    'FAIRGRAB_RATE_USER: "20/s" (from the environment) is not a whole number; give requests/s. What one user token may ask; 0 is no limit.',
  ],
  [
    { FAIRGRAB_DURABILITY: 'fsync' },
    'FAIRGRAB_DURABILITY: "fsync" (from the environment) is not one of memory, everysec, always, replicated, fenced; set it to one of them, or unset it for always. What Redis must have done before a grant is acknowledged.',
  ],
  [
    { FAIRGRAB_METRICS: 'yes' },
    'FAIRGRAB_METRICS: "yes" (from the environment) is not one of public, key, off; set it to one of them, or unset it. Who may read /metrics: everybody, keys of operators and viewers, or nobody; unset is key with FAIRGRAB_KEYS, else public.',
  ],
  [
    { LOG_LEVEL: 'verbose' },
    'LOG_LEVEL: "verbose" (from the environment) is not one of trace, debug, info, warn, error, fatal, silent; set it to one of them, or unset it for info. The least level that is logged.',
  ],
  [
    { FAIRGRAB_JWT_SECRET: 'x'.repeat(31) },
    'FAIRGRAB_JWT_SECRET (from the environment) is shorter than 32 bytes; make one with: openssl rand -hex 32',
  ],
  [
    { FAIRGRAB_DURABILITY: 'replicated', REDIS_URL: 'redis://host' },
    'FAIRGRAB_REPLICAS: 0 (from the environment) does not fit FAIRGRAB_DURABILITY replicated; set both, replicated or fenced and the number of replicas that may be promoted, or neither',
  ],
  [
    { FAIRGRAB_REPLICAS: '2' },
    'FAIRGRAB_REPLICAS: 2 (from the environment) does not fit FAIRGRAB_DURABILITY always; set both, replicated or fenced and the number of replicas that may be promoted, or neither',
  ],
  [
    { FAIRGRAB_DURABILITY: 'replicated', FAIRGRAB_REPLICAS: '1' },
    'FAIRGRAB_DURABILITY replicated needs REDIS_URL: the embedded redis-server has no replicas',
  ],
  [
    { FAIRGRAB_VOUCHER_SECRET: 'ab'.repeat(31) },
    'FAIRGRAB_VOUCHER_SECRET (from the environment) is not 64 hex digits; make one with: openssl rand -hex 32',
  ],
  [
    { FAIRGRAB_VOUCHER_SECRET: 'z'.repeat(64) },
    'FAIRGRAB_VOUCHER_SECRET (from the environment) is not 64 hex digits; make one with: openssl rand -hex 32',
  ],
  [
    { FAIRGRAB_HEAD_BYTES: '4095' },
    'FAIRGRAB_HEAD_BYTES: "4095" (from the environment) is out of bounds; give 4096 to 65536 bytes. The longest head of a request, its first line and its headers with their cookies.',
  ],
  [
    { FAIRGRAB_HEAD_BYTES: '65537' },
    'FAIRGRAB_HEAD_BYTES: "65537" (from the environment) is out of bounds; give 4096 to 65536 bytes. The longest head of a request, its first line and its headers with their cookies.',
  ],
  [
    { FAIRGRAB_JWT_SECRET: Buffer.alloc(32, 0xc4).toString() },
    'FAIRGRAB_JWT_SECRET (from the environment) is not UTF-8; write bytes as hex. Verifies user tokens signed with HS256; at least 32 bytes.',
  ],
  ...['FAIRGRAB_JWT_ISSUER', 'FAIRGRAB_JWT_AUDIENCE'].map(
    name =>
      [
        { [name]: 'shop' },
        `${name} (from the environment) has no effect without FAIRGRAB_JWT_SECRET, FAIRGRAB_JWT_PUBLIC_KEY or FAIRGRAB_JWKS; set the one that verifies user tokens, or unset it`,
      ] as const,
  ),
  [
    { FAIRGRAB_JWT_SECRET: 'x'.repeat(32), FAIRGRAB_JWT_AUDIENCE: ' ' },
    'FAIRGRAB_JWT_AUDIENCE (from the environment) is white space; write what tokens have there, or unset it',
  ],
  [
    { FAIRGRAB_JWT_SECRET_PREVIOUS: 'x'.repeat(32), FAIRGRAB_JWKS: 'keys.json' },
    'FAIRGRAB_JWT_SECRET_PREVIOUS (from the environment) is set without FAIRGRAB_JWT_SECRET; set the secret that signs now as FAIRGRAB_JWT_SECRET, the one before it as FAIRGRAB_JWT_SECRET_PREVIOUS',
  ],
  [
    { FAIRGRAB_TRUSTED_PROXIES: ' , ' },
    'FAIRGRAB_TRUSTED_PROXIES: " , " (from the environment) names no proxy; write addresses and networks like 10.0.0.7, 10.0.0.0/8 or fd00::/8, or unset it',
  ],
  [{ FAIRGRAB_WORKER: '2' }, noSetting('FAIRGRAB_WORKER', 'FAIRGRAB_WORKERS')],
  [{ FAIRGRAB_KEYZ: '' }, noSetting('FAIRGRAB_KEYZ', 'FAIRGRAB_KEYS')],
  [{ FAIRGRAB_RATE_ADRESS: '1' }, noSetting('FAIRGRAB_RATE_ADRESS', 'FAIRGRAB_RATE_ADDRESS')],
]

test.each(MESSAGES)('%o stops the start with its message', (env, message) => {
  const error = (() => {
    try {
      return readConfig(env)
    } catch (cause) {
      return cause
    }
  })()
  expect(error).toBeInstanceOf(ConfigError)
  expect((error as ConfigError).message).toBe(message)
})

test.each([
  ['localhost', 'REDIS_URL: "localhost" is not an address; write redis://host:6379 or unix:///path/redis.sock'],
  [
    'http://host:6379',
    'REDIS_URL: "http:" is not known; use redis://, rediss://, redis+sentinel://, redis+cluster:// or unix://',
  ],
  [
    'redis+sentinel://host:1',
    'REDIS_URL: "redis+sentinel://host:1" is not an address; write redis+sentinel://host:26379,',
  ],
  ['redis://host/cache', 'REDIS_URL: "/cache" is not the number of a database; write redis://host:6379/0'],
])('REDIS_URL=%s stops the start with its message', (url, message) => {
  expect(() => redisOptions(url)).toThrow(message)
})

test.each([
  ['redis+cluster://', 'REDIS_URL: "redis+cluster://" is not an address; write redis+cluster://host:6379,host:6379'],
  [
    'redis+cluster://a:1,redis://b:1',
    'REDIS_URL: "redis+cluster://a:1,redis://b:1" begins a second time; only its servers are set apart by commas',
  ],
  ['redis+cluster://a:1/2', 'REDIS_URL: "redis+cluster://a:1/2" names a database, and a cluster has number 0 only'],
  ['redis+cluster://me:secret@a:1,', 'REDIS_URL: "redis+cluster://a:1," has a host that is none'],
  ['redis+cluster://a:1,b:x', 'REDIS_URL: "redis+cluster://a:1,b:x" has a host that is none'],
  ['redis+cluster://a:0', 'REDIS_URL: "redis+cluster://a:0" has a host that is none'],
  ['redis+cluster://me:a%zz@b', 'REDIS_URL: a "%" in its name or password is not followed by two hexadecimal digits'],
  ['redis+cluster://me:p@ss@a', 'REDIS_URL: it has a "#", a "?" or more than one "@"'],
])('REDIS_URL=%s stops the start with its message', (url, message) => {
  expect(() => clusterAddress(url)).toThrow(message)
})

test('the address of a cluster', () => {
  expect(['redis://a:1', 'unix:///a', 'redis+sentinel://a/b'].map(clusterAddress)).toEqual([
    undefined,
    undefined,
    undefined,
  ])
  const cluster = clusterAddress('rediss+cluster://me:p%40ss@one,two:7000,[::1]:7001/0')
  expect(cluster?.seeds).toEqual(['one:6379', 'two:7000', '[::1]:7001'])
  expect(redisOptions(cluster?.urlOf('[::1]:7001') as string)).toMatchObject({
    ...{ host: '::1', port: 7001, db: 0, username: 'me', password: 'p@ss', tls: {} },
  })
  expect(redisCli('redis+cluster://me:secret@one,two')).toBe('redis-cli --cluster call one:6379')
  const second = serverUrl('rediss+cluster://me:secret@one', 'two:7001')
  expect(redisCli(second, { ca: '/ca.pem' })).toBe('redis-cli -h two -p 7001 --tls --cacert /ca.pem')
})

test('another server of the same Redis has the same name, password and TLS', () => {
  for (const [url, other] of [
    ['redis://me:p%40ss@one:7000/3', 'redis://me:p%40ss@two:7001'],
    ['rediss://one', 'rediss://two:7001'],
    ['redis+sentinel://me:secret@one:1,three:2/main/3', 'redis://me:secret@two:7001'],
    ['rediss+cluster://:secret@one,three', 'rediss://:secret@two:7001'],
    ['unix:///run/redis@home.sock', 'redis://two:7001'],
  ] as const)
    expect(serverUrl(url, 'two:7001')).toBe(other)
})

test('addresses of Redis', () => {
  const protocol = 2
  expect(redisOptions('unix:///run/redis.sock')).toEqual({ path: '/run/redis.sock', protocol })
  expect(redisOptions('redis://host')).toEqual({ host: 'host', port: 6379, db: 0, protocol })
  expect(redisOptions('redis://me:p%40ss@[::1]:7000/3')).toEqual({
    host: '::1',
    port: 7000,
    db: 3,
    username: 'me',
    password: 'p@ss',
    protocol,
  })
  expect(redisOptions('rediss://host')).toMatchObject({ tls: {} })
  expect(redisOptions('redis+sentinel://me:p%40ss@one,two:7000/prime/3')).toMatchObject({
    sentinels: [
      { host: 'one', port: 26379 },
      { host: 'two', port: 7000 },
    ],
    ...{ name: 'prime', db: 3, username: 'me', password: 'p@ss', protocol },
  })
})

test('an empty environment gives the defaults, and an empty value is no value', () => {
  const config = readConfig({})
  expect(config).toEqual(readConfig(Object.fromEntries(SETTINGS.map(({ name }) => [name, '']))))
  expect(config).toMatchObject({ port: 8080, host: '127.0.0.1', redisUrl: '', dataDir: './data', durability: 'always' })
  expect(config).toMatchObject({
    batchClaims: 512,
    batchesInFlight: 4,
    rateUser: 20,
    rateAddress: 200,
    rateKey: 0,
    origins: [],
  })
  expect(config.workers).toBeGreaterThanOrEqual(1)
})

test('with keys the metrics need one, without keys they need none, unless it is told', () => {
  expect([readConfig({}).metrics, readConfig({ FAIRGRAB_KEYS: 'operator:some-long-key' }).metrics]).toEqual([
    'public',
    'key',
  ])
  expect(readConfig({ FAIRGRAB_METRICS: 'off' }).metrics).toBe('off')
})

test('with keys it listens everywhere, without them on this machine only, unless it is told', () => {
  expect(readConfig({ FAIRGRAB_KEYS: 'operator:some-long-key' }).host).toBe('')
  expect(readConfig({ HOST: '::1', FAIRGRAB_KEYS: 'operator:some-long-key' }).host).toBe('::1')
})

test('the bounds themselves are allowed, and variables of others are left alone', () => {
  const env = {
    PORT: '65535',
    FAIRGRAB_BATCH_CLAIMS: '1',
    FAIRGRAB_WORKERS: '64',
    HOME: '/x',
    FAIRGRAB_URL: 'u',
    FAIRGRAB_KEY: 'k',
  }
  expect(readConfig(env)).toMatchObject({ port: 65535, batchClaims: 1, workers: 64 })
  expect(readConfig({ FAIRGRAB_ORIGINS: 'https://a.example,https://b.example' }).origins).toEqual([
    'https://a.example',
    'https://b.example',
  ])
  expect(readConfig({ FAIRGRAB_JWT_PUBLIC_KEY: 'a\\nb' }).jwtPublicKey).toBe('a\nb')
  expect(readTarget(env)).toEqual({ url: 'u', key: 'k' })
})

test('the nearest word by single edits', () => {
  expect(distance('kitten', 'sitting')).toBe(3)
  expect([distance('', 'abc'), distance('abc', ''), distance('a', 'a')]).toEqual([3, 3, 0])
  expect(
    nearest(
      'FAIRGRAB_DURABLE',
      SETTINGS.map(({ name }) => name),
    ),
  ).toBe('FAIRGRAB_DURABILITY')
})

test('origins are as browsers send them, and what is no origin stops the start', () => {
  const origins = (text: string) => readConfig({ FAIRGRAB_ORIGINS: text }).origins
  expect(origins('https://a.example/, https://B.example:443,http://c.example:8080')).toEqual([
    'https://a.example',
    'https://b.example',
    'http://c.example:8080',
  ])
  // Apps that show pages of their own have origins of their own.
  expect(origins('capacitor://localhost, ionic://LOCALHOST/,tauri://app.example:99')).toEqual([
    'capacitor://localhost',
    'ionic://localhost',
    'tauri://app.example:99',
  ])
  for (const wrong of [
    'capacitor://',
    'capacitor://*',
    'capacitor://a/b',
    'capacitor://u@a',
    'file://a',
    'data:a',
    'app:a',
  ])
    expect(() => origins(wrong)).toThrow(`FAIRGRAB_ORIGINS: "${wrong}" (from the environment)`)
  for (const wrong of ['a.example', '*', 'https://*.example', 'https://a.example/shop', 'null', 'ftp://a.example'])
    expect(() => origins(`https://b.example,${wrong}`)).toThrow(`FAIRGRAB_ORIGINS: "${wrong}" (from the environment)`)
})

test('white space behind a secret is no part of it', () => {
  const hex = 'ab'.repeat(32)
  const secrets = { FAIRGRAB_JWT_SECRET: `${hex}\n`, FAIRGRAB_VOUCHER_SECRET: `${hex} \r\n`, FAIRGRAB_DRAW_SECRET: hex }
  expect(readConfig(secrets)).toMatchObject({ jwtSecret: hex, voucherSecret: hex, drawSecret: hex })
})

/** A file of this test with these bytes. */
function file(bytes: string | Buffer): string {
  const folder = mkdtempSync(join(tmpdir(), 'fg-secret-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  writeFileSync(join(folder, 'secret'), bytes)
  return join(folder, 'secret')
}

test('each secret may be in a file, without the white space at its end, and is shown nowhere', () => {
  const hex = 'ab'.repeat(32)
  const secrets = {
    REDIS_URL: 'redis://:password@127.0.0.1:6379',
    FAIRGRAB_KEYS: 'operator:0123456789',
    FAIRGRAB_JWT_SECRET: hex,
    FAIRGRAB_VOUCHER_SECRET: hex,
    FAIRGRAB_DRAW_SECRET: hex,
  }
  const files = Object.fromEntries(
    Object.entries(secrets).map(([name, text]) => [`${name}_FILE`, file(`${text}\r\n `)]),
  )
  const read = { ...secrets, ...Object.fromEntries(Object.keys(files).map(name => [name, ''])) }
  expect(readConfig(files)).toEqual({ ...readConfig(secrets), keysFile: files.FAIRGRAB_KEYS_FILE, read })
  expect(readConfig({ ...files, ...read })).toEqual(readConfig(secrets))
  expect(settingsGiven(files)).toEqual(Object.entries(files).map(([name, value]) => ({ name, value })))
  expect(settingsGiven(secrets).map(({ value }) => value)).toEqual(Array(5).fill('set'))
  expect(readTarget({ FAIRGRAB_KEY_FILE: file('a key\n'), FAIRGRAB_KEYS_FILE: '/nowhere' }).key).toBe('a key')
})

test('a secret that is set twice, or in a file that cannot be used, is refused without it', () => {
  const twice = { FAIRGRAB_KEYS: 'operator:0123456789', FAIRGRAB_KEYS_FILE: file('operator:0123456789') }
  expect(() => readConfig(twice)).toThrow(
    'FAIRGRAB_KEYS and FAIRGRAB_KEYS_FILE (from the environment) are both set; unset one of them',
  )
  const empty = file(' \n')
  expect(() => readConfig({ FAIRGRAB_KEYS_FILE: empty })).toThrow(
    `FAIRGRAB_KEYS_FILE: "${empty}" (from the environment) is empty; write the secret into it, or unset the setting`,
  )
  expect(() => readConfig({ FAIRGRAB_KEYS_FILE: '/nowhere' })).toThrow(
    /^FAIRGRAB_KEYS_FILE: "\/nowhere" \(from the environment\) cannot be read: ENOENT.*; name a file that this user may read$/,
  )
  expect(() => readConfig({ FAIRGRAB_JWT_SECRET_FILE: file(Buffer.alloc(32, 0xc4)) })).toThrow('is not UTF-8')
  expect(() => readConfig({ FAIRGRAB_JWT_SECRET_FILE: file(`${'a'.repeat(40)}\0`) })).toThrow('has a byte of zero')
  expect(() => readConfig({ FAIRGRAB_JWT_SECRET_FILE: file('short') })).toThrow(
    'FAIRGRAB_JWT_SECRET (from the file of FAIRGRAB_JWT_SECRET_FILE) is shorter than 32 bytes',
  )
  expect(() => readConfig({ FAIRGRAB_DURABILITY_FILE: file('always') })).toThrow(
    noSetting('FAIRGRAB_DURABILITY_FILE', 'FAIRGRAB_DURABILITY'),
  )
})

test.each([
  ['10.0.0.7, 10.0.0.0/8,fd00::/8', ['10.0.0.7', '10.0.0.0/8', 'fd00::/8']],
  ['', []],
])('the proxies %s are %o', (text, networks) => {
  expect(readConfig({ FAIRGRAB_TRUSTED_PROXIES: text }).trustedProxies).toEqual(networks)
})

test('a proxy that is neither an address nor a network stops the start by name', () => {
  const env = { FAIRGRAB_TRUSTED_PROXIES: '10.0.0.1, proxy.example' }
  expect(() => checkStart(readConfig(env))).toThrow(
    'FAIRGRAB_TRUSTED_PROXIES: "proxy.example" (from the environment) is neither an address nor a network; write them like 10.0.0.7, 10.0.0.0/8 or fd00::/8',
  )
})

test.each(['0.0.0.0/0', '1.2.3.4/0', '::/0', '::ffff:0.0.0.0/96'])(
  'the proxy %s, which is everybody, stops the start',
  entry => {
    const env = { FAIRGRAB_TRUSTED_PROXIES: `10.0.0.1, ${entry}` }
    expect(() => checkStart(readConfig(env))).toThrow(
      `FAIRGRAB_TRUSTED_PROXIES: "${entry}" (from the environment) is everybody, and whoever is trusted may write any address; name your proxies, never a network that clients are in`,
    )
    expect(() => checkStart(readConfig({ FAIRGRAB_TRUSTED_PROXIES: '10.0.0.0/8, fd00::/8' }))).not.toThrow()
  },
)

test('white space behind an issuer and an audience is no part of them', () => {
  const secret = { FAIRGRAB_JWT_SECRET: 'x'.repeat(32) }
  const env = { ...secret, FAIRGRAB_JWT_ISSUER: 'https://id.example \n', FAIRGRAB_JWT_AUDIENCE: 'shop\t' }
  const { jwtIssuer, jwtAudience } = readConfig(env)
  expect([jwtIssuer, jwtAudience]).toEqual(['https://id.example', 'shop'])
  for (const key of [{ FAIRGRAB_JWT_PUBLIC_KEY: 'k' }, { FAIRGRAB_JWKS: 'f' }])
    expect(readConfig({ ...key, FAIRGRAB_JWT_ISSUER: 'i' }).jwtIssuer).toBe('i')
})
