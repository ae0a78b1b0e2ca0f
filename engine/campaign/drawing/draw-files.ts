/**
 * The files that a draw publishes one after the other, each a function of those before it: commit.bytes and commit.json
 * fix the list and the times of its window, beacon.json reveals what nobody could know before, result.json follows from both. A table of phases:
 * which phase the files begin, and how they are made. A file that is made twice is the same byte for byte, but for the
 * commitment's time; of two commitments the first one published stands.
 */
import { seedOf } from '../../draw/allocation.ts'
import { parseBeacon, verifyBeacon, writeBeacon } from '../../draw/beacon.ts'
import { parseCommit, writeCommit } from '../../draw/commitment.ts'
import { RECORD_BYTES } from '../../draw/entry.ts'
import { hashRules, parseRules, windowOf } from '../../draw/rules.ts'
import type { SigningKey } from '../../draw/signing-key.ts'
import type { Change } from '../../draw/times.ts'
import type { DrawPhase } from '../../store/data/draw-store.ts'
import { workOn } from './draw-work.ts'

export type Files = Readonly<Record<string, Buffer>>

export interface DrawFacts {
  /** What is published so far, by name. */
  readonly files: Files
  /** The window's list: n times 17 bytes. */
  readonly records: () => Promise<Buffer>
  /** What changed in the window until it was taken in hand. */
  readonly changes: () => Promise<readonly Change[]>
  /** Now, RFC 3339. */
  readonly at: string
  readonly key: SigningKey
  /** The operator's secret of this window. */
  readonly secret: () => Buffer
}

interface Step {
  readonly to: DrawPhase
  /** The files, or undefined while the world has not made what they need. */
  readonly make: (facts: DrawFacts) => Promise<Files | undefined>
}

const fileOf = (files: Files, name: string): Buffer => files[name] as Buffer

async function makeCommit({ files, records, changes, at, key }: DrawFacts): Promise<Files> {
  const rules = fileOf(files, 'rules.json')
  const promised = parseRules(rules)
  const list = await records()
  const root = await workOn({ records: list })
  // Rules of an older engine promise no times, and who reads them expects none.
  const stated = promised.may_end_early === undefined ? {} : { changes: await changes() }
  const ended = stated.changes?.at(-1)?.at ?? at
  const commit = {
    rules_hash: hashRules(rules).toString('hex'),
    window: windowOf(promised),
    n: list.length / RECORD_BYTES,
    root: root.toString('hex'),
    // This worker's idea of Redis's clock may be behind what the script said of the end.
    committed_at: at < ended ? ended : at,
    ...stated,
  }
  return { ...writeCommit(commit, key) }
}

async function makeBeacon({ files, secret }: DrawFacts): Promise<Files | undefined> {
  if (parseRules(fileOf(files, 'rules.json')).beacon.kind !== 'commit') return undefined
  return { 'beacon.json': writeBeacon({ kind: 'commit', secret: secret().toString('hex') }) }
}

async function makeResult({ files, records }: DrawFacts): Promise<Files> {
  const rules = fileOf(files, 'rules.json')
  const { commit } = parseCommit(fileOf(files, 'commit.json'))
  const beacon = parseBeacon(fileOf(files, 'beacon.json'))
  const { bytes } = verifyBeacon(parseRules(rules).beacon, beacon, commit.committed_at)
  const [rulesHash, root] = [Buffer.from(commit.rules_hash, 'hex'), Buffer.from(commit.root, 'hex')]
  const seed = seedOf({ rulesHash, root, n: commit.n, beacon: bytes })
  return { 'result.json': await workOn({ records: await records(), drawn: { seed, rules } }) }
}

const STEPS: Partial<Record<DrawPhase, Step>> = {
  closed: { to: 'committed', make: makeCommit },
  committed: { to: 'beacon', make: makeBeacon },
  beacon: { to: 'drawn', make: makeResult },
}

/** The step that ends a phase, or undefined where the winners are to be granted. */
export const stepFrom = (phase: DrawPhase): Step | undefined => STEPS[phase]
