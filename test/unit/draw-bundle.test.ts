/**
 * Honest bundles pass, whatever the rules; what is missing, late or there twice is named; rules are read with care.
 *
 * The golden files pin the format to the byte: they are what an outsider's verifier was written against, and a change
 * of one of them is a change of the format. The tampered bundles have a file of their own.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { sha256 } from '../../engine/draw/digest.ts'
import { parseRules, type Rules, writeRules } from '../../engine/draw/rules.ts'
import { signingKeyOf } from '../../engine/draw/signing-key.ts'
import { compareResults, verifyBundle } from '../../engine/draw/verify/verification.ts'
import {
  failuresOf,
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
import { effort } from '../support/effort.ts'
import { seed } from '../support/seed.ts'

const GOLDEN = join(import.meta.dirname, '../fixtures/draw')
const golden = goldenBundle()
const respaced = (bytes: Buffer | undefined) => Buffer.from(JSON.stringify(JSON.parse(String(bytes)), null, 1))

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
      expect(failuresOf(new Map(golden).set(name, respaced(golden.get(name)))), name).toEqual({})
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
