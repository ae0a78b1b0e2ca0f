/**
 * `fairgrab token`, `fairgrab keys`, `fairgrab config` and `fairgrab audit`: what is needed before a release and after it.
 *
 * Keys are random and printed once, as the line that the engine reads; a token is signed with the engine's own secret
 * from the environment and never with one from the command line, where other users of the machine could read it. The
 * audit log is checked here again from its words alone, link by link.
 */
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { isMerchantId, isUserId, USER_ID_FORM } from '../base/holder.ts'
import { ConfigError, readConfig, settingsGiven } from '../config.ts'
import { checkStart } from '../main/start-check.ts'
import { checkFolders } from '../processes/folder-owner.ts'
import { hostOf } from '../processes/listening.ts'
import type { AuditEntry } from '../store/data/audit-store.ts'
import { type Command, countOf, DRY_RUN, isDry, verbOf, wordAt } from './command.ts'
import { askJson } from './engine-call.ts'

const ROLES = ['operator', 'platform', 'merchant', 'viewer'] as const

export const KEYS: Command = {
  name: 'keys',
  asksNoEngine: true,
  usage: ['keys [ROLE …] [--scope NAME]'],
  sentence: 'make API keys, one a role',
  examples: ['fairgrab keys operator platform platform', 'fairgrab keys operator --scope ada'],
  options: { scope: { type: 'string', says: 'who acts by them; a merchant, for its key; else nobody by name' } },
  run: async given => {
    const roles = given.words.length === 0 ? ROLES : given.words
    const wrong = roles.find(role => !ROLES.some(known => known === role))
    if (wrong !== undefined)
      throw new ConfigError(`"${wrong}" (from the command line) is no role; give some of ${ROLES.join(', ')}`)
    const { scope } = given.values
    if (typeof scope === 'string' && !isMerchantId(scope))
      throw new ConfigError(
        `--scope: "${scope}" (from the command line) is no scope; give 1 to 64 of A-Z a-z 0-9 . _ @ -`,
      )
    const keys = roles.map(role => ({ role, key: randomBytes(24).toString('base64url'), ...(scope ? { scope } : {}) }))
    const entries = keys.map(({ role, key, ...more }) => [role, key, ...Object.values(more)].join(':'))
    given.print(keys, `FAIRGRAB_KEYS="${entries.join(',')}"`)
    return 0
  },
}

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')

export const TOKEN: Command = {
  name: 'token',
  asksNoEngine: true,
  usage: ['token USER [--ttl-s N] [--cohort NAME]'],
  sentence: "make a user's token with FAIRGRAB_JWT_SECRET",
  examples: ['fairgrab token ada', 'fairgrab token ada --ttl-s 60 --cohort assisted'],
  options: {
    'ttl-s': { type: 'string', says: 'seconds that it is valid, else 3600' },
    cohort: { type: 'string', says: 'the pool that its claims are for' },
  },
  run: async given => {
    wordAt(given, 0, 'user', TOKEN.usage[0] as string)
    const sub = given.words[0] as string
    if (!isUserId(sub)) throw new ConfigError(`"${sub}" (from the command line) is no user id; it ${USER_ID_FORM}`)
    const { jwtSecret } = readConfig()
    if (jwtSecret === '')
      throw new ConfigError(
        'FAIRGRAB_JWT_SECRET is not set; set it to the secret that the engine has (openssl rand -hex 32 makes one)',
      )
    const ttl = given.values['ttl-s'] === undefined ? 3600 : countOf(given, 'ttl-s', [1, 31_536_000])
    const exp = Math.floor(Date.now() / 1000) + ttl
    const { cohort } = given.values
    const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub, exp, ...(cohort ? { cohort } : {}) })}`
    const token = `${text}.${createHmac('sha256', jwtSecret).update(text).digest('base64url')}`
    given.print({ token, sub, exp }, token)
    return 0
  },
}

export const CONFIG: Command = {
  name: 'config',
  asksNoEngine: true,
  usage: ['config check', 'config change SETTING [--finish] [--dry-run]'],
  sentence: 'check the environment as a start would; change what all nodes of one Redis agreed on',
  examples: [
    'fairgrab config check --json',
    'FAIRGRAB_DURABILITY=replicated fairgrab config change FAIRGRAB_DURABILITY',
  ],
  options: {
    finish: { type: 'boolean', says: 'all nodes have the new level: the old one is not allowed any more' },
    'dry-run': DRY_RUN,
  },
  run: async given => {
    const verb = verbOf(CONFIG, given, ['check', 'change'])
    const config = readConfig()
    checkStart(config)
    if (verb === 'change') {
      const { changeAgreement } = await import('./agreement-change.ts')
      const wanted = { name: given.words[1], finish: given.values.finish === true, dryRun: isDry(given) }
      const { answer, words } = await changeAgreement(config, wanted)
      given.print(answer, words)
      return 0
    }
    await hostOf(config.host)
    checkFolders(config)
    const rows = settingsGiven()
    const width = Math.max(26, ...rows.map(({ name }) => name.length + 2))
    given.print({ ok: true, set: rows }, [
      'the settings are sound',
      ...rows.map(({ name, value }) => `  ${name.padEnd(width)}${value}`),
    ])
    return 0
  },
}

/** An entry of the audit log as the API shows it. */
export interface AuditRow extends Omit<AuditEntry, 'number'> {
  readonly number: number
}

/** The number of the first row that does not follow from the one before it, or undefined. */
function brokenAt(rows: readonly AuditRow[]): number | undefined {
  let before = ''
  for (const [i, { number, at, request, who, action, target, body, outcome, chain }] of rows.entries()) {
    const words = [before, number, Date.parse(at), request, who, action, target, body, outcome].join('\n')
    if (number !== i + 1 || chain !== createHash('sha1').update(words).digest('hex')) return i + 1
    before = chain
  }
  return undefined
}

export const AUDIT: Command = {
  name: 'audit',
  usage: ['audit'],
  sentence: 'print who changed what, and check the chain',
  examples: ['fairgrab audit', 'fairgrab audit --json > audit.json'],
  options: {},
  run: async given => {
    const rows: AuditRow[] = []
    for (let cursor: string | null = '0'; cursor !== null; ) {
      const page: { data: AuditRow[]; next_cursor: string | null } = await askJson(
        given.target,
        `/v1/audit?limit=1000&cursor=${cursor}`,
      )
      rows.push(...page.data)
      cursor = page.next_cursor
    }
    const broken = brokenAt(rows)
    const verdict =
      broken === undefined ? `${rows.length} entries, the chain holds` : `the chain breaks at entry ${broken}`
    const lines = rows.map(
      ({ at, who, action, target, outcome }) => `${at}  ${who}  ${action.split(' ')[0]} ${target}  ${outcome}`,
    )
    given.print({ rows, broken_at: broken ?? null }, [...lines, verdict])
    return broken === undefined ? 0 : 1
  },
}
