/**
 * A sound drawn run, made up: people enter two windows, each is committed to, drawn and granted, and the clients' record fits.
 *
 * It is the counterpart of synthetic.ts for drawn rounds: the checks must pass on it, and each planted fault must be
 * found in it. A window is a draft (rules, entries, secret) until `publish` seals it into the bytes of a bundle, so a
 * fault can be planted before the sealing, as a dishonest operator would, or in the published bytes.
 *
 * Answers get lost here too: of some people nobody knows whether they entered, and they did or did not.
 */

import { generateKeyPairSync, sign } from 'node:crypto'
import { drawAgain, merkleRoot, RECORD_BYTES, seedOf, sha256, TAG_BYTES, tagFor } from '../../bench/audit/draw.ts'
import {
  type Bundle,
  type Commitment,
  type PublishedBeacon,
  type PublishedRules,
  statementOf,
} from '../../bench/audit/draw-bundle.ts'
import { type DrawEvidence, type ShownReceipt, tagHead, tagsOf } from '../../bench/audit/draw-checks.ts'
import { ENTERED, History } from '../../bench/audit/history.ts'
import { Ledger } from '../../bench/audit/ledger.ts'
import { seededUsers } from '../../bench/audit/users.ts'
import { CODES } from '../../engine/base/codes.ts'
import { below, type Dice, seededDice } from './synthetic.ts'

/** One window on its way to a bundle; a planted fault may change anything. */
export interface Draft {
  rules: PublishedRules
  entries: Buffer
  /** By entry: the user who made it. */
  readonly owners: number[]
  /** The operator's secret; in the second window what stands for a public beacon's signature. */
  secret: Buffer
  /** Undefined for a fault only: the rules demand them. */
  changes: Changes | undefined
  /** Set by faults: the seed and the rules that the result is drawn with in place of its own. */
  seed?: Buffer
  drawnBy?: PublishedRules
}

export interface DrawnRun {
  readonly dice: Dice
  readonly history: History
  readonly users: ReturnType<typeof seededUsers>
  readonly drafts: readonly Draft[]
  readonly receipts: ShownReceipt[]
}

/** Bundles and grants of a run: what the engine publishes. */
export interface Published {
  readonly bundles: Record<keyof Bundle, Buffer>[]
  readonly ledger: Ledger
  readonly holders: string[]
}

const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const KEY = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)

export const randomBytes = (dice: Dice, count: number): Buffer =>
  Buffer.from(Array.from({ length: count }, () => below(dice, 256)))

const DRAND_ROUND = 1000

const at = (time: string): string => `2026-01-01T${time}Z`

export type Changes = NonNullable<Commitment['changes']>

/** What an honest window says of its times; the second follows the draw of the first. */
const changesOf = (isPublic: boolean): Changes =>
  isPublic
    ? [
        { at: at('10:00:03.040'), change: 'window' },
        { at: at('10:00:06.000'), change: 'draw' },
      ]
    : [
        { at: at('09:00:00.000'), change: 'create' },
        { at: at('09:00:00.010'), change: 'window' },
        { at: at('10:00:00.000'), change: 'open' },
        { at: at('10:00:03.000'), change: 'close' },
        { at: at('10:00:03.010'), change: 'draw' },
      ]

function rulesOf(stock: number, secret: Buffer, isPublic: boolean): PublishedRules {
  const assisted = Math.ceil(stock / 10)
  return {
    round_id: 'rnd_1',
    window: isPublic ? 1 : 0,
    opens_at: at(isPublic ? '10:00:03.000' : '10:00:00.000'),
    closes_at: at(isPublic ? '10:00:06.000' : '10:00:03.000'),
    may_end_early: false,
    stock,
    pools: [
      { name: 'general', total: stock - assisted },
      { name: 'assisted', total: assisted },
    ],
    quota_order: 'general-first',
    waitlist: 5,
    beacon: isPublic ? { kind: 'drand', round: DRAND_ROUND } : { kind: 'commit', hash: sha256(secret).toString('hex') },
    leaf_records: 64,
  }
}

export function tell(run: DrawnRun, user: number, tag: Uint8Array | undefined): void {
  const sent = 1e9 + run.history.length
  const vouchers = tag === undefined ? 0 : tagHead(Buffer.from(tag).toString('hex'))
  const outcome = tag === undefined ? CODES.unknown.number : ENTERED
  run.history.push({
    user,
    sent,
    answered: sent + 300,
    outcome,
    vouchers,
    sequence: 0,
    slot: 1,
    pool: 0,
    connection: 0,
  })
}

/** `people` enter over two windows; the stock is a tenth of them. */
export function makeDrawnRun(seed: number, people: number): DrawnRun {
  const dice = seededDice(seed)
  const drafts = [false, true].map((isPublic): Draft => {
    const [secret, changes] = [randomBytes(dice, 32), changesOf(isPublic)]
    return {
      rules: rulesOf(Math.ceil(people / 20), secret, isPublic),
      entries: Buffer.alloc(0),
      owners: [],
      secret,
      changes,
    }
  })
  const run = { dice, history: new History(), users: seededUsers(seed, people), drafts, receipts: [] as ShownReceipt[] }
  const records: Buffer[][] = [[], []]
  for (let user = 0; user < people; user++) {
    const window = user < people * 0.7 ? 0 : 1
    const [nonce, salt] = [randomBytes(dice, 16).toString('hex'), randomBytes(dice, 16).toString('hex')]
    const made = { user, round_id: 'rnd_1', nonce, salt, tag: '' }
    const tag = tagFor(run.users.userId(user), made)
    const record = Buffer.concat([Buffer.from(tag, 'hex'), Uint8Array.of(dice() < 0.2 ? 1 : 0)])
    const told = dice() > 0.02
    if (told || dice() < 0.5) {
      records[window]!.push(record)
      drafts[window]!.owners.push(user)
    }
    if (told && user % 20 === 0) run.receipts.push({ ...made, tag })
    for (let asked = 0; asked < 1 + below(dice, 3); asked++)
      tell(run, user, told ? record.subarray(0, TAG_BYTES) : undefined)
  }
  for (const [window, draft] of drafts.entries()) draft.entries = Buffer.concat(records[window]!)
  return run
}

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))

function beaconOf({ rules, secret }: Draft): PublishedBeacon {
  const shown = secret.toString('hex')
  if (rules.beacon.kind === 'commit') return { kind: 'commit', secret: shown }
  return { kind: 'drand', round: DRAND_ROUND, signature: shown }
}

function bundleOf(draft: Draft): Published['bundles'][number] {
  const rules = json(draft.rules)
  const root = merkleRoot(draft.entries, draft.rules.leaf_records)
  const count = draft.entries.length / RECORD_BYTES
  const commit = {
    rules_hash: sha256(rules).toString('hex'),
    n: count,
    root: root.toString('hex'),
    committed_at: at('10:00:06.100'),
    ...(draft.changes ? { changes: draft.changes } : {}),
  }
  const seed = draft.seed ?? seedOf({ rulesHash: sha256(rules), root, count, beacon: draft.secret })
  const { pools } = draft.rules
  const { winners, seats, waitlist } = drawAgain(draft.entries, draft.drawnBy ?? draft.rules, seed)
  const tags = tagsOf(draft.entries)
  return {
    'rules.json': rules,
    'entries.bin': draft.entries,
    'commit.json': json({
      commit,
      signature: sign(null, json(commit), privateKey).toString('hex'),
      public_key: KEY.toString('hex'),
    }),
    'commit.bytes': json(commit),
    'beacon.json': json(beaconOf(draft)),
    'result.json': json({
      seed: seed.toString('hex'),
      winners: [...winners].map((place, index) => `${tags[place]}:${pools[seats[index]!]!.name}`),
      waitlist: [...waitlist].map(place => tags[place]),
      cutoffs: {},
    }),
  }
}

/** Seals every window and grants to its winners. */
export function publish({ drafts }: DrawnRun): Published {
  const ledger = new Ledger()
  const holders: string[] = []
  const bundles = drafts.map(draft => {
    const bundle = bundleOf(draft)
    const owners = new Map(tagsOf(draft.entries).map((tag, place) => [tag, draft.owners[place]!]))
    for (const winner of statementOf(bundle).result.winners ?? []) {
      const user = owners.get(winner.slice(0, TAG_BYTES * 2))
      holders.push(winner.slice(0, TAG_BYTES * 2))
      if (user !== undefined) ledger.push({ grantedAt: 1, sequence: ledger.length + 1, user, slot: 1, pool: 0 })
    }
    return bundle
  })
  // The file is optional: the other window shows the same bytes inside commit.json only.
  bundles[1]!['commit.bytes'] = Buffer.alloc(0)
  return { bundles, ledger, holders }
}

export function evidenceOf(
  { history, users, receipts }: DrawnRun,
  { bundles, ledger, holders }: Published,
): DrawEvidence {
  return { draws: bundles.map(statementOf), history, users, ledger, holders, receipts }
}
