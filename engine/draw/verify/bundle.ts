/**
 * The bundle of a draw: the files that an outsider needs to repeat it, as a map from name to bytes.
 *
 * `bundleParts` reads it, each part when somebody asks for it, once, and with an error that names the file. The seed is that of the committed numbers and not of
 * the files beside them: a changed entry then shows as a wrong root and not as a wrong everything.
 * This folder reads no disk: the command line and the engine hand the bytes in. Rejected: one archive file, which would
 * hide ten million entries behind a format; the list is plain records that any language can walk.
 */
import { seedOf } from '../allocation.ts'
import { type BeaconProof, parseBeacon, verifyBeacon } from '../beacon.ts'
import { type CommitFile, parseCommit } from '../commitment.ts'
import { countRecords, poolAt, RECORD_BYTES } from '../entry.ts'
import { BundleError } from '../json-file.ts'
import { type Draw, drawInOrder, parseResult, type Result } from '../result.ts'
import { parseRules, type Rules } from '../rules.ts'
import { ScoreOrder } from '../score-order.ts'

/** The files by name. `promotions.log` is a lottery's, and may be missing while no seat was promoted. */
export const REQUIRED_FILES = [
  'rules.json',
  'entries.bin',
  'commit.json',
  'commit.bytes',
  'beacon.json',
  'result.json',
] as const
export const PROMOTIONS_FILE = 'promotions.log'
export const BUNDLE_FILES: readonly string[] = [...REQUIRED_FILES, PROMOTIONS_FILE]

export type BundleFiles = ReadonlyMap<string, Buffer>

const once = <Value>(make: () => Value): (() => Value) => {
  let made: { readonly value: Value } | undefined
  return () => {
    made ??= { value: make() }
    return made.value
  }
}

/** The parts of a bundle; each throws BundleError when its file, or one that it needs, is missing or wrong. */
export interface BundleParts {
  readonly bytes: (name: string) => Buffer
  readonly rules: () => Rules
  readonly commit: () => CommitFile
  readonly entries: () => Buffer
  readonly beacon: () => BeaconProof
  /** The seed of the committed numbers and the revealed beacon. */
  readonly seed: () => Buffer
  readonly order: () => ScoreOrder
  /** The draw made again. */
  readonly drawn: () => Draw
  /** Whether result.json is, byte for byte, what the draw made again would write. */
  readonly isSame: () => boolean
  readonly result: () => Result
}

/** The index of the first entry whose pool the rules do not have, or -1. */
function findStranger(entries: Buffer, pools: number): number {
  const n = entries.length / RECORD_BYTES
  for (let i = 0; i < n; i++) if (poolAt(entries, i) >= pools) return i
  return -1
}

/** The entries of a bundle, which are whole records of pools that the rules have. Throws BundleError. */
function checkedEntries(bytes: Buffer, { pools }: Rules): Buffer {
  const wrong = (detail: string) => new BundleError('entries.bin', detail)
  if (countRecords(bytes) === undefined)
    throw wrong(`has ${bytes.length} bytes, which are not whole records of ${RECORD_BYTES}`)
  const stranger = findStranger(bytes, pools.length)
  if (stranger >= 0)
    throw wrong(
      `entry ${stranger} names pool ${poolAt(bytes, stranger)}, and the rules have pools 0 to ${pools.length - 1}`,
    )
  return bytes
}

/** Reads a bundle, part by part as they are asked for. */
export function bundleParts(files: BundleFiles): BundleParts {
  const bytes = (name: string): Buffer => {
    const found = files.get(name)
    if (!found) throw new BundleError(name, 'is missing')
    return found
  }
  const rules = once(() => parseRules(bytes('rules.json')))
  const commit = once(() => parseCommit(bytes('commit.json')))
  const entries = once(() => checkedEntries(bytes('entries.bin'), rules()))
  const beacon = once(() =>
    verifyBeacon(rules().beacon, parseBeacon(bytes('beacon.json')), commit().commit.committed_at),
  )
  const seed = once(() => {
    const { rules_hash, root, n } = commit().commit
    const hex = (text: string) => Buffer.from(text, 'hex')
    return seedOf({ rulesHash: hex(rules_hash), root: hex(root), n, beacon: beacon().bytes })
  })
  const order = once(() => new ScoreOrder(seed(), entries()))
  const drawn = once(() => drawInOrder(order(), { seed: seed(), entries: entries(), quotas: rules() }))
  const isSame = once(() => drawn().result.equals(bytes('result.json')))
  const result = once(() => parseResult(bytes('result.json')))
  return { bytes, rules, commit, entries, beacon, seed, order, drawn, isSame, result }
}
