/**
 * The draw's parts against a plain model: trees, order, selection, cutoffs; and the tags of entries against values that
 * were computed by another program (sha256sum) from the definition.
 *
 * Properties run over sizes around the edges that the fast code has: none, one, a leaf of 64 and its neighbours, buckets
 * of the order. What a cutoff tells a person is checked for every entrant, since that is what clients act on.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { allocate, cutoffsOf, type Quotas, seedOf, standingOf } from '../../engine/draw/allocation.ts'
import { commitUser, findTag, recordOf, tagOf } from '../../engine/draw/entry.ts'
import { batchTree, foldPath, hashLeaf, leafAt, proofBytes, RecordTree } from '../../engine/draw/merkle.ts'
import { ScoreOrder, scoreOf } from '../../engine/draw/score-order.ts'
import { plainDraw, plainOrder, plainRoot, RECORD, randomEntries } from '../support/draw-model.ts'
import { effort } from '../support/effort.ts'
import { below, random, seed as testSeed } from '../support/seed.ts'

const runs = { seed: testSeed, numRuns: effort(60, 300) }
const SEED = Buffer.alloc(32, 9)
const NAMES = ['general', 'assisted', 'staff']

test('a tag is the hash that its definition says, and hides the user', () => {
  const commitment = commitUser(Buffer.alloc(16, 1), 'u1')
  expect(commitment.toString('hex')).toBe('30da324c1fd14ff55b0f4ed2c7ebe6562d8d1ff6a2f52a156171abe0c8bba10b')
  const tag = tagOf('rnd_1', Buffer.alloc(16, 2), commitment)
  expect(tag.toString('hex')).toBe('c0e4fd536202488366edf6ca485af307')
  expect(recordOf(tag, 3)).toEqual(Buffer.concat([tag, Uint8Array.of(3)]))
  expect(() => commitUser(Buffer.alloc(15), 'u1')).toThrow('16 bytes, not 15')
  expect(() => tagOf('rnd_1', Buffer.alloc(17), commitment)).toThrow('16 bytes, not 17')
})

test('a tag is found at its place only, not across two records', () => {
  const entries = randomEntries(random(1), 500)
  for (const index of [0, 1, 250, 499])
    expect(findTag(entries, entries.subarray(index * RECORD, index * RECORD + 16))).toBe(index)
  expect(findTag(entries, entries.subarray(5, 21))).toBe(-1)
  expect(findTag(entries, Buffer.alloc(16))).toBe(-1)
})

describe('trees', () => {
  test.each([0, 1, 2, 63, 64, 65, 127, 128, 129, 640, 4097])(
    'the root over %d entries is that of the definition',
    n => {
      const entries = randomEntries(random(n), n)
      const tree = new RecordTree()
      tree.append(entries)
      expect(tree.root()).toEqual(plainRoot(entries))
      expect(tree.count).toBe(n)
      expect(batchTree(entries).root).toEqual(plainRoot(entries, 1))
    },
  )

  test('the root does not depend on how the list was cut, and asking between does not change it', () => {
    const next = random(2)
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 200 }), { maxLength: 20 }), cuts => {
        const entries = randomEntries(
          next,
          cuts.reduce((sum, cut) => sum + cut, 0),
        )
        const tree = new RecordTree()
        let at = 0
        for (const cut of cuts) {
          tree.append(entries.subarray(at, at + cut * RECORD))
          at += cut * RECORD
          expect(tree.root()).toEqual(plainRoot(entries.subarray(0, at)))
        }
      }),
      { ...runs, numRuns: effort(20, 500) },
    )
  })

  test('each path leads from its leaf to the root, and from no other leaf', () => {
    const next = random(3)
    for (const n of [1, 64, 65, 200, 1000]) {
      const entries = randomEntries(next, n)
      const tree = new RecordTree()
      tree.append(entries)
      for (let index = 0; index < n; index += 1 + below(next, 40)) {
        const leaf = leafAt(entries, index)
        const path = tree.path(index)
        expect(foldPath(hashLeaf(leaf), path)).toEqual(tree.root())
        const forged = Buffer.from(leaf)
        forged[below(next, forged.length)]! ^= 1
        expect(foldPath(hashLeaf(forged), path)).not.toEqual(tree.root())
      }
      expect(() => tree.path(n)).toThrow(`no entry ${n}`)
    }
  })

  test("a person's proof among ten million entries is under 2 KB", () => {
    const leaf = new Uint8Array(64 * RECORD)
    const steps = Math.ceil(Math.log2(10_000_000 / 64))
    expect(proofBytes(leaf, new Array<`L${string}`>(steps).fill('L'))).toBe(1664)
  })

  test('half a record is refused', () => {
    expect(() => new RecordTree().append(new Uint8Array(16))).toThrow('not whole records')
  })
})

describe('order', () => {
  test.each([0, 1, 2, 3, 600, 5000, 40_000])('%d entries walk by rising score', n => {
    const entries = randomEntries(random(n), n)
    const order = new ScoreOrder(SEED, entries)
    const walked: number[] = []
    order.walk(index => walked.push(index) > 0)
    expect(walked).toEqual(plainOrder(SEED, entries))
    expect(order.findTwins()).toBeUndefined()
    if (n > 0) expect(order.scoreAt(n - 1)).toBe(scoreOf(SEED, entries.subarray((n - 1) * RECORD, n * RECORD - 1)))
  })

  test('scores that agree in 32 bits stand by the rest, and the same tag twice is found', () => {
    const n = effort(400_000, 1_000_000)
    const next = random(5)
    const entries = randomEntries(next, n)
    const order = new ScoreOrder(SEED, entries)
    const heads: string[] = []
    let last = ''
    let rising = true
    order.walk(index => {
      const score = order.scoreAt(index)
      if (score.slice(0, 8) === last.slice(0, 8)) heads.push(score)
      rising &&= score > last
      last = score
      return true
    })
    expect(rising).toBe(true)
    expect(heads.length).toBeGreaterThan(0)
    const [a, b] = [below(next, n / 2), n / 2 + below(next, n / 2)]
    entries.copyWithin(b * RECORD, a * RECORD, a * RECORD + 16)
    expect(new ScoreOrder(SEED, entries).findTwins()).toEqual([a, b])
  })

  test('a list of one tag over and over is a list of twins, in order and in time', () => {
    const entries = Buffer.alloc(20_000 * RECORD, 7)
    const order = new ScoreOrder(SEED, entries)
    const walked: number[] = []
    order.walk(index => walked.push(index) > 0)
    expect(walked).toEqual(Array.from({ length: 20_000 }, (_, i) => i))
    expect(order.findTwins()).toEqual([0, 1])
  })

  test('a walk that ends early and one that goes on see the same order', () => {
    const entries = randomEntries(random(6), 3000)
    const order = new ScoreOrder(SEED, entries)
    const first: number[] = []
    order.walk(index => first.push(index) < 700)
    expect(first).toEqual(plainOrder(SEED, entries).slice(0, 700))
    const all: number[] = []
    order.walk(index => all.push(index) > 0)
    expect(all).toEqual(plainOrder(SEED, entries))
  })
})

const cases = fc.record({
  n: fc.nat({ max: 3000 }),
  totals: fc.array(fc.nat({ max: 800 }), { minLength: 1, maxLength: 3 }),
  generalFirst: fc.boolean(),
  waitlist: fc.oneof(fc.constant(0), fc.nat({ max: 500 })),
  salt: fc.nat(),
})

test('selection and cutoffs agree with the plain draw, for both orders of quotas', () => {
  fc.assert(
    fc.property(cases, ({ n, totals, generalFirst, waitlist, salt }) => {
      const entries = randomEntries(random(salt), n, totals.length)
      const quotas: Quotas = {
        pools: totals.map((total, i) => ({ name: NAMES[i] as string, total })),
        quota_order: generalFirst ? 'general-first' : 'pool-first',
        waitlist,
      }
      const order = new ScoreOrder(SEED, entries)
      const drawn = allocate(order, entries, quotas)
      const plain = plainDraw(SEED, entries, { totals, generalFirst, waitlist })
      expect(Array.from(drawn.winners, (index, i) => [index, drawn.seats[i]])).toEqual(plain.winners)
      expect([...drawn.waitlist]).toEqual(plain.waitlist)

      const cutoffs = cutoffsOf(order, quotas, drawn)
      const told = new Map<number, string>(plain.winners.map(([index, seat]) => [index, NAMES[seat] as string]))
      for (const index of plain.waitlist) told.set(index, 'waitlist')
      for (let index = 0; index < n; index++) {
        const own = NAMES[entries[index * RECORD + 16] as number] as string
        const standing = standingOf(order.scoreAt(index), own, { cutoffs, quotaOrder: quotas.quota_order })
        expect(standing).toBe(told.get(index))
      }
    }),
    runs,
  )
})

test('who wins does not depend on the order of the list', () => {
  const entries = randomEntries(random(8), 2000)
  const quotas: Quotas = { pools: [{ name: 'general', total: 50 }], quota_order: 'general-first', waitlist: 5 }
  const tagsOf = (list: Buffer) => {
    const { winners } = allocate(new ScoreOrder(SEED, list), list, quotas)
    return Array.from(winners, index => list.toString('hex', index * RECORD, index * RECORD + 16))
  }
  const reversed = Buffer.concat(
    Array.from({ length: 2000 }, (_, i) => entries.subarray((1999 - i) * RECORD, (2000 - i) * RECORD)),
  )
  expect(tagsOf(reversed)).toEqual(tagsOf(entries))
})

test('an entry of a pool that the rules do not have is refused', () => {
  const entries = randomEntries(random(9), 100)
  entries[50 * RECORD + 16] = 2
  const quotas: Quotas = { pools: [{ name: 'general', total: 5 }], quota_order: 'general-first', waitlist: 0 }
  expect(() => allocate(new ScoreOrder(SEED, entries), entries, quotas)).toThrow('pool 2, and the rules have 1')
})

test('the seed is the hash that its definition says', () => {
  const parts = { rulesHash: Buffer.alloc(32, 1), root: Buffer.alloc(32, 2), n: 300, beacon: Buffer.alloc(32, 3) }
  expect(seedOf(parts).toString('hex')).toBe('96c56f65e06dfd283ea038cfce70035d1f845cdfafea753c7b65745bd0c6128e')
  expect(() => seedOf({ ...parts, root: Buffer.alloc(31) })).toThrow('32 bytes')
})
