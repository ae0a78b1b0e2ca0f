/**
 * Receipts: every one of a batch holds under its key, any change breaks it, and a draw that broke the promise is shown.
 *
 * The draws are real bundles. A list that lost, moved or changed an entry is committed anew by the right key, because
 * that is the cheat that only a receipt can show.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { sha256 } from '../../engine/draw/digest.ts'
import { commitUser, RECORD_BYTES, recordOf, tagOf } from '../../engine/draw/entry.ts'
import { RecordTree } from '../../engine/draw/merkle.ts'
import { findReceiptFlaw, type Receipt, readReceipt, signBatch } from '../../engine/draw/receipt.ts'
import { parseResult } from '../../engine/draw/result.ts'
import { keyIdOf, signingKeyOf, verifySignature } from '../../engine/draw/signing-key.ts'
import { type BundleFiles, bundleParts } from '../../engine/draw/verify/bundle.ts'
import { checkReceiptOf, proveEntry, type ReceiptEvidence, readProof } from '../../engine/draw/verify/receipt-check.ts'
import {
  fixedEntries,
  KEY,
  makeBundle,
  readResult,
  SECRET,
  WINDOW_RULES,
  windowBundle,
} from '../support/draw-bundle.ts'
import { RECORD, randomEntries } from '../support/draw-model.ts'
import { effort } from '../support/effort.ts'
import { random, seed } from '../support/seed.ts'

const HEAD = { roundId: 'rnd_window', window: 3, at: '2026-12-01T10:00:10.500Z' }

test('the key of RFC 8032, test 2, gives its public key and signature', () => {
  const key = signingKeyOf(Buffer.from('4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb', 'hex'))
  expect(key.publicKey).toBe('3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c')
  const signature = key.sign(Uint8Array.of(0x72))
  expect(signature.toString('hex')).toBe(
    '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
  )
  expect(key.keyId).toBe(keyIdOf(key.publicKey))
  expect(verifySignature(Uint8Array.of(0x72), signature, key.publicKey)).toBe(true)
  expect(verifySignature(Uint8Array.of(0x73), signature, key.publicKey)).toBe(false)
  expect(verifySignature(Uint8Array.of(0x72), signature, 'no key')).toBe(false)
  expect(verifySignature(Uint8Array.of(0x72), signature.subarray(1), key.publicKey)).toBe(false)
  expect(() => signingKeyOf(Buffer.alloc(31))).toThrow('32 bytes, not 31')
})

test('all receipts of a batch of any size hold, through JSON too', () => {
  const next = random(1)
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 130 }), size => {
      const records = randomEntries(next, size, 3)
      const receipts = signBatch(HEAD, records, KEY)
      expect(receipts).toHaveLength(size)
      for (const [i, receipt] of receipts.entries()) {
        const read = readReceipt(JSON.parse(JSON.stringify({ outcome: 'entered', receipt })))
        expect(findReceiptFlaw(read, KEY.publicKey)).toBeUndefined()
        expect(recordOf(Buffer.from(read.tag, 'hex'), read.pool)).toEqual(
          records.subarray(i * RECORD, (i + 1) * RECORD),
        )
      }
    }),
    { seed, numRuns: effort(15, 200) },
  )
})

const [sound] = signBatch(HEAD, randomEntries(random(2), 64), KEY) as [Receipt]
const other = signBatch({ ...HEAD, at: '2026-12-01T10:00:10.501Z' }, randomEntries(random(3), 64), KEY)[0] as Receipt

test.each<[string, Partial<Receipt>, string]>([
  ['tag', { tag: other.tag }, 'tag, pool and path lead to the root'],
  ['pool', { pool: 1 }, 'tag, pool and path lead to the root'],
  ['path', { path: sound.path.slice(1) }, 'tag, pool and path lead to the root'],
  ['side of a step', { path: [`L${sound.path[0]?.slice(1)}`, ...sound.path.slice(1)] }, 'lead to the root'],
  ['root', { root: other.root }, 'and the receipt says'],
  ['round', { round_id: 'rnd_other' }, 'the signature is not that of the key'],
  ['window', { window: 4 }, 'the signature is not that of the key'],
  ['time', { at: other.at }, 'the signature is not that of the key'],
  ['signature', { signature: other.signature }, 'the signature is not that of the key'],
  ['key', { key_id: '00'.repeat(8) }, 'is not the receipt'],
])('a receipt with another %s does not hold', (_, change, words) => {
  expect(findReceiptFlaw(sound, KEY.publicKey)).toBeUndefined()
  expect(findReceiptFlaw({ ...sound, ...change }, KEY.publicKey)).toContain(words)
})

test.each([
  [{}, 'receipt: tag: '],
  [{ ...sound, path: ['X'] }, 'receipt: path[0]: must be L or R'],
  [{ ...sound, signature: 'AB' }, 'receipt: signature: must be 128 lower case'],
  ['text', 'receipt: the file: '],
])('what is no receipt is refused by name (%#)', (value, words) => {
  expect(() => readReceipt(value)).toThrow(words)
})

/** A person, his entry, and where it stands in a list. */
const SALT = Buffer.alloc(16, 1)
const NONCE = Buffer.alloc(16, 2)
const TAG = tagOf('rnd_window', NONCE, commitUser(SALT, 'u1'))
const PLACE = 411

function entriesWith(record: Uint8Array): Buffer {
  const entries = fixedEntries(700)
  entries.set(record, PLACE * RECORD_BYTES)
  return entries
}

function bundleOf(entries: Buffer, stock = 120): BundleFiles {
  const pools = WINDOW_RULES.pools.map(pool => ({ ...pool, total: pool.name === 'general' ? stock - 8 : pool.total }))
  return makeBundle({
    rules: {
      ...WINDOW_RULES,
      stock,
      pools,
      waitlist: 50,
      beacon: { kind: 'commit', hash: sha256(SECRET).toString('hex') },
    },
    entries,
    beacon: { kind: 'commit', secret: SECRET.toString('hex') },
    committedAt: '2026-12-01T10:00:12.020Z',
  })
}
const receipt = signBatch(HEAD, Buffer.concat([fixedEntries(20), recordOf(TAG, 0)]), KEY)[20] as Receipt
const owned: Receipt = { ...receipt, user_id: 'u1', salt: SALT.toString('hex'), nonce: NONCE.toString('hex') }

function evidence(files: BundleFiles, more: Partial<ReceiptEvidence> = {}): ReceiptEvidence {
  const parts = bundleParts(files)
  return {
    receipt: owned,
    parts,
    proof: proveEntry(parts.entries(), TAG),
    cutoffs: parseResult(parts.bytes('result.json')).cutoffs,
    publicKeys: [signingKeyOf(Buffer.alloc(32, 2)).publicKey, KEY.publicKey],
    ...more,
  }
}

const linesOf = (of: ReceiptEvidence) =>
  Object.fromEntries(checkReceiptOf(of).map(({ name, ok, detail }) => [name, `${ok ? 'PASS' : 'FAIL'} ${detail}`]))

describe('a person checks', () => {
  const honest = bundleOf(entriesWith(recordOf(TAG, 0)))

  test('an honest draw: all lines pass, and the last says what the result says', () => {
    for (const stock of [8, 120, 300, 650]) {
      const files = bundleOf(entriesWith(recordOf(TAG, 0)), stock)
      const lines = linesOf(evidence(files))
      expect(Object.values(lines).filter(line => !line.startsWith('PASS'))).toEqual([])
      const { winners, waitlist } = readResult(files)
      const seat = winners.find(row => row.startsWith(TAG.toString('hex')))?.slice(33)
      const told = waitlist.includes(TAG.toString('hex')) ? 'on the waitlist' : 'not drawn'
      expect(lines.result).toContain(`PASS ${seat === undefined ? told : `won a seat of ${seat}`}; score `)
      expect(lines.owner).toBe('PASS the tag is that of u1')
    }
  })

  test('an entry that is missing: the receipt proves it', () => {
    const lines = linesOf(evidence(bundleOf(fixedEntries(700))))
    expect(lines.inclusion).toContain('the promise was broken, and the receipt proves it')
  })

  test('an entry moved to another pool, or a proof of another place', () => {
    expect(linesOf(evidence(bundleOf(entriesWith(recordOf(TAG, 1))))).inclusion).toContain(
      `FAIL proof: entry ${PLACE} is`,
    )
    const proof = readProof({ ...proveEntry(entriesWith(recordOf(TAG, 0)), TAG), index: PLACE + 1 })
    expect(linesOf(evidence(honest, { proof })).inclusion).toContain(`FAIL proof: entry ${PLACE + 1} is`)
  })

  test('a proof of another list, whatever root it names', () => {
    const entries = entriesWith(recordOf(TAG, 0)).fill(1, 0, 1)
    const proof = proveEntry(entries, TAG)
    expect(linesOf(evidence(honest, { proof })).inclusion).toContain('FAIL proof: leads to the root')
  })

  test('a receipt of another window, another person or an unknown key', () => {
    const later = signBatch({ ...HEAD, window: 4 }, recordOf(TAG, 0), KEY)[0] as Receipt
    const { commitment, inclusion, result } = linesOf(evidence(honest, { receipt: later, proof: undefined }))
    for (const line of [commitment, inclusion, result])
      expect(line).toBe('FAIL receipt: is of rnd_window, window 4, and this is the draw of rnd_window, window 3')
    expect(linesOf(evidence(honest, { receipt: { ...owned, user_id: 'u2' } })).owner).toContain(
      'FAIL receipt: the tag of u2',
    )
    const lines = linesOf(evidence(honest, { publicKeys: [signingKeyOf(Buffer.alloc(32, 2)).publicKey] }))
    expect(lines.receipt).toContain('FAIL receipt: the key ')
    expect(lines.commitment).toContain('which is not a key of the engine')
    expect(linesOf(evidence(honest, { publicKeys: [] })).receipt).toContain('no public key')
  })

  test('the proof that a tree keeps is the proof that the list gives', () => {
    const entries = entriesWith(recordOf(TAG, 0))
    const tree = new RecordTree()
    tree.append(entries)
    expect(proveEntry(entries, TAG, tree)).toEqual(proveEntry(entries, TAG))
    expect(proveEntry(entries, Buffer.alloc(16))).toBeUndefined()
    expect(proveEntry(bundleParts(windowBundle()).entries(), TAG)).toBeUndefined()
  })
})
