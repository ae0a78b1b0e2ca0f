/**
 * The settings (engine/settings.ts) as the environment gives them. This is the only file that reads it.
 * A start-up error names the value, where it came from and how to correct it; an unknown FAIRGRAB_ variable stops the
 * start and names the nearest known one, because a misspelt limit that is silently ignored is found at 20:00:00.
 */
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { GARBLED, utf8Text } from './base/text.ts'
import { type Row, SETTINGS, type SettingName } from './settings.ts'

/** Of what must not be shown only whether it is set is shown; and it may be in a file. */
const SECRETS = [
  'REDIS_URL',
  'FAIRGRAB_KEYS',
  'FAIRGRAB_JWT_SECRET',
  'FAIRGRAB_JWT_SECRET_PREVIOUS',
  'FAIRGRAB_VOUCHER_SECRET',
  'FAIRGRAB_DRAW_SECRET',
  'FAIRGRAB_KEY',
]
/** Whether NAME_FILE may name a file of it. */
export const isSecret = (name: string): boolean => SECRETS.includes(name)
const fileOf = (name: string): string => `${name}_FILE`

const TLS_FILES = { ca: 'FAIRGRAB_REDIS_CA', cert: 'FAIRGRAB_REDIS_CERT', key: 'FAIRGRAB_REDIS_KEY' } as const

/** Variables of the command line's own; known so that they do not stop the start. */
const OF_THE_CLI = ['FAIRGRAB_URL', 'FAIRGRAB_KEY']

/** What Kubernetes puts into each container for a Service that is called fairgrab, or fairgrab and more. */
const OF_A_SERVICE = /^FAIRGRAB_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$/
const isOfAService = (name: string, value = ''): boolean =>
  OF_A_SERVICE.test(name) || (/^FAIRGRAB_(\w+_)?PORT$/.test(name) && /^(tcp|udp|sctp):\/\//.test(value))

export interface Config {
  readonly port: number
  /** Empty: every address, of both families where the system has both. */
  readonly host: string
  readonly redisUrl: string
  /** Paths of files; each is there only where it is set. */
  readonly redisTls: { readonly ca?: string; readonly cert?: string; readonly key?: string }
  readonly dataDir: string
  readonly keys: string
  /** The file that they are in, which is read again while a node runs; empty where it is none. */
  readonly keysFile: string
  /** Secrets that were read from files, as variables for the workers of a node: of two readings of a file each may be another. */
  readonly read: Readonly<Record<string, string>>
  /** Who may read the metrics. */
  readonly metrics: 'public' | 'key' | 'off'
  readonly jwtSecret: string
  readonly jwtSecretPrevious: string
  readonly jwtIssuer: string
  readonly jwtAudience: string
  readonly jwtPublicKey: string
  /** A file or an address; whether it can be used is seen at the start (main/key-source.ts). */
  readonly jwks: string
  readonly voucherSecret: string
  readonly drawSecret: string
  readonly durability: 'memory' | 'everysec' | 'always' | 'replicated' | 'fenced'
  readonly durabilityDeclared: boolean
  readonly replicas: number
  readonly workers: number
  readonly batchClaims: number
  readonly batchesInFlight: number
  readonly sockets: number
  readonly socketsAddress: number
  readonly headBytes: number
  readonly rateUser: number
  readonly rateAddress: number
  readonly rateKey: number
  readonly rateWrongCodes: number
  readonly origins: readonly string[]
  /** Addresses and networks; whether they can be read is seen at the start (main/start-check.ts). */
  readonly trustedProxies: readonly string[]
  /** Empty: nothing is recorded. */
  readonly arrivals: string
  readonly logLevel: string
}

/** A setting that cannot be used: the text is the whole message for the person at the terminal. */
export class ConfigError extends Error {}

/** How many single edits lead from one word to the other (Levenshtein). */
export function distance(a: string, b: string): number {
  let last = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = (last[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next[j] = Math.min(change, (last[j] as number) + 1, (next[j - 1] as number) + 1)
    }
    last = next
  }
  return last[b.length] as number
}

/** The known word nearest to an unknown one. */
export function nearest(word: string, known: readonly string[]): string {
  return [...known].sort((a, b) => distance(word, a) - distance(word, b))[0] as string
}

/** What to do about an unknown word: the known one that was meant, where one is near, and then what helps in any case. */
export function suggestion(word: string, known: readonly string[], help: string): string {
  const close = nearest(word, known)
  if (2 * distance(word, close) <= word.length) return `did you mean ${close}? ${help}`
  return help.charAt(0).toLowerCase() + help.slice(1)
}

/** What was set, and where: in the environment, or for a secret in a file that it names. */
class Given {
  readonly #env: NodeJS.ProcessEnv

  constructor(env: NodeJS.ProcessEnv) {
    this.#env = env
  }

  /** Empty where it is not set. Throws ConfigError for a file that cannot be used, and for a secret that is set twice. */
  value(name: string): string {
    const value = this.#env[name] ?? ''
    const path = this.pathOf(name)
    if (path === '') return value
    if (value === '') return secretIn(fileOf(name), path)
    throw new ConfigError(`${name} and ${fileOf(name)} (from the environment) are both set; unset one of them`)
  }

  /** For the person at the terminal. */
  source(name: string): string {
    return this.pathOf(name) === '' ? 'from the environment' : `from the file of ${fileOf(name)}`
  }

  /** The file of a secret; empty where there is none. */
  pathOf(name: string): string {
    return isSecret(name) ? (this.#env[fileOf(name)] ?? '') : ''
  }
}

/** Variables that stand for the files of secrets, with what was read from them. */
function readIn(given: Given, values: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const names = Object.keys(values).filter(name => given.pathOf(name) !== '')
  return Object.fromEntries(
    names.flatMap(name => [[name, values[name] as string] as const, [fileOf(name), ''] as const]),
  )
}

/** The text of a file without the white space at its end, which editors and `echo` leave there. */
export function secretIn(setting: string, path: string): string {
  const wrong = (why: string) => new ConfigError(`${setting}: "${path}" (from the environment) ${why}`)
  let text: string | undefined
  try {
    text = utf8Text(readFileSync(path))?.trimEnd()
  } catch (cause) {
    throw wrong(`cannot be read: ${(cause as Error).message}; name a file that this user may read`)
  }
  if (text === undefined) throw wrong('is not UTF-8; write bytes as hex')
  if (text === '') throw wrong('is empty; write the secret into it, or unset the setting')
  if (text.includes('\0')) throw wrong('has a byte of zero, which no variable can have; write bytes as hex')
  return text
}

function checked(setting: Row, given: Given): string {
  const value = given.value(setting.name) || setting.default
  const source = given.source(setting.name)
  const wrong = (why: string) => new ConfigError(`${setting.name}: "${value}" (${source}) ${why}. ${setting.sentence}`)
  if (value.includes(GARBLED))
    throw new ConfigError(`${setting.name} (${source}) is not UTF-8; write bytes as hex. ${setting.sentence}`)
  if (setting.choices && ![setting.default, ...setting.choices].includes(value))
    throw wrong(
      `is not one of ${setting.choices.join(', ')}; set it to one of them, or unset it${setting.default && ` for ${setting.default}`}`,
    )
  if (setting.min === undefined) return value
  const number = Number(value)
  if (!/^-?\d+$/.test(value)) throw wrong(`is not a whole number; give ${setting.unit}`)
  if (number < setting.min || number > (setting.max ?? Infinity))
    throw wrong(`is out of bounds; give ${setting.min} to ${setting.max} ${setting.unit}`)
  return value
}

function refuseUnknown(env: NodeJS.ProcessEnv): void {
  const known = [...SETTINGS.map(setting => setting.name as string), ...SECRETS.map(fileOf), ...OF_THE_CLI]
  for (const [name, value] of Object.entries(env)) {
    if (name.startsWith('FAIRGRAB_') && !known.includes(name) && !isOfAService(name, value))
      throw new ConfigError(
        `${name} (from the environment) is not a setting; ${suggestion(name.replace(/^FAIRGRAB_(?=(PORT|HOST|LOG_LEVEL|REDIS_URL)$)/, ''), known, 'Unset it; docs/config.md has them all.')}`,
      )
  }
}

function refuseWeak(config: Config, given: Given): Config {
  for (const [name, secret] of [
    ['FAIRGRAB_JWT_SECRET', config.jwtSecret],
    ['FAIRGRAB_JWT_SECRET_PREVIOUS', config.jwtSecretPrevious],
  ] as const)
    if (secret !== '' && Buffer.byteLength(secret) < 32)
      throw new ConfigError(
        `${name} (${given.source(name)}) is shorter than 32 bytes; make one with: openssl rand -hex 32`,
      )
  for (const [name, secret] of [
    ['FAIRGRAB_VOUCHER_SECRET', config.voucherSecret],
    ['FAIRGRAB_DRAW_SECRET', config.drawSecret],
  ] as const)
    if (secret !== '' && !/^[0-9a-f]{64}$/i.test(secret))
      throw new ConfigError(`${name} (${given.source(name)}) is not 64 hex digits; make one with: openssl rand -hex 32`)
  return config
}

/** What checks user tokens does nothing where nothing verifies them, and whoever set it believes that it does. */
function refuseIdle(config: Config, given: Given): Config {
  const { jwtSecret, jwtSecretPrevious, jwtPublicKey, jwks } = config
  for (const [name, value] of [
    ['FAIRGRAB_JWT_ISSUER', config.jwtIssuer],
    ['FAIRGRAB_JWT_AUDIENCE', config.jwtAudience],
  ] as const) {
    if (value === '' && given.value(name) !== '')
      throw new ConfigError(`${name} (${given.source(name)}) is white space; write what tokens have there, or unset it`)
    if (value !== '' && jwtSecret + jwtPublicKey + jwks === '')
      throw new ConfigError(
        `${name} (${given.source(name)}) has no effect without FAIRGRAB_JWT_SECRET, FAIRGRAB_JWT_PUBLIC_KEY or FAIRGRAB_JWKS; ` +
          'set the one that verifies user tokens, or unset it',
      )
  }
  const previous = 'FAIRGRAB_JWT_SECRET_PREVIOUS'
  if (jwtSecretPrevious !== '' && jwtSecret === '')
    throw new ConfigError(
      `${previous} (${given.source(previous)}) is set without FAIRGRAB_JWT_SECRET; ` +
        `set the secret that signs now as FAIRGRAB_JWT_SECRET, the one before it as ${previous}`,
    )
  return config
}

/** The levels replicated and fenced need replicas to count, and only they count them. */
function refuseUncounted(config: Config): Config {
  const replicated = config.durability === 'replicated' || config.durability === 'fenced'
  if (replicated !== config.replicas > 0)
    throw new ConfigError(
      `FAIRGRAB_REPLICAS: ${config.replicas} (from the environment) does not fit FAIRGRAB_DURABILITY ${config.durability}; ` +
        'set both, replicated or fenced and the number of replicas that may be promoted, or neither',
    )
  if (replicated && config.redisUrl === '')
    throw new ConfigError(
      `FAIRGRAB_DURABILITY ${config.durability} needs REDIS_URL: the embedded redis-server has no replicas`,
    )
  return config
}

/** Files for TLS with Redis; whether they can be used is seen with the address (main/start-check.ts). */
function redisTlsIn(text: (name: SettingName) => string): Config['redisTls'] {
  const named = Object.entries(TLS_FILES).map(([name, setting]) => [name, text(setting)] as const)
  return Object.fromEntries(named.filter(([, path]) => path !== ''))
}

/** The origin of an app that shows pages of its own; a scheme that names what a browser shows without one is none. */
const APP_ORIGIN = /^((?!https?:|wss?:|ftp:|file:)[a-z][a-z0-9+.-]*:\/\/[a-z0-9.-]+(?::\d{1,5})?)\/?$/i

/** Origins as browsers send them: a trailing slash and a default port are left out, anything more is refused. */
function originsIn(text: string): readonly string[] {
  return text.split(',').flatMap(entry => {
    const given = entry.trim()
    if (given === '') return []
    const app = APP_ORIGIN.exec(given)?.[1]?.toLowerCase()
    if (app !== undefined) return [app]
    const url = URL.canParse(given) ? new URL(given) : undefined
    if (!url || !/^https?:$/.test(url.protocol) || url.href !== `${url.origin}/` || given.includes('*'))
      throw new ConfigError(
        `FAIRGRAB_ORIGINS: "${given}" (from the environment) is not an origin; write scheme and host and no path, like https://shop.example or capacitor://localhost`,
      )
    return [url.origin]
  })
}

function proxiesIn(text: string): readonly string[] {
  const entries = text.split(',').flatMap(entry => entry.trim() || [])
  if (text !== '' && entries.length === 0)
    throw new ConfigError(
      `FAIRGRAB_TRUSTED_PROXIES: "${text}" (from the environment) names no proxy; write addresses and networks like 10.0.0.7, 10.0.0.0/8 or fd00::/8, or unset it`,
    )
  return entries
}

/** Reads and checks the environment. Throws ConfigError with a message for people. */
export function readConfig(env: NodeJS.ProcessEnv = process.env): Config {
  refuseUnknown(env)
  const rows: readonly Row[] = SETTINGS
  const given = new Given(env)
  const values = Object.fromEntries(rows.map(setting => [setting.name, checked(setting, given)]))
  const text = (name: SettingName) => values[name] as string
  const number = (name: SettingName) => Number(values[name])
  const config: Config = {
    port: number('PORT'),
    host: text('HOST') || (text('FAIRGRAB_KEYS') === '' ? '127.0.0.1' : ''),
    redisUrl: text('REDIS_URL'),
    redisTls: redisTlsIn(text),
    dataDir: text('FAIRGRAB_DATA_DIR'),
    keys: text('FAIRGRAB_KEYS'),
    keysFile: given.pathOf('FAIRGRAB_KEYS'),
    read: readIn(given, values),
    metrics: (text('FAIRGRAB_METRICS') || (text('FAIRGRAB_KEYS') === '' ? 'public' : 'key')) as Config['metrics'],
    jwtSecret: text('FAIRGRAB_JWT_SECRET').trimEnd(),
    jwtSecretPrevious: text('FAIRGRAB_JWT_SECRET_PREVIOUS').trimEnd(),
    jwtIssuer: text('FAIRGRAB_JWT_ISSUER').trimEnd(),
    jwtAudience: text('FAIRGRAB_JWT_AUDIENCE').trimEnd(),
    jwtPublicKey: text('FAIRGRAB_JWT_PUBLIC_KEY').replaceAll('\\n', '\n'),
    jwks: text('FAIRGRAB_JWKS'),
    voucherSecret: text('FAIRGRAB_VOUCHER_SECRET').trimEnd(),
    drawSecret: text('FAIRGRAB_DRAW_SECRET').trimEnd(),
    durability: text('FAIRGRAB_DURABILITY') as Config['durability'],
    durabilityDeclared: text('FAIRGRAB_DURABILITY_DECLARED') === 'yes',
    replicas: number('FAIRGRAB_REPLICAS'),
    workers: number('FAIRGRAB_WORKERS') || Math.max(1, availableParallelism() - 1),
    batchClaims: number('FAIRGRAB_BATCH_CLAIMS'),
    batchesInFlight: number('FAIRGRAB_BATCHES_IN_FLIGHT'),
    sockets: number('FAIRGRAB_SOCKETS'),
    socketsAddress: number('FAIRGRAB_SOCKETS_ADDRESS'),
    headBytes: number('FAIRGRAB_HEAD_BYTES'),
    rateUser: number('FAIRGRAB_RATE_USER'),
    rateAddress: number('FAIRGRAB_RATE_ADDRESS'),
    rateKey: number('FAIRGRAB_RATE_KEY'),
    rateWrongCodes: number('FAIRGRAB_RATE_WRONG_CODES'),
    origins: originsIn(text('FAIRGRAB_ORIGINS')),
    trustedProxies: proxiesIn(text('FAIRGRAB_TRUSTED_PROXIES')),
    arrivals: text('FAIRGRAB_ARRIVALS'),
    logLevel: text('LOG_LEVEL'),
  }
  return refuseUncounted(refuseIdle(refuseWeak(config, given), given))
}

/** The settings that the environment gives, fit to be shown. */
export function settingsGiven(env: NodeJS.ProcessEnv = process.env) {
  const names = SETTINGS.flatMap(({ name }) => (isSecret(name) ? [name, fileOf(name)] : [name]))
  return names.flatMap(name => {
    const value = env[name] ?? ''
    return value === '' ? [] : [{ name, value: isSecret(name) ? 'set' : value }]
  })
}

/** What the command line needs of the environment: where a running engine is, and the key for it. */
export function readTarget(env: NodeJS.ProcessEnv = process.env): { readonly url: string; readonly key: string } {
  return { url: env.FAIRGRAB_URL ?? 'http://127.0.0.1:8080', key: new Given(env).value('FAIRGRAB_KEY') }
}

/** Whether the environment says where a running engine is. */
export const namesEngine = (env: NodeJS.ProcessEnv = process.env): boolean => (env.FAIRGRAB_URL ?? '') !== ''

/** The environment a child process of ours gets: this one's, and what is added. */
export function childEnvironment(added: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  return { ...process.env, ...added }
}
