/**
 * Merkle trees: one over the list of entries, and a small one over each batch of receipts.
 *
 *   leaf   SHA-256(0x00 || records)             64 records of the list (the last leaf may be shorter), one of a batch
 *   node   SHA-256(0x01 || left || right)       a node without a partner moves up unchanged
 *   root of nothing: SHA-256 of no bytes, as in RFC 6962
 *
 * The first byte keeps a leaf from being read as a node. Leaves of 64 records make the tree of ten million entries
 * 156,250 leaves: half a second to build, and a proof of 1,664 bytes. A path carries the side of each sibling ("L" or "R" and
 * its hash), so that folding it needs neither the index nor the number of leaves.
 * `RecordTree` takes records as they come and keeps hashes of whole leaves only. Rejected: a leaf a record, which
 * is 64 times the hashes; padding to a power of two, which lets two lists share a root.
 */
import { HASH_BYTES, sha256, writeHash } from './digest.ts'
import { RECORD_BYTES } from './entry.ts'

export const LEAF_RECORDS = 64
const LEAF_BYTES = LEAF_RECORDS * RECORD_BYTES

const LEAF_PREFIX = 0
const NODE_PREFIX = 1

/** What is hashed next: a prefix and a leaf's records, or a prefix and two nodes. */
const leafInput = Buffer.alloc(1 + LEAF_BYTES, LEAF_PREFIX)
const nodeInput: Buffer = Buffer.alloc(1 + 2 * HASH_BYTES, NODE_PREFIX)

function leafInputOf(records: Uint8Array): Uint8Array {
  if (records.length > LEAF_BYTES) throw new RangeError(`a leaf has at most ${LEAF_BYTES} bytes, not ${records.length}`)
  leafInput.set(records, 1)
  return records.length === LEAF_BYTES ? leafInput : leafInput.subarray(0, 1 + records.length)
}

/** The hash of one leaf: up to 64 whole records. */
export function hashLeaf(records: Uint8Array): Buffer {
  return sha256(leafInputOf(records))
}

/** A step of a path: the side on which the sibling stands, and its hash in hexadecimal, in one word. */
export type Step = `L${string}` | `R${string}`

const STEP = /^[LR][0-9a-f]{64}$/

/** Whether a text is a step of a path. */
export function isStep(text: unknown): text is Step {
  return typeof text === 'string' && STEP.test(text)
}

/** A tree over leaf hashes that lie in a row; `levels[0]` are the leaves, the last level is the root alone. */
export class MerkleTree {
  readonly #levels: readonly Buffer[]

  constructor(leaves: Buffer) {
    const levels: Buffer[] = [leaves]
    for (let below: Buffer = leaves; below.length > HASH_BYTES; ) {
      below = levelAbove(below)
      levels.push(below)
    }
    this.#levels = levels
  }

  /** 32 bytes. */
  get root(): Buffer {
    const root = this.#levels.at(-1) as Buffer
    return root.length === 0 ? sha256(root) : root
  }

  /** The steps from a leaf up to the root. */
  path(leaf: number): readonly Step[] {
    const steps: Step[] = []
    let at = leaf
    for (const level of this.#levels) {
      const sibling = (at ^ 1) * HASH_BYTES
      if (sibling < level.length)
        steps.push(`${at & 1 ? 'L' : 'R'}${level.toString('hex', sibling, sibling + HASH_BYTES)}`)
      at >>= 1
    }
    return steps
  }
}

function levelAbove(below: Buffer): Buffer {
  const above = Buffer.allocUnsafe(Math.ceil(below.length / HASH_BYTES / 2) * HASH_BYTES)
  for (let from = 0, to = 0; from < below.length; from += 2 * HASH_BYTES, to += HASH_BYTES) {
    const alone = from + HASH_BYTES === below.length
    below.copy(alone ? above : nodeInput, alone ? to : 1, from, from + 2 * HASH_BYTES)
    if (!alone) writeHash(nodeInput, above, to)
  }
  return above
}

/** The tree over a batch of records, one a leaf. */
export function batchTree(records: Uint8Array): MerkleTree {
  const leaves = Buffer.allocUnsafe((records.length / RECORD_BYTES) * HASH_BYTES)
  for (let i = 0; i * RECORD_BYTES < records.length; i++)
    writeHash(leafInputOf(records.subarray(i * RECORD_BYTES, (i + 1) * RECORD_BYTES)), leaves, i * HASH_BYTES)
  return new MerkleTree(leaves)
}

/** The root that a leaf's hash and its path lead to: 32 bytes. */
export function foldPath(leafHash: Uint8Array, path: readonly Step[]): Buffer {
  let node: Buffer = Buffer.from(leafHash)
  for (const step of path) {
    const isLeft = step[0] === 'L'
    nodeInput.set(node, isLeft ? 1 + HASH_BYTES : 1)
    nodeInput.write(step.slice(1), isLeft ? 1 : 1 + HASH_BYTES, 'hex')
    node = sha256(nodeInput)
  }
  return node
}

/** The tree over the list of entries, grown by whole records in the order of the list. */
export class RecordTree {
  #leaves: Buffer = Buffer.alloc(1024 * HASH_BYTES)
  #leafCount = 0
  readonly #open = Buffer.alloc(LEAF_BYTES)
  #openBytes = 0
  #tree: MerkleTree | undefined

  /** Records appended so far. */
  get count(): number {
    return this.#leafCount * LEAF_RECORDS + this.#openBytes / RECORD_BYTES
  }

  append(records: Uint8Array): void {
    if (records.length % RECORD_BYTES !== 0) throw new RangeError(`${records.length} bytes are not whole records`)
    this.#tree = undefined
    let at = 0
    if (this.#openBytes > 0) {
      at = Math.min(LEAF_BYTES - this.#openBytes, records.length)
      this.#open.set(records.subarray(0, at), this.#openBytes)
      this.#openBytes += at
      if (this.#openBytes < LEAF_BYTES) return
      this.#close(this.#open)
    }
    for (; at + LEAF_BYTES <= records.length; at += LEAF_BYTES) this.#close(records.subarray(at, at + LEAF_BYTES))
    this.#open.set(records.subarray(at))
    this.#openBytes = records.length - at
  }

  #close(leaf: Uint8Array): void {
    const at = this.#leafCount * HASH_BYTES
    // Twice the size each time, and one hash more for the leaf that is still open.
    if (at + 2 * HASH_BYTES > this.#leaves.length) this.#leaves = Buffer.concat([this.#leaves], at * 2)
    writeHash(leafInputOf(leaf), this.#leaves, at)
    this.#leafCount++
  }

  /** The root over everything appended so far: 32 bytes. */
  root(): Buffer {
    return this.#whole().root
  }

  /** The steps from the leaf of an entry to the root. */
  path(index: number): readonly Step[] {
    if (!(index >= 0 && index < this.count)) throw new RangeError(`there is no entry ${index} of ${this.count}`)
    return this.#whole().path(Math.floor(index / LEAF_RECORDS))
  }

  #whole(): MerkleTree {
    if (this.#tree) return this.#tree
    let end = this.#leafCount * HASH_BYTES
    if (this.#openBytes > 0) {
      writeHash(leafInputOf(this.#open.subarray(0, this.#openBytes)), this.#leaves, end)
      end += HASH_BYTES
    }
    this.#tree = new MerkleTree(this.#leaves.subarray(0, end))
    return this.#tree
  }
}

/** The records of the leaf that an entry of a list stands in. */
export function leafAt(entries: Uint8Array, index: number): Uint8Array {
  const from = Math.floor(index / LEAF_RECORDS) * LEAF_BYTES
  return entries.subarray(from, Math.min(from + LEAF_BYTES, entries.length))
}

/** Bytes of a proof: the leaf's records and the siblings of its path. */
export function proofBytes(leaf: Uint8Array, path: readonly Step[]): number {
  return leaf.length + path.length * HASH_BYTES
}
