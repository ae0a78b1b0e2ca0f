/**
 * The stream's fast lane against the ordinary way: the scanner must never say anything else than the general decoder
 * and the schema, and what it writes must be what MessagePack's own decoder reads.
 *
 * The fuzz mutates good frames (flips, cuts, splices, doubled fields) and compares the two ways on each; a frame lies
 * at the end of a larger buffer whose other bytes would be valid user ids, so reading beyond it would show.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CODES } from '../../engine/base/codes.ts'
import { CLAIMS_PER_REQUEST_MAX } from '../../engine/base/limits.ts'
import { type Columns, packResults, replayedPlaces, scanClaimsFrame, WORDS } from '../../engine/wire/claims-frame.ts'
import { decode, encode, Malformed } from '../../engine/wire/encoding.ts'
import { streamFrame } from '../../engine/wire/schemas.ts'
import { below, random, seed } from '../support/seed.ts'

interface Frame {
  readonly id: number
  readonly round: string
  readonly pool: string | undefined
  readonly users: readonly string[]
}

/** What the scanner makes of a frame, in the words of the ordinary way. */
function scanned(bytes: Buffer): Frame | undefined {
  const frame = scanClaimsFrame(bytes)
  if (!frame) return undefined
  const head = Buffer.from([0xdc, frame.count >> 8, frame.count & 255])
  const users = decode(Buffer.concat([head, frame.users]), 'msgpack') as string[]
  return { id: frame.id, round: frame.roundId, pool: frame.pool, users }
}

/** What the decoder and the schema make of it. */
function ordinary(bytes: Buffer): Frame | undefined {
  try {
    const { data } = streamFrame.safeParse(decode(bytes, 'msgpack'))
    if (data?.op !== 'claims') return undefined
    return { id: data.id as number, round: data.round_id, pool: data.pool, users: data.user_ids }
  } catch (cause) {
    if (cause instanceof Malformed) return undefined
    throw cause
  }
}

const chars = 'abcXYZ019._:@-'
const userIds = fc.string({ unit: fc.constantFrom(...chars), minLength: 1, maxLength: 64 })
const frames = fc
  .record({
    id: fc.oneof(fc.nat(300), fc.integer({ min: 0, max: 2 ** 32 - 1 })),
    round_id: fc.oneof(fc.constant('rnd_0123456789abcdef'), userIds),
    user_ids: fc.array(userIds, { minLength: 1, maxLength: 40 }),
    pool: fc.option(fc.string({ unit: fc.constantFrom(...'ab0_-'), minLength: 1, maxLength: 64 }), { nil: undefined }),
    order: fc.shuffledSubarray(['op', 'id', 'round_id', 'user_ids', 'pool'], { minLength: 5 }),
  })
  .map(({ order, pool, ...rest }) => {
    const fields: Record<string, unknown> = { op: 'claims', ...rest, ...(pool === undefined ? {} : { pool }) }
    return Object.fromEntries(order.filter(name => name in fields).map(name => [name, fields[name]]))
  })

test('every good frame is taken by the fast lane, and read as the ordinary way reads it', () => {
  fc.assert(
    fc.property(frames, frame => {
      const bytes = encode(frame, 'msgpack')
      expect(scanned(bytes)).toEqual(ordinary(bytes))
      expect(scanned(bytes)?.users).toEqual(frame.user_ids)
    }),
    { seed, numRuns: 500 },
  )
})

test('a frame with the most claims is taken, one more is not', () => {
  const frame = (count: number) =>
    encode(
      { op: 'claims', id: 1, round_id: 'rnd_a', user_ids: Array.from({ length: count }, (_, i) => `u${i}`) },
      'msgpack',
    )
  expect(scanned(frame(CLAIMS_PER_REQUEST_MAX))?.users).toHaveLength(CLAIMS_PER_REQUEST_MAX)
  expect(scanClaimsFrame(frame(CLAIMS_PER_REQUEST_MAX + 1))).toBeUndefined()
})

const GOOD = { op: 'claims', id: 1, round_id: 'rnd_a', user_ids: ['u1', 'u2'] }
test.each<[string, unknown]>([
  ['another op', { ...GOOD, op: 'claim' }],
  ['no op', { id: 1, round_id: 'rnd_a', user_ids: ['u'] }],
  ['no id', { op: 'claims', round_id: 'rnd_a', user_ids: ['u'] }],
  ['no round', { op: 'claims', id: 1, user_ids: ['u'] }],
  ['no users', { op: 'claims', id: 1, round_id: 'rnd_a' }],
  ['an empty list', { ...GOOD, user_ids: [] }],
  ['an empty user', { ...GOOD, user_ids: ['u', ''] }],
  ['a user with a slash', { ...GOOD, user_ids: ['u/2'] }],
  ['a user of 65 characters', { ...GOOD, user_ids: ['u'.repeat(65)] }],
  ['a user that is a number', { ...GOOD, user_ids: ['u', 7] }],
  ['users that are a text', { ...GOOD, user_ids: 'u1' }],
  ['an unknown field', { ...GOOD, slot: 2 }],
  ['a pool in capitals', { ...GOOD, pool: 'General' }],
  ['an empty pool', { ...GOOD, pool: '' }],
  ['a pool beyond ASCII', { ...GOOD, pool: 'é' }],
  ['a pool of 65 characters', { ...GOOD, pool: 'p'.repeat(65) }],
  ['a pool that is null', { ...GOOD, pool: null }],
  ['a round of 65 characters', { ...GOOD, round_id: 'r'.repeat(65) }],
  ['a negative id', { ...GOOD, id: -0.5 }],
  ['a list', [GOOD]],
])('%s is no claims frame, for both ways', (_, frame) => {
  const bytes = encode(frame, 'msgpack')
  expect([scanned(bytes), ordinary(bytes)]).toEqual([undefined, undefined])
})

test.each(['op', 'id', 'round_id', 'user_ids', 'pool'] as const)(
  'a frame that says %s twice is no claims frame, for both ways',
  name => {
    const good = { ...GOOD, pool: 'general' }
    const once = encode(good, 'msgpack')
    expect(scanned(once)).toEqual(ordinary(once))
    const field = encode({ [name]: good[name] }, 'msgpack').subarray(1)
    const twice = Buffer.concat([Buffer.from([0x86]), once.subarray(1), field])
    expect([scanned(twice), ordinary(twice)]).toEqual([undefined, undefined])
  },
)

function mutate(next: () => number, good: Buffer, other: Buffer): Buffer {
  const bytes = Buffer.from(good)
  const at = below(next, bytes.length)
  const kind = below(next, 6)
  if (kind === 0) bytes[at] = below(next, 256)
  else if (kind === 1) bytes[at] = (bytes[at] as number) ^ (1 << below(next, 8))
  else if (kind === 2) return bytes.subarray(0, at)
  else if (kind === 3) return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + below(next, 4))])
  else if (kind === 4) return Buffer.concat([bytes.subarray(0, at), other.subarray(below(next, other.length))])
  else {
    const more = other.subarray(1)
    const fields = ((bytes[0] as number) & 15) + ((other[0] as number) & 15)
    return Buffer.concat([Buffer.from([0x80 | (fields & 15)]), bytes.subarray(1), more])
  }
  return next() < 0.5 ? bytes : mutate(next, bytes, other)
}

test('100,000 mutated frames: never an error, never a byte beyond, never another reading', { timeout: 240_000 }, () => {
  const next = random(4)
  const good = fc
    .sample(frames, { seed, numRuns: 60 })
    .map(frame => encode({ ...frame, user_ids: (frame.user_ids as string[]).slice(0, 4) }, 'msgpack'))
  let taken = 0
  for (let i = 0; i < 100_000; i++) {
    const bytes = mutate(next, good[i % good.length] as Buffer, good[below(next, good.length)] as Buffer)
    const place = Buffer.alloc(bytes.length + 80, 0x61)
    bytes.copy(place)
    const frame = scanned(place.subarray(0, bytes.length))
    if (frame === undefined) continue
    taken++
    const expected = ordinary(bytes)
    if (JSON.stringify(frame) !== JSON.stringify(expected))
      expect({ frame, hex: bytes.toString('hex') }).toEqual({ frame: expected })
  }
  expect(taken).toBeGreaterThan(1000)
})

const columns = fc.array(
  fc.tuple(fc.constantFrom(...Object.values(CODES).map(({ number }) => number)), fc.nat(2 ** 32 - 1)),
  {
    minLength: 1,
    maxLength: 300,
  },
)

function columnsOf(rows: readonly (readonly [number, number])[]): Columns {
  return {
    count: rows.length,
    outcomes: Uint8Array.from(rows, row => row[0]),
    sequences: Uint32Array.from(rows, row => row[1]),
  }
}

test('results are what anybody decodes: words, sequences, and the places that were granted before', () => {
  fc.assert(
    fc.property(fc.nat(2 ** 32 - 1), columns, (id, rows) => {
      const replayed = rows.flatMap(([outcome], i) => (outcome === CODES.replayed.number ? [i] : []))
      expect(replayedPlaces(columnsOf(rows))).toEqual(replayed)
      expect(decode(Buffer.from(packResults(id, columnsOf(rows))), 'msgpack')).toEqual({
        op: 'results',
        id,
        outcomes: rows.map(([outcome]) => WORDS[outcome]),
        sequences: rows.map(([, sequence]) => sequence),
        ...(replayed.length > 0 ? { replayed } : {}),
      })
    }),
    { seed },
  )
})

test('the largest results fit, with the longest word and every place replayed', () => {
  const longest = Object.values(CODES).toSorted(
    (a, b) => (WORDS[b.number] as string).length - (WORDS[a.number] as string).length,
  )[0]
  for (const outcome of [longest?.number as number, CODES.replayed.number]) {
    const rows = Array.from({ length: CLAIMS_PER_REQUEST_MAX }, () => [outcome, 2 ** 32 - 1] as const)
    const read = decode(Buffer.from(packResults(2 ** 32 - 1, columnsOf(rows))), 'msgpack') as {
      outcomes: string[]
      replayed?: number[]
    }
    expect(new Set(read.outcomes)).toEqual(new Set([WORDS[outcome]]))
    expect(read.replayed?.length).toBe(outcome === CODES.replayed.number ? CLAIMS_PER_REQUEST_MAX : undefined)
  }
})

test('a replayed claim is said to be granted, a number that no outcome has is a bug of ours', () => {
  expect([WORDS[CODES.granted.number], WORDS[CODES.replayed.number], WORDS[255]]).toEqual([
    'granted',
    'granted',
    'internal',
  ])
})
