/**
 * The verifier accepts what was drawn and names what was changed.
 *
 * Each row of the table changes one thing of an honest bundle and says which checks have to fail and what their lines
 * have to name; all others have to pass, so a check that fails on anything would be found. Where a change would be
 * caught by the signature alone, it is made once as an outsider would (the old signature) and once as a cheating
 * operator would, who signs anew. The golden files pin the format to the byte.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { BundleFiles } from '../../engine/draw/bundle.ts'
import { type Commit, writeCommit } from '../../engine/draw/commitment.ts'
import { sha256 } from '../../engine/draw/digest.ts'
import { parseRules, type Rules, writeRules } from '../../engine/draw/rules.ts'
import { signingKeyOf } from '../../engine/draw/signing-key.ts'
import { compareResults, verifyBundle } from '../../engine/draw/verification.ts'
import {
  fixedEntries,
  goldenBundle,
  KEY,
  LOTTERY_RULES,
  makeBundle,
  ROUND_1000,
  readResult,
  SECRET,
  WINDOW_RULES,
  windowBundle,
} from '../support/draw-bundle.ts'
import { plainRoot, RECORD } from '../support/draw-model.ts'
import { effort } from '../support/effort.ts'
import { seed } from '../support/seed.ts'

const GOLDEN = join(import.meta.dirname, '../fixtures/draw')
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

const failuresOf = (files: BundleFiles) => {
  const { checks, ok } = verifyBundle(files)
  const failed = checks.filter(check => !check.ok)
  expect(ok).toBe(failed.length === 0)
  return Object.fromEntries(failed.map(({ name, detail }) => [name, detail]))
}

describe('honest bundles', () => {
  test('the golden bundle is what the fixtures hold, byte for byte, and passes as T3', () => {
    expect([...golden.keys()].sort()).toEqual(readdirSync(GOLDEN).sort())
    for (const [name, bytes] of golden) expect(readFileSync(join(GOLDEN, name)), name).toEqual(bytes)
    expect(failuresOf(golden)).toEqual({})
    expect(verifyBundle(golden, { publicKey: KEY.publicKey })).toMatchObject({ ok: true, trust: 'T3' })
  })

  test('a window with a commit beacon passes as T2, and so does an empty one', () => {
    expect(verifyBundle(windowBundle())).toMatchObject({ ok: true, trust: 'T2' })
    const beacon = { kind: 'commit', secret: '05'.repeat(32) } as const
    const rules: Rules = { ...WINDOW_RULES, beacon: { kind: 'commit', hash: sha256(SECRET).toString('hex') } }
    const empty = makeBundle({ rules, entries: Buffer.alloc(0), beacon, committedAt: '2026-12-01T10:00:12.020Z' })
    expect(failuresOf(empty)).toEqual({})
    expect(readResult(empty)).toMatchObject({ winners: [], cutoffs: { general: 'f'.repeat(32) } })
  })

  test('JSON may be spaced otherwise, where its bytes are not signed or hashed', () => {
    for (const name of ['beacon.json', 'result.json', 'commit.json'])
      expect(failuresOf(changed(name, bytes => JSON.stringify(JSON.parse(String(bytes)), null, 1))), name).toEqual({})
  })

  test('any rules and any number of entrants make a bundle that passes', () => {
    const totals = fc.tuple(fc.nat({ max: 300 }), fc.nat({ max: 40 }), fc.nat({ max: 10 }))
    const cases = fc.record({ n: fc.nat({ max: 600 }), totals, waitlist: fc.nat({ max: 100 }), first: fc.boolean() })
    fc.assert(
      fc.property(cases, ({ n, totals: [general, assisted, staff], waitlist, first }) => {
        const rules: Rules = {
          ...WINDOW_RULES,
          stock: general + assisted + staff,
          pools: [
            { name: 'general', total: general },
            { name: 'assisted', total: assisted },
            { name: 'staff', total: staff },
          ],
          quota_order: first ? 'general-first' : 'pool-first',
          waitlist,
          beacon: { kind: 'commit', hash: sha256(SECRET).toString('hex') },
        }
        const beacon = { kind: 'commit', secret: SECRET.toString('hex') } as const
        const committedAt = '2026-12-01T10:00:13.000Z'
        expect(failuresOf(makeBundle({ rules, entries: fixedEntries(n), beacon, committedAt }))).toEqual({})
      }),
      { seed, numRuns: effort(25, 1000) },
    )
  })
})

const drawn = readResult(golden)
const [firstWinner = '', secondWinner = ''] = drawn.winners
const loser = (() => {
  const entries = fixedEntries(1000)
  const told = new Set([...drawn.winners.map(row => row.slice(0, 32)), ...drawn.waitlist])
  const tags = Array.from({ length: 1000 }, (_, i) => entries.toString('hex', i * RECORD, i * RECORD + 16))
  return tags.findIndex((tag, index) => index > 0 && !told.has(tag))
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
  ['the tag of a loser', () => flipped('entries.bin', loser * RECORD + 9), { root: 'entries.bin: has the root' }],
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
    { seed, numRuns: effort(30, 1500) },
  )
})

test('a missing file is named, and nothing else fails than what needs it', () => {
  for (const name of golden.keys()) {
    const files = new Map(golden)
    files.delete(name)
    const failures = failuresOf(files)
    if (name === 'promotions.log') expect(failures).toEqual({})
    else for (const detail of Object.values(failures)) expect(detail).toBe(`${name}: is missing`)
  }
})

test('a window with promotions, or a key that was not asked for, fails', () => {
  const files = new Map(windowBundle()).set('promotions.log', golden.get('promotions.log') as Buffer)
  expect(failuresOf(files)).toEqual({ promotions: 'promotions.log: only a lottery has promotions' })
  const other = signingKeyOf(Buffer.alloc(32, 2)).publicKey
  const { checks } = verifyBundle(golden, { publicKey: other })
  expect(checks.filter(({ ok }) => !ok).map(({ detail }) => detail)).toEqual([
    `commit.json: is signed by ${KEY.publicKey}, and not by the key that was asked for, ${other}`,
  ])
})

test('a list committed after its beacon appeared is no more than T1', () => {
  const late = makeBundle({
    rules: LOTTERY_RULES,
    entries: fixedEntries(300),
    beacon: ROUND_1000,
    committedAt: '2023-08-23T15:59:24.000Z',
  })
  expect(verifyBundle(late)).toMatchObject({ ok: true, trust: 'T1' })
})

test('two results for one draw are one too many', () => {
  expect(compareResults(golden, goldenBundle())).toMatchObject({ ok: true })
  expect(compareResults(golden, windowBundle())).toMatchObject({ ok: true, detail: 'the bundles are of two draws' })
  const second = makeBundle({
    rules: LOTTERY_RULES,
    entries: fixedEntries(999),
    beacon: ROUND_1000,
    committedAt: '2023-08-23T15:55:02.000Z',
  })
  expect(verifyBundle(second).ok).toBe(true)
  expect(compareResults(golden, second)).toEqual({
    name: 'one result',
    ok: false,
    detail: 'entries.bin: there is a second one for round rnd_golden, window 0; the first that was published stands',
  })
})

test.each([
  ['v', 2, 'v: Invalid input: expected 1'],
  ['mode', 'fcfs', 'mode: '],
  ['colour', 'red', 'colour'],
  ['waitlist', -1, 'waitlist: '],
  ['opens_at', 'tomorrow', 'opens_at: must be RFC 3339'],
  ['opens_at', '2024-01-01T00:00:00.000Z', 'closes_at is not after opens_at'],
  ['leaf_records', 32, 'leaf_records: Invalid input: expected 64'],
  ['window', 1, 'window: a lottery has one draw'],
  ['stock', 119, 'stock is 119, but the pools add up to 120'],
  ['pools', [{ name: 'assisted', total: 120 }], 'pools[0].name is "assisted"; the first pool must be "general"'],
  ['pools', [{ name: 'general', total: 120.5 }], 'pools[0].total: '],
  ['beacon', { kind: 'commit', hash: 'AB' }, 'beacon.hash: must be 64 lower case hexadecimal digits'],
])('rules with %s = %j are refused by name', (field, value, words) => {
  const bytes = Buffer.from(JSON.stringify({ ...LOTTERY_RULES, [field]: value }))
  expect(() => parseRules(bytes)).toThrow(`rules.json: ${words.includes('colour') ? 'the file' : words}`)
  expect(() => parseRules(bytes)).toThrow(words)
})

test('rules are written in one form, whatever the order of their fields', () => {
  const turned = Object.fromEntries(Object.entries(LOTTERY_RULES).reverse()) as unknown as Rules
  expect(writeRules(turned)).toEqual(writeRules(LOTTERY_RULES))
  const pools = (names: readonly string[]) => names.map(name => ({ name, total: 60 }))
  expect(() => writeRules({ ...LOTTERY_RULES, pools: pools(['general', 'general']) })).toThrow(
    'a name stands there twice',
  )
  expect(() => writeRules({ ...LOTTERY_RULES, pools: pools(['general', 'waitlist']) })).toThrow(
    'name the pool otherwise',
  )
})
