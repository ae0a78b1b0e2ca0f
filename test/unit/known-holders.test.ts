/**
 * What a worker knows of holders: exact for every holder and every stranger, by text and by bytes, up to its capacity;
 * and the batches it learns from, compared with a plain Map over random decisions.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { HOLDER_BYTES_MAX, holderOf, writeArrayHead, writeHolder } from '../../engine/base/holder.ts'
import { KnownHolders } from '../../engine/campaign/round/known-holders.ts'
import { seed } from '../support/seed.ts'

const NOTICE = { epoch: 'e', state: 'open', version: 1, at: 1, opensAt: 1, closesAt: 0, pools: [] } as const

/** Holder keys as a queue sends them. */
function sent(holders: readonly string[]): Buffer {
  const packed = Buffer.alloc(3 + holders.length * HOLDER_BYTES_MAX)
  let at = writeArrayHead(packed, 0, holders.length)
  for (const holder of holders) at = writeHolder(packed, at, holder)
  return packed.subarray(0, at)
}

/** What each claim of a decision holds. */
const columnsOf = (held: readonly { readonly sequence: number; readonly pool: number }[]) => ({
  outcomes: new Uint8Array(held.length),
  sequences: Uint32Array.from(held, ({ sequence }) => sequence),
  pools: Uint8Array.from(held, ({ pool }) => pool),
})

test('every holder is found with his sequence and pool, and no stranger is', () => {
  const known = new KnownHolders(100_000, seed)
  const holders = Array.from({ length: 100_000 }, (_, i) => holderOf(`user-${(i * 7919) % 100_003}`, 1 + (i % 3)))
  for (const [i, holder] of holders.entries()) known.addText(holder, i + 1, i % 4)
  const bytes = Buffer.alloc(HOLDER_BYTES_MAX)
  const byBytes = (holder: string) => known.find(bytes, 2, 2 + bytes.write(holder, 2, 'latin1'))
  const wrong = holders.filter((holder, i) => {
    const entry = known.findText(holder)
    return entry !== byBytes(holder) || known.sequenceOf(entry) !== i + 1 || known.poolOf(entry) !== i % 4
  })
  expect(wrong).toEqual([])
  const strangers = Array.from({ length: 100_000 }, (_, i) => `user-${i}/4`)
  expect(strangers.filter(holder => known.findText(holder) !== -1 || byBytes(holder) !== -1)).toEqual([])
})

test('a holder that is added again keeps his first grant; one beyond the capacity is not known and covers nothing', () => {
  const known = new KnownHolders(2, seed)
  known.addText('u1', 1, 0)
  known.addText('u1', 9, 3)
  known.addText('u2', 2, 1)
  known.addText('u3', 3, 0)
  expect(known.size).toBe(2)
  expect(known.sequenceOf(known.findText('u1'))).toBe(1)
  expect(known.findText('u3')).toBe(-1)
  known.coverTo(2)
  known.coverTo(3)
  expect(known.covered).toBe(2)
})

test('batches teach exactly what they granted and what they showed to be held (seed printed)', () => {
  const claim = fc.record({ user: fc.integer({ min: 0, max: 40 }), pool: fc.integer({ min: 0, max: 2 }) })
  fc.assert(
    fc.property(fc.array(fc.array(claim, { minLength: 1, maxLength: 12 }), { maxLength: 12 }), batches => {
      const known = new KnownHolders(100, seed)
      const truth = new Map<string, { sequence: number; pool: number }>()
      let sequence = 0
      for (const batch of batches) {
        const first = sequence + 1
        const held = batch.map(({ user, pool }) => {
          const grant = truth.get(`u${user}`) ?? { sequence: ++sequence, pool }
          truth.set(`u${user}`, grant)
          return grant
        })
        const holders = sent(batch.map(({ user }) => `u${user}`))
        known.addBatch({ holders, notice: { ...NOTICE, sequence }, first, ...columnsOf(held) })
      }
      expect(known.covered).toBe(sequence)
      expect(known.size).toBe(truth.size)
      for (const [holder, { sequence: own, pool }] of truth) {
        const entry = known.findText(holder)
        expect([known.sequenceOf(entry), known.poolOf(entry)]).toEqual([own, pool])
      }
    }),
    { seed, numRuns: 300 },
  )
})

test('a batch that is not the next one covers nothing: another worker granted in between', () => {
  const known = new KnownHolders(100, seed)
  const held = columnsOf([{ sequence: 5, pool: 0 }])
  known.addBatch({ holders: sent(['u5']), ...held, notice: { ...NOTICE, sequence: 5 }, first: 5 })
  expect(known.covered).toBe(0)
  expect(known.sequenceOf(known.findText('u5'))).toBe(5)
})
