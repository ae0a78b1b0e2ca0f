/**
 * `fairgrab doctor`: whether this machine, these settings and that Redis can keep what the engine promises.
 *
 * It reads the same environment as `fairgrab up` and looks without changing anything but one small key: settings, open
 * files, the disk of the embedded server, the socket library, Redis's settings, version, rights and clock, what its nodes
 * agreed on; with --rounds also whether each round's keys agree. Every finding has the line that fixes it. Exit 0 when nothing would stop or
 * endanger a grant, 1 otherwise; a warning alone is 0.
 *
 * Rejected: fixing by itself. A doctor that changes a server at eight in the evening is a fault of its own.
 */
import { existsSync, readFileSync, statfsSync } from 'node:fs'
import { Fault } from '../base/assert.ts'
import { realClock } from '../base/clock.ts'
import { type Finding, type Findings, helpAgainst } from '../base/finding.ts'
import { realRandom } from '../base/random.ts'
import { checkRound } from '../campaign/operator/round-check.ts'
import { campaignFinding } from '../campaign/round/damaged-rounds.ts'
import { type Config, ConfigError, namesEngine, readConfig } from '../config.ts'
import { judgeStranger } from '../main/agreement.ts'
import { verifyBinary } from '../server/http/binary.ts'
import { redisCli } from '../store/connection/address.ts'
import type { CampaignChecks } from '../store/data/campaign-checks.ts'
import type { RoundStore } from '../store/data/round-store.ts'
import { embeddedUrl } from '../store/server/embedded.ts'
import { FLAWS_AS_OF } from '../store/server/known-flaws.ts'
import { openStore, type Store } from '../store/store.ts'
import type { Command } from './command.ts'

const DISK_FREE_MIN = 1024 ** 3
const KEY_CHARS = 32
/** Files beside the stream's sockets: HTTP connections, Redis, logs. */
const FILES_BESIDE = 1000

const SOUND: Findings = { problems: [], warnings: [] }
const problem = (what: string, mend: string): Findings => ({ problems: [{ what, mend }], warnings: [] })
const warning = (what: string, mend: string): Findings => ({ problems: [], warnings: [{ what, mend }] })

function examineKeys({ keys, voucherSecret }: Config): Findings {
  const short = keys.split(',').filter(row => row !== '' && (row.split(':')[1] ?? '').length < KEY_CHARS)
  const warnings: Finding[] = []
  if (keys === '')
    warnings.push({ what: 'FAIRGRAB_KEYS is unset', mend: 'set it: each start makes another operator key' })
  if (short.length > 0)
    warnings.push({
      what: `${short.length} API keys have fewer than ${KEY_CHARS} characters`,
      mend: 'openssl rand -hex 32',
    })
  if (voucherSecret === '')
    warnings.push({
      what: 'FAIRGRAB_VOUCHER_SECRET is unset: whoever reads Redis can compute voucher codes',
      mend: 'set it before the first round: openssl rand -hex 32',
    })
  return { problems: [], warnings }
}

function examineFiles({ sockets }: Config): Findings {
  if (process.platform !== 'linux') return SOUND
  const limit = Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? Infinity)
  const need = sockets + FILES_BESIDE
  if (limit >= need) return SOUND
  const mend = `ulimit -n ${need}, or set FAIRGRAB_SOCKETS to ${Math.max(1, limit - FILES_BESIDE)}`
  return warning(`a worker may open ${limit} files and accepts ${sockets} sockets`, mend)
}

function examineDisk({ redisUrl, dataDir }: Config): Findings {
  if (redisUrl !== '') return SOUND
  if (!existsSync(dataDir))
    return problem(
      `there is no folder ${dataDir}, where an embedded Redis has its data`,
      'look from the folder in which the engine was started, correct FAIRGRAB_DATA_DIR, or set REDIS_URL',
    )
  const { bavail, bsize } = statfsSync(dataDir)
  const free = bavail * bsize
  if (free >= DISK_FREE_MIN) return SOUND
  return problem(
    `${Math.round(free / 1024 ** 2)} MiB are free where ${dataDir} is`,
    'free 1 GiB or move FAIRGRAB_DATA_DIR',
  )
}

async function examineLibrary(): Promise<Findings> {
  const { build, verified } = await verifyBinary()
  return verified
    ? SOUND
    : warning(`the socket library's build ${build} is not a reviewed one`, 'use Node 22 on Linux x64')
}

function examineAddress({ redisUrl }: Config): Findings {
  const far =
    /^redis(\+cluster)?:/.test(redisUrl) && !/^redis(\+cluster)?:\/\/([^/]*@)?(127\.|localhost|\[::1\])/.test(redisUrl)
  return far ? warning('REDIS_URL goes over a network without TLS', 'use rediss://, or a private network') : SOUND
}

const urlOf = ({ redisUrl, dataDir }: Config): string => (redisUrl === '' ? embeddedUrl(dataDir) : redisUrl)

const RESTORE = 'restore its keys from a backup'
const SHARD_FIRST = 'mend its shard, which is named under Redis; then run this again'
const COMPARE = 'pause it, and compare with your copy of its grants'

/** Rounds that cannot be claimed from, but for those of a shard whose problem is named; whether all their bytes agree is what --rounds looks for. */
async function damages({ roundChecks: rounds, isStopped }: Store): Promise<Finding[]> {
  const found: Finding[] = []
  for (const id of await rounds.anyIds()) {
    if (isStopped?.(id)) continue
    const damage = await rounds.damage(id)
    if (damage) found.push({ what: `round ${id}: ${damage.what}`, mend: damage.mend ?? RESTORE })
  }
  return found
}

/**
 * Lines to type lead to the server that was asked, or to all of a cluster where they are not one shard's. Here alone: the others
 * that show them do not say where Redis is.
 */
function withServer({ problems, warnings }: Findings, config: Config): Findings {
  const cli = redisCli(urlOf(config), config.redisTls)
  const lead = ({ what, mend }: Finding) => ({ what, mend: mend.replaceAll(/\bredis-cli(?= [A-Z])/g, () => cli) })
  return { problems: problems.map(lead), warnings: warnings.map(lead) }
}

/** Campaigns that have rounds, and whose vouchers or requests are lost with a key. */
async function campaignDamages(rounds: RoundStore, checks: CampaignChecks): Promise<Finding[]> {
  const found: Finding[] = []
  for (const id of new Set((await rounds.index()).map(({ campaignId }) => campaignId))) {
    const damage = await checks.damage(id)
    if (damage) found.push(campaignFinding(id, damage))
  }
  return found
}

/** A part that cannot be examined. */
function unasked(part: string, { message }: Error, { redisUrl }: Config): Finding {
  const start =
    redisUrl === '' ? 'start it (npm start starts an embedded one), or set REDIS_URL' : 'start it, or correct REDIS_URL'
  const lastResort = part === 'disk' ? 'start the engine once, or correct FAIRGRAB_DATA_DIR' : start
  return { what: message, mend: helpAgainst(message) ?? lastResort }
}

async function examineRedis(config: Config): Promise<Findings> {
  const { durability, durabilityDeclared: declared, replicas } = config
  const [url, tls, clock, random] = [urlOf(config), config.redisTls, realClock, realRandom]
  const store = openStore({ url, tls, durability, declared, replicas, clock, random })
  try {
    const health = await store.health()
    const { problems, warnings } = await store.diagnosis()
    const { damages: shards = [] } = health
    // Where a right or a shard is missing, and is named, what rests on it cannot be looked at. Nothing else is left out for that.
    const orNothing = (cause: unknown): readonly Finding[] => {
      if (!(cause instanceof Fault)) throw cause
      return health.problems.length + problems.length + shards.length > 0 ? [] : [unasked('Redis', cause, config)]
    }
    const damaged = await damages(store).catch(orNothing)
    const campaigns = await campaignDamages(store.roundChecks, store.campaignChecks).catch(orNothing)
    const found = {
      problems: [...health.problems, ...shards, ...problems, ...damaged, ...campaigns],
      // What only warns while a node runs is a problem for one that is to start.
      warnings: [...health.warnings, ...warnings].filter(({ what }) => problems.every(each => each.what !== what)),
    }
    return withServer(found, config)
  } finally {
    await store.close()
  }
}

/** Asks the Redis of these settings something, over connections that are closed behind it. */
async function withStore(config: Config, ask: (store: Store) => Promise<Findings>): Promise<Findings> {
  const { durability, redisTls: tls } = config
  const store = openStore({ url: urlOf(config), tls, durability, clock: realClock, random: realRandom })
  return ask(store).finally(() => store.close())
}

const NO_AGREEMENT = warning(
  'no node has agreed on anything with this Redis: it is new, or it was emptied',
  'where it is new, start the first node; where nodes ran with it, stop them and restore its backup',
)

/** Whether a node with these settings could join those of this Redis; nothing is kept or made here. */
async function examineAgreement(config: Config): Promise<Findings> {
  return withStore(config, async ({ agreement }) => {
    if (Object.keys(await agreement.read()).length === 0) return NO_AGREEMENT
    // The level of an embedded server is its one node's affair.
    return judgeStranger(config, agreement, { alone: config.redisUrl === '' })
  })
}

async function examineRounds(config: Config): Promise<Findings> {
  return withStore(config, async store => {
    const problems: Finding[] = []
    // On a cluster: which shards do not answer, and which slots have no owner at two looks, so that their rounds are not waited for one by one.
    if (store.isStopped) for (let look = 0; look < 2; look++) await store.health()
    for (const id of await store.rounds.anyIds())
      if (store.isStopped?.(id)) problems.push({ what: `round ${id}: its shard has a problem`, mend: SHARD_FIRST })
      else
        for (const finding of await checkRound(store, id))
          problems.push({ what: `round ${id}: ${finding}`, mend: finding.startsWith('the state ') ? RESTORE : COMPARE })
    return { problems, warnings: [] }
  })
}

const PARTS: Readonly<Record<string, (config: Config) => Findings | Promise<Findings>>> = {
  keys: examineKeys,
  'open files': examineFiles,
  disk: examineDisk,
  'socket library': examineLibrary,
  'address of Redis': examineAddress,
  Redis: examineRedis,
  agreement: examineAgreement,
}

/** Every part's findings; a part that cannot be examined is a problem of its own. */
async function examine(config: Config, rounds: boolean) {
  const parts = rounds ? { ...PARTS, rounds: examineRounds } : PARTS
  const found: ({ readonly part: string } & Findings)[] = []
  for (const [part, look] of Object.entries(parts)) {
    const examined = await Promise.resolve()
      .then(() => look(config))
      .catch((cause: Error): Findings => ({ problems: [unasked(part, cause, config)], warnings: [] }))
    found.push({ part, ...examined })
  }
  return found
}

/** What it looks at, for whoever expects something else. */
const looksAt = (config: Config | Finding): string =>
  'what' in config
    ? 'these settings, and at nothing else while they are wrong'
    : `this machine, these settings and ${config.redisUrl === '' ? `the embedded Redis in ${config.dataDir} (REDIS_URL is unset)` : 'the Redis of REDIS_URL'}`

const NO_ENGINE =
  'FAIRGRAB_URL is of no use to it, it asks no engine: run it where the engine runs, with its settings (REDIS_URL or FAIRGRAB_DATA_DIR); what a running engine lacks is in GET /readyz?verbose'

function settingsOf(): Config | Finding {
  try {
    return readConfig()
  } catch (cause) {
    if (!(cause instanceof ConfigError)) throw cause
    return { what: cause.message, mend: 'correct the environment; docs/config.md has every setting' }
  }
}

export const DOCTOR: Command = {
  name: 'doctor',
  asksNoEngine: true,
  usage: ['doctor [--rounds]'],
  sentence: 'whether this machine, these settings and that Redis are sound; exit code 1 when not',
  examples: ['fairgrab doctor', 'fairgrab doctor --rounds --json'],
  options: { rounds: { type: 'boolean', says: "also whether each round's keys agree" } },
  run: async ({ values, print }) => {
    const config = settingsOf()
    const parts =
      'what' in config
        ? [{ part: 'settings', problems: [config], warnings: [] }]
        : await examine(config, values.rounds === true)
    const sick = parts.some(({ problems }) => problems.length > 0)
    const lines = parts.flatMap(({ part, problems, warnings }) => [
      `${problems.length > 0 ? '✗' : warnings.length > 0 ? '!' : '✓'} ${part}`,
      ...[...problems, ...warnings].flatMap(({ what, mend }) => [`    ${what}`, `      → ${mend}`]),
    ])
    const looks = looksAt(config)
    const lead = [`it looks at ${looks}`, ...(namesEngine() ? [NO_ENGINE] : [])]
    const shown = [...lead, ...lines, `known flaws of Redis as of ${FLAWS_AS_OF}`]
    print({ sound: !sick, looks_at: looks, flaws_as_of: FLAWS_AS_OF, parts }, shown)
    return sick ? 1 : 0
  },
}
