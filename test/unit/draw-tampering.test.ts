/**
 * The verifier names what was changed.
 *
 * Each row of the table changes one thing of an honest bundle and says which checks have to fail and what their lines
 * have to name; all others have to pass, so a check that fails on anything would be found. Where a change would be
 * caught by the signature alone, it is made once as an outsider would (the old signature) and once as a cheating
 * operator would, who signs anew.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Commit, writeCommit } from '../../engine/draw/commitment.ts'
import { scoreOf } from '../../engine/draw/score-order.ts'
import { signingKeyOf } from '../../engine/draw/signing-key.ts'
import type { BundleFiles } from '../../engine/draw/verify/bundle.ts'
import { verifyBundle } from '../../engine/draw/verify/verification.ts'
import { failuresOf, fixedEntries, goldenBundle, KEY, readResult } from '../support/draw-bundle.ts'
import { plainRoot, RECORD } from '../support/draw-model.ts'
import { effort } from '../support/effort.ts'
import { seed } from '../support/seed.ts'

const golden = goldenBundle()

/** The bundle with one file made another; `change` gets a copy of its bytes. */
function changed(name: string, change: (bytes: Buffer) => Buffer | string, files: BundleFiles = golden): BundleFiles {
  return new Map(files).set(name, Buffer.from(change(Buffer.from(files.get(name) ?? Buffer.alloc(0)))))
}

const replaced = (name: string, from: string | RegExp, to: string, files: BundleFiles = golden) =>
  changed(name, bytes => String(bytes).replace(from, to), files)

/** Signs the commitment again, with something else in it. */
function recommitted(files: BundleFiles, more: Partial<Commit>, key = KEY): BundleFiles {
  const { commit } = JSON.parse(String(files.get('commit.json')))
  return new Map([...files, ...Object.entries(writeCommit({ ...commit, ...more }, key))])
}

const flipped = (name: string, at: number, files: BundleFiles = golden) =>
  changed(
    name,
    bytes => {
      bytes[at]! ^= 1
      return bytes
    },
    files,
  )

const drawn = readResult(golden)
const [firstWinner = '', secondWinner = ''] = drawn.winners
const loser = (() => {
  const entries = fixedEntries(1000)
  const told = new Set([...drawn.winners.map(row => row.slice(0, 32)), ...drawn.waitlist])
  const tags = Array.from({ length: 1000 }, (_, i) => entries.toString('hex', i * RECORD, i * RECORD + 16))
  return tags.findIndex((tag, index) => index > 0 && !told.has(tag))
})()

/** A byte of the loser's tag whose change leaves him a loser: his score stays behind the waitlist's end. */
const quietByte = (() => {
  const [key, last] = [Buffer.from(drawn.seed, 'hex'), drawn.waitlist.at(-1) as string]
  const behind = scoreOf(key, Buffer.from(last, 'hex'))
  const at = Array.from({ length: 16 }, (_, k) => loser * RECORD + k)
  return at.find(byte => {
    const entries = flipped('entries.bin', byte).get('entries.bin') as Buffer
    return scoreOf(key, entries.subarray(loser * RECORD, loser * RECORD + 16)) > behind
  }) as number
})()

/** The list with the entry of a loser made another, and a commitment to that list, signed anew. */
function relisted(change: (entries: Buffer) => Buffer): BundleFiles {
  const files = changed('entries.bin', change)
  const entries = files.get('entries.bin') as Buffer
  return recommitted(files, { n: Math.floor(entries.length / RECORD), root: plainRoot(entries).toString('hex') })
}

const lines = String(golden.get('promotions.log')).trim().split('\n')
const promotions = (rows: readonly string[]) => changed('promotions.log', () => rows.map(row => `${row}\n`).join(''))

/** What is changed, the bundle that it makes, and each check that must fail with what its line must say. */
const TAMPERED: readonly (readonly [string, () => BundleFiles, Readonly<Record<string, string>>])[] = [
  ['the tag of a loser', () => flipped('entries.bin', quietByte), { root: 'entries.bin: has the root' }],
  [
    'the pool of a loser to one that there is not',
    () => changed('entries.bin', bytes => bytes.fill(9, loser * RECORD + 16, loser * RECORD + 17)),
    {
      pools: `entry ${loser} names pool 9, and the rules have pools 0 to 2`,
      root: 'entries.bin',
      duplicates: `entry ${loser} names pool 9`,
      winners: `entry ${loser}`,
      waitlist: `entry ${loser}`,
      cutoffs: `entry ${loser}`,
      promotions: `entry ${loser}`,
      seed: `entry ${loser}`,
    },
  ],
  [
    'the entry of a loser dropped',
    () =>
      changed('entries.bin', bytes =>
        Buffer.concat([bytes.subarray(0, loser * RECORD), bytes.subarray((loser + 1) * RECORD)]),
      ),
    { count: 'has 999 entries, and the commitment 1000', root: 'entries.bin' },
  ],
  [
    'an entry dropped, committed anew',
    () => relisted(bytes => bytes.subarray(0, -RECORD)),
    {
      seed: `result.json: has the seed ${drawn.seed}`,
      winners: 'winner 1 is ',
      waitlist: 'place on the waitlist 1 is ',
      cutoffs: 'the cutoff of general is ',
      promotions: 'promotions.log line 1: ',
    },
  ],
  [
    'the loser a copy of entry 0',
    () => changed('entries.bin', bytes => bytes.copyWithin(loser * RECORD, 0, RECORD)),
    { root: 'entries.bin', duplicates: `entries 0 and ${loser} have the tag ` },
  ],
  [
    'half a record',
    () => changed('entries.bin', bytes => bytes.subarray(0, -1)),
    {
      count: 'entries.bin: has 999.9',
      root: 'not whole records',
      pools: 'has 16999 bytes, which are not whole records of 17',
      duplicates: 'not whole records',
      seed: 'not whole records',
      winners: 'not whole records',
      waitlist: 'not whole records',
      cutoffs: 'not whole records',
      promotions: 'not whole records',
    },
  ],
  [
    'two winners swapped',
    () =>
      changed('result.json', bytes =>
        String(bytes).replace(`"${firstWinner}","${secondWinner}"`, `"${secondWinner}","${firstWinner}"`),
      ),
    { winners: `winner 1 is ${secondWinner}, and the draw gives ${firstWinner}` },
  ],
  [
    "a winner's seat moved to another pool",
    () => replaced('result.json', firstWinner, firstWinner.replace('general', 'staff')),
    { winners: `winner 1 is ${firstWinner.replace('general', 'staff')}` },
  ],
  [
    'the last winner missing',
    () => replaced('result.json', `,"${drawn.winners.at(-1)}"`, ''),
    { winners: `winner 120 is missing, and the draw gives ${drawn.winners.at(-1)}` },
  ],
  [
    'one winner too many',
    () => replaced('result.json', `"${firstWinner}"`, `"${firstWinner}","${firstWinner}"`),
    { winners: `winner 2 is ${firstWinner}, and the draw gives ${secondWinner}` },
  ],
  [
    'a place on the waitlist',
    () => replaced('result.json', `"${drawn.waitlist[5]}"`, `"${drawn.waitlist[6]}"`),
    { waitlist: `place on the waitlist 6 is ${drawn.waitlist[6]}` },
  ],
  [
    'a cutoff',
    () => replaced('result.json', /"general":"[0-9a-f]{32}"/, `"general":"${'f'.repeat(32)}"`),
    { cutoffs: `the cutoff of general is ${'f'.repeat(32)}` },
  ],
  [
    'a cutoff missing',
    () => replaced('result.json', /,"staff":"[0-9a-f]{32}"/, ''),
    { cutoffs: 'the cutoff of staff is undefined' },
  ],
  ['the seed', () => replaced('result.json', drawn.seed, 'ab'.repeat(32)), { seed: `has the seed ${'ab'.repeat(32)}` }],
  [
    "the result's winners twice",
    () => replaced('result.json', '"waitlist"', '"winners":[],"waitlist"'),
    {
      seed: 'result.json: says a field twice',
      winners: 'says a field twice',
      waitlist: 'says a field twice',
      cutoffs: 'says a field twice',
    },
  ],
  [
    'the stock of a rule',
    () => replaced('rules.json', '"total":112}', '"total":113}'),
    {
      rules: 'rules.json: has SHA-256 ',
      pools: 'stock is 120',
      times: 'stock is 120',
      duplicates: 'stock is 120',
      beacon: 'stock is 120',
      seed: 'stock is 120',
      winners: 'stock is 120',
      waitlist: 'stock is 120',
      cutoffs: 'stock is 120',
      promotions: 'stock is 120',
    },
  ],
  [
    'the order of quotas',
    () => replaced('rules.json', 'general-first', 'pool-first'),
    {
      rules: 'rules.json: has SHA-256 ',
      winners: 'winner ',
      waitlist: 'place on the waitlist ',
      cutoffs: 'the cutoff of general',
      promotions: 'promotions.log line ',
    },
  ],
  ['a time of the rules', () => replaced('rules.json', '15:55:00', '15:56:00'), { rules: 'rules.json: has SHA-256 ' }],
  [
    'the count in the commitment',
    () => replaced('commit.json', '"n":1000', '"n":1001'),
    {
      count: 'has 1000 entries, and the commitment 1001',
      signature: 'commit.json: n is 1001, and the signed commit.bytes has 1000',
      seed: 'has the seed ',
      winners: 'winner 1 ',
      waitlist: 'place on the waitlist 1 ',
      cutoffs: 'the cutoff of ',
      promotions: 'promotions.log line 1',
    },
  ],
  [
    'the time of the commitment, in both files',
    () => replaced('commit.bytes', '15:55:02', '15:55:03', replaced('commit.json', '15:55:02', '15:55:03')),
    { signature: `the signature over commit.bytes is not that of public_key ${KEY.publicKey}` },
  ],
  [
    'the signature',
    () => replaced('commit.json', /"signature":"../, '"signature":"00'),
    { signature: 'the signature over commit.bytes is not that of' },
  ],
  [
    'the public key',
    () => replaced('commit.json', KEY.publicKey, signingKeyOf(Buffer.alloc(32, 2)).publicKey),
    { signature: 'the signature over commit.bytes is not that of' },
  ],
  [
    'the window of the commitment, signed anew',
    () => recommitted(golden, { window: 1 }),
    { rules: 'commit.json: is of window 1, and the rules of window 0' },
  ],
  [
    'the round of the beacon',
    () => replaced('beacon.json', '1000', '1001'),
    Object.fromEntries(
      ['beacon', 'seed', 'winners', 'waitlist', 'cutoffs', 'promotions'].map(name => [
        name,
        'beacon.json: is of round 1001, and the rules promise 1000',
      ]),
    ),
  ],
  [
    'one digit of the beacon',
    () => replaced('beacon.json', 'b44679', 'b44678'),
    Object.fromEntries(
      ['beacon', 'seed', 'winners', 'waitlist', 'cutoffs', 'promotions'].map(name => [
        name,
        "beacon.json: the signature is not quicknet's for round 1000",
      ]),
    ),
  ],
  [
    'the beacon for a secret',
    () => changed('beacon.json', () => `{"kind":"commit","secret":"${'00'.repeat(32)}"}`),
    Object.fromEntries(
      ['beacon', 'seed', 'winners', 'waitlist', 'cutoffs', 'promotions'].map(name => [
        name,
        'beacon.json: is of kind commit, and the rules promise drand',
      ]),
    ),
  ],
  [
    'who is promoted',
    () => replaced('promotions.log', `"to":"${drawn.waitlist[0]}"`, `"to":"${drawn.waitlist[1]}"`),
    {
      promotions: `promotions.log line 1: the next for a seat of general is ${drawn.waitlist[0]}, not ${drawn.waitlist[1]}`,
    },
  ],
  [
    'a promotion missing',
    () => promotions(lines.slice(1)),
    { promotions: `promotions.log line 1: ${drawn.waitlist[0]} has no seat to give up` },
  ],
  ['a promotion twice', () => promotions([lines[0] as string, ...lines]), { promotions: 'promotions.log line 2: ' }],
  [
    'the pool of a promotion',
    () => replaced('promotions.log', '"pool":"general"', '"pool":"staff"'),
    { promotions: 'promotions.log line 1: ' },
  ],
  [
    'the text of the promotions',
    () => changed('promotions.log', bytes => Buffer.concat([Buffer.from([0xc4, 0xe3]), bytes])),
    { promotions: 'promotions.log: is not UTF-8' },
  ],
  [
    'the end of the promotions',
    () => changed('promotions.log', bytes => bytes.subarray(0, -1)),
    { promotions: 'promotions.log: line 3 has no line feed' },
  ],
  [
    'a second result beside the first',
    () => new Map(golden).set('result-2.json', golden.get('result.json') as Buffer),
    { files: 'result-2.json: is no file of a bundle' },
  ],
]

test.each(TAMPERED)('%s: what was changed is named', (_, make, expected) => {
  const failures = failuresOf(make())
  expect(Object.keys(failures).sort()).toEqual(Object.keys(expected).sort())
  for (const [name, words] of Object.entries(expected)) expect(failures[name]).toContain(words)
})

test('any byte of any file changed is found', () => {
  const places = fc
    .constantFrom(...golden.keys())
    .chain(name => fc.record({ name: fc.constant(name), at: fc.nat({ max: (golden.get(name) as Buffer).length - 1 }) }))
  fc.assert(
    fc.property(places, ({ name, at }) => {
      // The time of a promotion and white space are the only bytes that nothing else is computed from.
      const text = String(golden.get(name)).slice(0, at)
      const isTime = name === 'promotions.log' && text.lastIndexOf('"at":"') > text.lastIndexOf('}')
      expect(verifyBundle(flipped(name, at)).ok && !isTime).toBe(false)
    }),
    { seed, numRuns: effort(30, 300) },
  )
})
