/**
 * Receipts that were made of an honest one: the same bytes, cut at other places. No tag is anybody's but its owner's.
 *
 * What is hashed is a row of parts, so a part of another length is another cut of the same row: an empty tag with the record as its
 * pool, the beginning of a name in the salt. Each forgery is held against the client's check, the page's of a draw, the engine's
 * reader behind `fairgrab draw check`, and the bench's. Proofs and commitments are cut the same ways.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { tagFor } from '../../bench/audit/draw.ts'
import { Fairgrab } from '../../engine/client/fairgrab.ts'
import type { ReceiptFields, Verdict } from '../../engine/client/receipt-check.ts'
import { sha256 } from '../../engine/draw/digest.ts'
import { commitUser, RECORD_BYTES, recordOf, tagOf } from '../../engine/draw/entry.ts'
import { readReceipt, signBatch } from '../../engine/draw/receipt.ts'
import { bundleParts } from '../../engine/draw/verify/bundle.ts'
import { proveEntry } from '../../engine/draw/verify/receipt-check.ts'
import { fixedEntries, KEY, makeBundle, SECRET, WINDOW_RULES } from '../support/draw-bundle.ts'

const { checkProof } = (await import(join(import.meta.dirname, '../../engine/dashboard/grab/draw-proof.js'))) as {
  checkProof(evidence: object): Promise<readonly { name: string; verdict: string; words: string }[]>
}

const HEAD = { roundId: 'rnd_window', window: 3, at: '2026-12-01T10:00:10.500Z' }
const SALT = Buffer.alloc(16, 1)
const NONCE = Buffer.alloc(16, 2)
const OWNER = 'alice.smith'
const RECORD = recordOf(tagOf('rnd_window', NONCE, commitUser(SALT, OWNER)), 0)
const KEYS = [{ key_id: KEY.keyId, public_key: KEY.publicKey }]

const [signed] = signBatch(HEAD, Buffer.concat([RECORD, fixedEntries(20)]), KEY)
const honest = { ...signed, salt: SALT.toString('hex'), nonce: NONCE.toString('hex') } as ReceiptFields
const hexOf = (text: string): string => Buffer.from(text).toString('hex')

interface Forgery {
  readonly change: Readonly<Record<string, unknown>>
  readonly user?: string
}

const FORGERIES: Readonly<Record<string, Forgery>> = {
  'the tag is empty and the pool has it': {
    change: { tag: '', pool: RECORD.toString('hex') },
    user: 'mallory',
  },
  'the tag is short and the pool has the rest': {
    change: { tag: honest.tag.slice(0, 2), pool: `${honest.tag.slice(2)}00` },
    user: 'mallory',
  },
  'the salt has the beginning of the name': { change: { salt: `${honest.salt}${hexOf('alice.')}` }, user: 'smith' },
  'the salt is not hexadecimal behind its bytes': { change: { salt: `${honest.salt}g` } },
  'the nonce is longer': { change: { nonce: `${honest.nonce}0` } },
  'the signature has a digit too many': { change: { signature: `${honest.signature}f` } },
  'the signature is in capitals': { change: { signature: honest.signature.toUpperCase() } },
  'the tag is in capitals': { change: { tag: honest.tag.toUpperCase() } },
  'the pool is a text': { change: { pool: '00' } },
  'the pool is no place': { change: { pool: 0.4 } },
  'a step has spaces between its digits': {
    change: { path: [...honest.path.slice(0, -1), honest.path.at(-1)?.replace(/^(.{3})/, '$1\n')] },
  },
  'a step is of no side': { change: { path: [...honest.path.slice(0, -1), `X${honest.path.at(-1)?.slice(1)}`] } },
  'the path is a text': { change: { path: '' } },
  'the key is named by nothing': { change: { key_id: '' } },
}

const server = createServer((_, response) => response.end(JSON.stringify({ keys: KEYS })))
let fairgrab: Fairgrab
beforeAll(async () => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  fairgrab = new Fairgrab({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
})
afterAll(() => server.close())

const verdictOf = (change: object, user: string): Promise<Verdict> =>
  fairgrab.receipt({ ...honest, ...change } as ReceiptFields, user).verify()

const rowsOf = async (evidence: object) =>
  Object.fromEntries((await checkProof(evidence)).map(({ name, verdict }) => [name, verdict]))

test('the honest receipt holds for its owner and for nobody else', async () => {
  expect((await verdictOf({}, OWNER)).verdict).toBe('holds')
  expect((await verdictOf({}, 'mallory')).verdict).toBe('fails')
  expect(await rowsOf({ receipt: honest, userId: OWNER, keys: KEYS })).toEqual({ Receipt: 'holds', Owner: 'holds' })
  expect(readReceipt(honest)).toEqual(honest)
  expect(tagFor(OWNER, honest as Required<ReceiptFields>)).toBe(honest.tag)
})

test.each(Object.entries(FORGERIES))('nobody passes it off: %s', async (_, { change, user = OWNER }) => {
  expect(await verdictOf(change, user)).toMatchObject({ verdict: 'fails' })
  const receipt = { ...honest, ...change }
  expect(Object.values(await rowsOf({ receipt, userId: user, keys: KEYS }))).toContain('fails')
  expect(() => readReceipt(receipt)).toThrow(/^receipt: /)
})

test('the bench does not take a tag of other lengths for anybody’s', () => {
  const parts = honest as Required<ReceiptFields>
  expect(tagFor('smith', { ...parts, salt: `${parts.salt}${hexOf('alice.')}` })).not.toBe(parts.tag)
  expect(tagFor(OWNER, { ...parts, nonce: `${parts.nonce}zz` })).not.toBe(parts.tag)
})

/** A list with the entry in the middle of a leaf, drawn, and what the page is given of it. */
async function drawn(
  change: (parts: { proof: object & { leaf: string; path: readonly string[] }; commit: object }) => object,
) {
  const entries = fixedEntries(700)
  entries.set(RECORD, 411 * RECORD_BYTES)
  const files = makeBundle({
    rules: { ...WINDOW_RULES, waitlist: 50, beacon: { kind: 'commit', hash: sha256(SECRET).toString('hex') } },
    entries,
    beacon: { kind: 'commit', secret: SECRET.toString('hex') },
    committedAt: '2026-12-01T10:00:12.020Z',
  })
  const read = (name: string) => JSON.parse(String(files.get(name)))
  const proof = proveEntry(bundleParts(files).entries(), RECORD.subarray(0, -1)) as never
  const { proof: shown, commit } = {
    proof,
    commit: read('commit.json'),
    ...change({ proof, commit: read('commit.json') }),
  }
  return rowsOf({
    receipt: honest,
    userId: OWNER,
    keys: KEYS,
    proof: shown,
    files: {
      rulesBytes: files.get('rules.json'),
      rules: read('rules.json'),
      commit,
      commitBytes: files.get('commit.bytes'),
      beacon: read('beacon.json'),
      result: read('result.json'),
    },
  })
}

test('the page’s check of a draw takes no proof or signature that is written another way', async () => {
  expect(await drawn(() => ({}))).toMatchObject({ Commitment: 'holds', Entry: 'holds', Beacon: 'holds' })
  const leaf = await drawn(({ proof }) => ({ proof: { ...proof, leaf: proof.leaf.replace(/00/, 'zz') } }))
  expect(leaf.Entry).toBe('fails')
  const path = await drawn(({ proof }) => ({ proof: { ...proof, path: proof.path.map(step => `${step}\n`) } }))
  expect(path.Entry).toBe('fails')
  const signature = await drawn(({ commit }) => ({
    commit: { ...commit, signature: `${(commit as { signature: string }).signature}f` },
  }))
  expect(signature.Commitment).toBe('fails')
})
