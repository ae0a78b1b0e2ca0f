/**
 * Honest bundles for tests, made the way an engine makes them: rules, list, commitment, beacon, draw.
 *
 * The list of the golden bundle comes from AES in counter mode under a fixed key, so that its bytes are the same on
 * every machine and in every run; its beacon is round 1000 of quicknet as it was published on 23 August 2023, and its
 * times are such that the list was committed before. The folder of fixtures holds the same bundle as files.
 */
import { createCipheriv } from 'node:crypto'
import { seedOf } from '../../engine/draw/allocation.ts'
import { type Beacon, QUICKNET, windowSecret, writeBeacon } from '../../engine/draw/beacon.ts'
import { type CommitBytes, writeCommit } from '../../engine/draw/commitment.ts'
import { sha256 } from '../../engine/draw/digest.ts'
import { RecordTree } from '../../engine/draw/merkle.ts'
import { writePromotion } from '../../engine/draw/promotions.ts'
import { draw } from '../../engine/draw/result.ts'
import { hashRules, parseRules, type Rules, writeRules } from '../../engine/draw/rules.ts'
import { signingKeyOf } from '../../engine/draw/signing-key.ts'
import type { Change, ChangeKind } from '../../engine/draw/times.ts'
import type { BundleFiles } from '../../engine/draw/verify/bundle.ts'
import { verifyBundle } from '../../engine/draw/verify/verification.ts'
import { RECORD } from './draw-model.ts'

interface BundleContent {
  /** rules.json, the bytes that were published. */
  readonly rules: Buffer
  readonly entries: Buffer
  readonly commit: CommitBytes
  readonly beacon: Beacon
  /** result.json. */
  readonly result: Buffer
}

/** The files of a draw. */
export const writeBundle = ({ rules, entries, commit, beacon, result }: BundleContent): BundleFiles =>
  new Map([
    ['rules.json', rules],
    ['entries.bin', entries],
    ...Object.entries(commit),
    ['beacon.json', writeBeacon(beacon)],
    ['result.json', result],
  ])

export const KEY = signingKeyOf(Buffer.alloc(32, 1))
export const SECRET = Buffer.alloc(32, 5)

/** What quicknet published for its round 1000. */
export const ROUND_1000: Beacon & { readonly kind: 'drand' } = {
  kind: 'drand',
  round: 1000,
  signature: 'b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39',
}

export const LOTTERY_RULES: Rules = {
  v: 1,
  round_id: 'rnd_golden',
  mode: 'lottery',
  stock: 120,
  pools: [
    { name: 'general', total: 112 },
    { name: 'assisted', total: 3 },
    { name: 'staff', total: 5 },
  ],
  quota_order: 'general-first',
  waitlist: 120,
  opens_at: '2023-08-23T12:00:00.000Z',
  closes_at: '2023-08-23T15:55:00.000Z',
  beacon: { kind: 'drand', chain: QUICKNET.chain, round: 1000 },
  leaf_records: 64,
}

export const WINDOW_RULES: Rules = {
  ...LOTTERY_RULES,
  round_id: 'rnd_window',
  mode: 'window',
  window: 3,
  waitlist: 0,
  window_ms: 3000,
  quota_order: 'pool-first',
  opens_at: '2026-12-01T10:00:09.000Z',
  closes_at: '2026-12-01T10:00:12.000Z',
  beacon: { kind: 'commit', hash: sha256(windowSecret(SECRET, 3, 100)).toString('hex') },
}

/** A list of records that never changes; one in twenty is of pool 1, one in a hundred of pool 2. */
export function fixedEntries(n: number): Buffer {
  const stream = createCipheriv('aes-128-ctr', Buffer.alloc(16, 3), Buffer.alloc(16))
  const entries = stream.update(Buffer.alloc(n * RECORD))
  for (let i = 0; i < n; i++) entries[i * RECORD + RECORD - 1] = i % 100 === 7 ? 2 : i % 20 === 3 ? 1 : 0
  return entries
}

interface Making {
  readonly rules: Rules
  readonly entries: Buffer
  readonly beacon: Beacon
  readonly committedAt: string
  readonly changes?: readonly Change[]
}

/** The bundle of a draw that is made now, without promotions. */
export function makeBundle({ rules, entries, beacon, committedAt, changes }: Making): BundleFiles {
  const bytes = writeRules(rules)
  const tree = new RecordTree()
  tree.append(entries)
  const n = entries.length / RECORD
  const root = tree.root()
  const commit = writeCommit(
    {
      rules_hash: hashRules(bytes).toString('hex'),
      window: rules.window,
      n,
      root: root.toString('hex'),
      committed_at: committedAt,
      ...(changes ? { changes } : {}),
    },
    KEY,
  )
  const revealed = Buffer.from(beacon.kind === 'commit' ? beacon.secret : beacon.signature, 'hex')
  const seed = seedOf({ rulesHash: hashRules(bytes), root, n, beacon: revealed })
  const { result } = draw(seed, entries, parseRules(bytes))
  return writeBundle({ rules: bytes, entries, commit, beacon, result })
}

/** The window bundle: a commit beacon, the fourth window of a round. */
export function windowBundle(): BundleFiles {
  return makeBundle({
    rules: WINDOW_RULES,
    entries: fixedEntries(700),
    beacon: { kind: 'commit', secret: windowSecret(SECRET, 3, 100).toString('hex') },
    committedAt: '2026-12-01T10:00:12.020Z',
  })
}

/** Changes from `kind` and a time of 1 December 2026 each. */
export const changesOf = (...rows: readonly (readonly [ChangeKind, string])[]): readonly Change[] =>
  rows.map(([change, time]) => ({ at: `2026-12-01T${time}Z`, change }))

/** Rules of a lottery that demand the times of its window: noon to six. */
export const TIMED_RULES: Rules = {
  ...LOTTERY_RULES,
  round_id: 'rnd_timed',
  opens_at: '2026-12-01T12:00:00.000Z',
  closes_at: '2026-12-01T18:00:00.000Z',
  may_end_early: false,
  beacon: { kind: 'commit', hash: sha256(SECRET).toString('hex') },
}

/** What an honest round of these rules says of its times. */
export const TIMED_CHANGES = changesOf(
  ['create', '09:00:00.000'],
  ['window', '09:00:00.012'],
  ['open', '12:00:00.000'],
  ['close', '18:00:00.000'],
  ['draw', '18:00:00.090'],
)

/** The bundle of a lottery whose commitment states its times. */
export function timedBundle(
  changes: readonly Change[] | undefined = TIMED_CHANGES,
  rules = TIMED_RULES,
  committedAt = changes?.at(-1)?.at ?? '2026-12-01T18:00:00.120Z',
): BundleFiles {
  return makeBundle({
    rules,
    entries: fixedEntries(300),
    beacon: { kind: 'commit', secret: SECRET.toString('hex') },
    committedAt,
    changes,
  })
}

/** What result.json of a bundle says. */
export function readResult(files: BundleFiles): {
  winners: string[]
  waitlist: string[]
  cutoffs: object
  seed: string
} {
  return JSON.parse(String(files.get('result.json')))
}

/** The golden bundle: a lottery with a public beacon, and three promotions: a seat of general twice, one of assisted. */
export function goldenBundle(): BundleFiles {
  const entries = fixedEntries(1000)
  const files = makeBundle({
    rules: LOTTERY_RULES,
    entries,
    beacon: ROUND_1000,
    committedAt: '2023-08-23T15:55:02.000Z',
  })
  const { winners, waitlist } = readResult(files)
  const isAssisted = (tag: string) => {
    const at = entries.indexOf(Buffer.from(tag, 'hex'))
    return entries[at + 16] === 1
  }
  const tagOf = (pool: string) => winners.find(row => row.endsWith(`:${pool}`))?.slice(0, 32) as string
  const [first, ...others] = waitlist as [string, ...string[]]
  const lines = [
    { pool: 'general', from: tagOf('general'), to: first, at: '2023-08-24T10:00:00.000Z' },
    { pool: 'general', from: first, to: others[0] as string, at: '2023-08-24T10:30:00.000Z' },
    {
      pool: 'assisted',
      from: tagOf('assisted'),
      to: others.slice(1).find(isAssisted) ?? '',
      at: '2023-08-24T11:00:00.000Z',
    },
  ]
  return new Map([...files, ['promotions.log', Buffer.from(lines.map(writePromotion).join(''))]])
}

/** The lines of the checks that a bundle fails, by name. */
export function failuresOf(files: BundleFiles): Readonly<Record<string, string>> {
  const { checks, ok } = verifyBundle(files)
  const failed = checks.filter(check => !check.ok)
  if (ok !== (failed.length === 0)) throw new Error('the verdict is not that of its checks')
  return Object.fromEntries(failed.map(({ name, detail }) => [name, detail]))
}
