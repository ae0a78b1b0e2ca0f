/**
 * One person's check: is my entry in the list that was drawn, and what did the draw give me?
 *
 * It needs the person's receipt, their leaf with its path (1,664 bytes among ten million entries), the rules, the commitment, the
 * beacon and the cutoffs; not the list. The receipt's signature makes a missing entry provable: with it and the
 * published list anybody sees that the promise was broken. When the receipt carries user id, salt and nonce, the tag is
 * computed from them, else its owner has to know it for theirs. That the cutoffs are the draw's is what `verifyBundle`
 * shows; here they are taken as published. Rejected: trusting a proof's own root.
 */
import { z } from 'zod'
import { type Cutoffs, standingOf } from '../allocation.ts'
import { TRUST_WORDS } from '../beacon.ts'
import { verifyCommit } from '../commitment.ts'
import { commitUser, findTag, RECORD_BYTES, tagOf } from '../entry.ts'
import { BundleError, checkShape } from '../json-file.ts'
import { foldPath, hashLeaf, isStep, LEAF_RECORDS, leafAt, proofBytes, RecordTree, type Step } from '../merkle.ts'
import { findReceiptFlaw, promisedRecord, type Receipt } from '../receipt.ts'
import { hashRules, windowOf } from '../rules.ts'
import { scoreOf } from '../score-order.ts'
import type { BundleParts } from './bundle.ts'
import { type Check, checkTimes, runChecks } from './verification.ts'

const schema = z
  .object({
    index: z.int().min(0),
    leaf: z.string().regex(/^([0-9a-f]{34}){1,64}$/, 'must be 1 to 64 records in hexadecimal'),
    path: z.array(z.custom<Step>(isStep, 'must be L or R and 64 hexadecimal digits')).max(64).readonly(),
    root: z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits'),
  })
  .readonly()

/** Where an entry stands in the list: its index, the records of its leaf, the path, and the root they lead to. */
export type InclusionProof = z.infer<typeof schema>

/** Reads a proof as the engine serves it. Throws BundleError. */
export function readProof(value: unknown): InclusionProof {
  return checkShape('proof', value, schema)
}

/** The proof of an entry of a list, or undefined when no entry has the tag. `tree` is that of the list. */
export function proveEntry(entries: Buffer, tag: Uint8Array, tree?: RecordTree): InclusionProof | undefined {
  const index = findTag(entries, tag)
  if (index < 0) return undefined
  const grown = tree ?? new RecordTree()
  if (!tree) grown.append(entries)
  return {
    index,
    leaf: Buffer.from(leafAt(entries, index)).toString('hex'),
    path: grown.path(index),
    root: grown.root().toString('hex'),
  }
}

export interface ReceiptEvidence {
  readonly receipt: Receipt
  /** Rules, commitment and beacon; the list is not asked for. */
  readonly parts: Pick<BundleParts, 'bytes' | 'rules' | 'commit' | 'beacon' | 'seed'>
  /** Undefined when the list has no such entry. */
  readonly proof: InclusionProof | undefined
  readonly cutoffs: Cutoffs
  /** The public keys that the engine publishes, in hexadecimal. */
  readonly publicKeys: readonly string[]
}

function checkReceipt({ receipt, publicKeys }: ReceiptEvidence): string {
  const flaws = publicKeys.map(key => findReceiptFlaw(receipt, key))
  if (!flaws.includes(undefined)) {
    // The flaw under the receipt's own key says more than that other keys are other keys.
    const flaw = flaws.find(text => text !== undefined && !text.startsWith('the key ')) ?? flaws[0]
    throw new BundleError('receipt', flaw ?? 'there is no public key to hold it against')
  }
  return `signed by the key ${receipt.key_id} at ${receipt.at}`
}

function checkOwner({ receipt }: ReceiptEvidence): string {
  const { user_id, salt, nonce, tag, round_id } = receipt
  if (user_id === undefined || salt === undefined || nonce === undefined)
    return 'the receipt does not say whose it is; its tag is taken as yours'
  const own = tagOf(round_id, Buffer.from(nonce, 'hex'), commitUser(Buffer.from(salt, 'hex'), user_id)).toString('hex')
  if (own !== tag)
    throw new BundleError('receipt', `the tag of ${user_id} with this salt and nonce is ${own}, not ${tag}`)
  return `the tag is that of ${user_id}`
}

/** Another window's list need not have the entry, and says nothing about its owner. */
function requireSameDraw({ receipt, parts }: ReceiptEvidence): void {
  const rules = parts.rules()
  const [promised, drawn] = [
    `${receipt.round_id}, window ${receipt.window}`,
    `${rules.round_id}, window ${windowOf(rules)}`,
  ]
  if (promised !== drawn) throw new BundleError('receipt', `is of ${promised}, and this is the draw of ${drawn}`)
}

function checkCommitment(evidence: ReceiptEvidence): string {
  requireSameDraw(evidence)
  const { parts, publicKeys } = evidence
  const file = parts.commit()
  verifyCommit(file, parts.bytes('commit.bytes'))
  if (!publicKeys.includes(file.public_key))
    throw new BundleError('commit.json', `is signed by ${file.public_key}, which is not a key of the engine`)
  if (hashRules(parts.bytes('rules.json')).toString('hex') !== file.commit.rules_hash)
    throw new BundleError('rules.json', 'is not the file that the commitment names')
  return `${file.commit.n} entries, committed at ${file.commit.committed_at}`
}

function checkInclusion(evidence: ReceiptEvidence): string {
  requireSameDraw(evidence)
  const { receipt, parts, proof } = evidence
  if (!proof)
    throw new BundleError(
      'entries.bin',
      `has no entry ${receipt.tag}: the promise was broken, and the receipt proves it`,
    )
  const { n, root } = parts.commit().commit
  const leaf = Buffer.from(proof.leaf, 'hex')
  const folded = foldPath(hashLeaf(leaf), proof.path).toString('hex')
  if (folded !== root) throw new BundleError('proof', `leads to the root ${folded}, and the commitment has ${root}`)
  const from = (proof.index % LEAF_RECORDS) * RECORD_BYTES
  const record = leaf.subarray(from, from + RECORD_BYTES)
  if (proof.index >= n || !record.equals(promisedRecord(receipt)))
    throw new BundleError(
      'proof',
      `entry ${proof.index} is ${record.toString('hex') || 'missing'}, and the receipt promises ${promisedRecord(receipt).toString('hex')}`,
    )
  return `entry ${proof.index} of ${n}; leaf and path have ${proofBytes(leaf, proof.path)} bytes`
}

function tellResult(evidence: ReceiptEvidence): string {
  requireSameDraw(evidence)
  const { receipt, parts, cutoffs } = evidence
  const rules = parts.rules()
  const score = scoreOf(parts.seed(), Buffer.from(receipt.tag, 'hex'))
  const pool = rules.pools[receipt.pool]?.name
  if (pool === undefined) throw new BundleError('receipt', `names pool ${receipt.pool}, which the rules do not have`)
  const standing = standingOf(score, pool, { cutoffs, quotaOrder: rules.quota_order })
  const what =
    standing === undefined ? 'not drawn' : standing === 'waitlist' ? 'on the waitlist' : `won a seat of ${standing}`
  return `${what}; score ${score}, cutoffs ${JSON.stringify(cutoffs)}`
}

/** Checks one person's receipt against a draw. The last line says what they got. */
export function checkReceiptOf(evidence: ReceiptEvidence): readonly Check[] {
  return runChecks([
    ['receipt', () => checkReceipt(evidence)],
    ['owner', () => checkOwner(evidence)],
    ['commitment', () => checkCommitment(evidence)],
    ['inclusion', () => checkInclusion(evidence)],
    ['times', () => checkTimes(evidence.parts)],
    ['beacon', () => TRUST_WORDS[evidence.parts.beacon().trust]],
    ['result', () => tellResult(evidence)],
  ])
}
