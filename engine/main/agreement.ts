/**
 * What all nodes of one Redis must have alike: the two secrets and the durability level. Another secret gives one claim two
 * sets of codes, or one person two tags; another level promises what its neighbour does not keep; and nobody sees it.
 *
 * The first start keeps its own in Redis: of a secret a fingerprint (auth/fingerprint.ts), of the level its name. A start
 * that differs ends, and says what to do. A node that runs compares at each check of the server, and grants nothing while
 * Redis has another value or none: it was emptied, restored or exchanged. Nothing is written back then, since what a lost
 * agreement belonged to is lost with it. A node whose Redis is away at its start agrees with the first check that succeeds.
 *
 * A wanted change is an operator's word (`fairgrab config change`). A level is then the old and the new one, `always
 * replicated`, until it is finished, and nodes with either grant and warn: each answers by its own. A secret is replaced
 * at once: two of them are what must never be, so nodes with the old one stop granting until they are restarted.
 *
 * Not among them, since a difference cannot be silent or is one node's own affair: keys and those of user tokens (401 on the
 * one that lacks them; they are changed node by node by being different), FAIRGRAB_REPLICAS (every node counts those that are
 * connected, and one that has too few stops), rates, sockets, batches, workers, origins, addresses, folders, the log.
 * The form of codes and tags is the version's, which `fairgrab_nodes` and an alert show.
 */
import { fingerprintOf } from '../auth/fingerprint.ts'
import { Fault } from '../base/assert.ts'
import type { Finding, Findings } from '../base/finding.ts'
import { type Config, ConfigError } from '../config.ts'
import type { Health } from '../ops/health.ts'
import type { SettingName } from '../settings.ts'
import type { Agreed, AgreementStore } from '../store/data/agreement-store.ts'
import { embeddedUrl } from '../store/server/embedded.ts'
import type { Store } from '../store/store.ts'

export interface Secrets {
  readonly voucher: Buffer
  readonly draw: Buffer
}

/** What is known of them; a secret that is nowhere yet is undefined. */
export type KnownSecrets = { readonly [Name in keyof Secrets]?: Secrets[Name] | undefined }

/** The settings that are compared. */
export const AGREED = [
  'FAIRGRAB_VOUCHER_SECRET',
  'FAIRGRAB_DRAW_SECRET',
  'FAIRGRAB_DURABILITY',
] as const satisfies readonly SettingName[]
export type AgreedName = (typeof AGREED)[number]
export const LEVEL: AgreedName = 'FAIRGRAB_DURABILITY'

/** What a node brings; a secret that is nowhere yet is left out. */
export function ownOf({ durability }: Config, { voucher, draw }: KnownSecrets): Agreed {
  return {
    ...(voucher && { FAIRGRAB_VOUCHER_SECRET: fingerprintOf(voucher, 'FAIRGRAB_VOUCHER_SECRET') }),
    ...(draw && { FAIRGRAB_DRAW_SECRET: fingerprintOf(draw, 'FAIRGRAB_DRAW_SECRET') }),
    FAIRGRAB_DURABILITY: durability,
  }
}

/** The secrets as a node has them: its own settings, else what Redis keeps. */
export const secretsOf = ({ voucherSecret, drawSecret }: Config, kept: KnownSecrets): KnownSecrets => ({
  voucher: voucherSecret === '' ? kept.voucher : Buffer.from(voucherSecret, 'hex'),
  draw: drawSecret === '' ? kept.draw : Buffer.from(drawSecret, 'hex'),
})

const change = (name: string) => `for a wanted change: fairgrab config change ${name} (docs/operations.md)`

function differs(name: string, own: string, kept: string): Finding {
  if (name === LEVEL)
    return {
      what: `${name} is ${own} here, and ${kept.replace(' ', ' or ')} is what the nodes of this Redis agreed on`,
      mend: `set it to ${kept.split(' ')[0]}; ${change(name)}`,
    }
  return {
    what: `${name} is not the one that the nodes of this Redis agreed on; where it is unset, the one in Redis counts`,
    mend: `give this node the same one as the others; ${change(name)}, which voids what was derived from the old one`,
  }
}

function changing(own: string, [from, to]: readonly string[]): Finding {
  const mend =
    own === to
      ? `when all nodes have ${to}: fairgrab config change ${LEVEL} --finish`
      : `restart this node with ${LEVEL}=${to}`
  return { what: `${LEVEL} is being changed from ${from} to ${to}; this node has ${own}`, mend }
}

const LOST: Finding = {
  what: 'Redis does not have any more what its nodes agreed on: it was emptied, restored or exchanged',
  mend: 'restore its backup; to begin anew with what it has now, restart every node',
}

/** How what a node has stands to what was agreed. */
export function judge(own: Agreed, agreed: Agreed): Findings {
  const problems = Object.entries(own).flatMap(([name, value]) => {
    const kept = agreed[name] ?? ''
    return kept === '' || kept.split(' ').includes(value) ? [] : [differs(name, value, kept)]
  })
  const level = (agreed[LEVEL] ?? '').split(' ')
  return { problems, warnings: level.length > 1 ? [changing(own[LEVEL] ?? '', level)] : [] }
}

const refusalOf = ({ what, mend }: Finding): ConfigError => new ConfigError(`${what}; ${mend}`)

const isWhole = (own: Agreed, agreed: Agreed): boolean => Object.keys(own).every(name => agreed[name] !== undefined)

interface AgreementOptions {
  readonly store: Pick<AgreementStore, 'read' | 'found' | 'set' | 'standing'>
  readonly own: Agreed
  /** This node alone has the server, since it is its own child: then the level is nobody else's affair. */
  readonly alone: boolean
}

/** One worker's part in the agreement. */
export class Agreement {
  readonly #options: AgreementOptions
  #agreed = false

  constructor(options: AgreementOptions) {
    this.#options = options
  }

  /** Compares, and keeps what nobody has kept before; one that differs writes nothing. Throws Fault when Redis cannot be asked. */
  async check(): Promise<Findings> {
    const { store, own } = this.#options
    const agreed = await store.read()
    if (this.#agreed && !isWhole(own, agreed)) return { problems: [LOST], warnings: [] }
    const before = judge(own, this.#compared(agreed))
    if (before.problems.length > 0) return before
    const judged = judge(own, await this.#ownLevel(isWhole(own, agreed) ? agreed : await store.found(own)))
    if (judged.problems.length === 0) this.#agreed = true
    return judged
  }

  /**
   * Resolves when what is not found in Redis was not lost with everything; `serves` says that this node has rounds of it. The
   * indexes of rounds are written together, so one without the other is a lost one. Throws Fault `fenced`, or another one when
   * Redis cannot be asked.
   */
  async assertKept(serves: boolean): Promise<void> {
    const { agreed, rounds, numbers } = await this.#options.store.standing()
    if (this.#agreed && !agreed) throw new Fault('fenced', `${LOST.what}; what is not found there may be somebody's`)
    if (rounds !== numbers || (serves && !rounds))
      throw new Fault('fenced', "Redis has lost its index of rounds; what is not found there may be somebody's")
  }

  /** Throws ConfigError when this node differs. What cannot be asked now is asked by the checks to come. */
  async start(): Promise<void> {
    const [found] = await this.check().then(
      ({ problems }) => problems,
      cause => {
        if (cause instanceof Fault) return []
        throw cause
      },
    )
    if (found) throw refusalOf(found)
  }

  /** What this node is judged by: its level is its own affair where it is alone. */
  #compared(agreed: Agreed): Agreed {
    const { own, alone } = this.#options
    return alone ? { ...agreed, [LEVEL]: own[LEVEL] ?? '' } : agreed
  }

  async #ownLevel(agreed: Agreed): Promise<Agreed> {
    const compared = this.#compared(agreed)
    if (compared[LEVEL] !== agreed[LEVEL]) await this.#options.store.set(LEVEL, compared[LEVEL] ?? '')
    return compared
  }
}

interface AgreeParts {
  readonly config: Config
  readonly store: Store
  readonly health: Health
}

/** The secret behind each name. */
const SECRETS = [
  ['FAIRGRAB_VOUCHER_SECRET', 'voucher'],
  ['FAIRGRAB_DRAW_SECRET', 'draw'],
] as const satisfies readonly (readonly [AgreedName, keyof Secrets])[]

/**
 * Whether a node with these settings could join those of this Redis, before anything is kept or made there: a secret that is
 * unset here, agreed on and not kept in Redis is another one, whatever would be made. Throws Fault.
 */
export async function judgeStranger(
  config: Config,
  store: Pick<AgreementStore, 'read' | 'secrets'>,
  { alone, deadlineMs }: { readonly alone: boolean; readonly deadlineMs?: number },
): Promise<Findings> {
  const agreed = await store.read(deadlineMs)
  const kept = secretsOf(config, await store.secrets(deadlineMs))
  const lacks = SECRETS.filter(([name, secret]) => kept[secret] === undefined && agreed[name] !== undefined)
  const own = { ...ownOf(config, kept), ...Object.fromEntries(lacks.map(([name]) => [name, 'unset'])) }
  return judge(own, alone ? { ...agreed, [LEVEL]: config.durability } : agreed)
}

/**
 * The secrets of this node, once they are what its Redis agreed on; a node without settings of its own waits for its Redis
 * here, and is judged anew when it came. Throws ConfigError when it differs.
 */
export async function agree({ config, store, health }: AgreeParts): Promise<Secrets & { agreement: Agreement }> {
  const set = secretsOf(config, {})
  const waited = set.voucher === undefined || set.draw === undefined
  const alone = config.redisUrl === embeddedUrl(config.dataDir)
  if (waited) {
    const { problems } = await judgeStranger(config, store.agreement, { alone, deadlineMs: Number.POSITIVE_INFINITY })
    if (problems[0]) throw refusalOf(problems[0])
  }
  const voucher = set.voucher ?? (await store.agreement.secret('voucher'))
  const draw = set.draw ?? (await store.agreement.secret('draw'))
  const agreement = new Agreement({ store: store.agreement, own: ownOf(config, { voucher, draw }), alone })
  health.watch(() => agreement.check())
  // A server that was not reached yet is not waited for where nothing is needed of it: the next check of it asks.
  if (waited || health.report.redisVersion !== '') await agreement.start()
  if (waited && health.report.problems.length > 0) await health.check()
  return { voucher, draw, agreement }
}
