/**
 * The files that a draw publishes one after the other, each a function of those before it: commit.json fixes the list,
 * beacon.json reveals what nobody could know before, result.json follows from both. A table of phases: what file ends
 * it, which phase the file begins.
 */
import { allocate, cutoffsOf, seedOf } from '../draw/allocation.ts'
import { RECORD_BYTES, tagAt } from '../draw/entry.ts'
import { RecordTree } from '../draw/merkle.ts'
import { hashRules, parseRules } from '../draw/rules.ts'
import { ScoreOrder } from '../draw/score-order.ts'
import type { SigningKey } from '../draw/signing-key.ts'
import type { DrawPhase } from '../store/draw-store.ts'

export interface DrawFacts {
  /** The window's list: n times 17 bytes. */
  readonly records: Buffer
  /** What is published so far, by name. */
  readonly files: Readonly<Record<string, Buffer>>
  /** Now, RFC 3339. */
  readonly at: string
  readonly key: SigningKey
  /** The operator's secret of this window. */
  readonly secret: () => Buffer
}

interface Step {
  readonly name: string
  readonly to: DrawPhase
  readonly make: (facts: DrawFacts) => Buffer
}

const fileOf = ({ files }: DrawFacts, name: string): Buffer => files[name] as Buffer
const jsonOf = <T>(facts: DrawFacts, name: string): T => JSON.parse(fileOf(facts, name).toString()) as T

function writeCommit(facts: DrawFacts): Buffer {
  const { records, at, key } = facts
  const tree = new RecordTree()
  tree.append(records)
  const commit = {
    rules_hash: hashRules(fileOf(facts, 'rules.json')).toString('hex'),
    n: records.length / RECORD_BYTES,
    root: tree.root().toString('hex'),
    committed_at: at,
  }
  const signature = key.sign(Buffer.from(JSON.stringify(commit))).toString('hex')
  return Buffer.from(JSON.stringify({ commit, signature, public_key: key.publicKey }))
}

const writeBeacon = ({ secret }: DrawFacts): Buffer =>
  Buffer.from(JSON.stringify({ kind: 'commit', secret: secret().toString('hex') }))

function writeResult(facts: DrawFacts): Buffer {
  const { records } = facts
  const rules = parseRules(fileOf(facts, 'rules.json'))
  const { commit } = jsonOf<{ commit: { rules_hash: string; n: number; root: string } }>(facts, 'commit.json')
  const { secret } = jsonOf<{ secret: string }>(facts, 'beacon.json')
  const [rulesHash, root, beacon] = [commit.rules_hash, commit.root, secret].map(hex => Buffer.from(hex, 'hex'))
  const seed = seedOf({ rulesHash, root, n: commit.n, beacon } as Parameters<typeof seedOf>[0])
  const order = new ScoreOrder(seed, records)
  const allocation = allocate(order, records, rules)
  const { winners, seats, waitlist } = allocation
  return Buffer.from(
    JSON.stringify({
      seed: seed.toString('hex'),
      winners: Array.from(winners, (index, i) => `${tagAt(records, index)}:${rules.pools[seats[i] as number]?.name}`),
      waitlist: Array.from(waitlist, index => tagAt(records, index)),
      cutoffs: cutoffsOf(order, rules, allocation),
    }),
  )
}

export const drawFiles = {
  closed: { name: 'commit.json', to: 'committed', make: writeCommit },
  committed: { name: 'beacon.json', to: 'beacon', make: writeBeacon },
  beacon: { name: 'result.json', to: 'drawn', make: writeResult },
} as const satisfies Partial<Record<DrawPhase, Step>>
