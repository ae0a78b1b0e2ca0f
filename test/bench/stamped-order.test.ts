/**
 * The order by the engine's stamps: what a record says of overtaking, inversions and unjust losses, by hand-made rounds
 * whose every number can be counted with a finger; and that a record written by the engine is read as it was meant.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readStamped, type Stamped, stampedOrderOf } from '../../bench/measure/stamped-order.ts'
import { CODES } from '../../engine/base/codes.ts'
import { ArrivalRecord } from '../../engine/ops/arrival-record.ts'

const granted = (stamp: number, sequence: number, pool = 0): Stamped => ({
  ...{ stamp, sequence, pool },
  outcome: CODES.granted.number,
})
const soldOut = (stamp: number, pool = 0): Stamped => ({ stamp, sequence: 0, pool, outcome: CODES.sold_out.number })
const replayed: Stamped = { ...granted(99, 1), outcome: CODES.replayed.number }

const told = (claims: readonly Stamped[]) => {
  const { overtaking, ...counts } = stampedOrderOf(claims)
  return { ...counts, max: overtaking.at(100) }
}

test('an order that was kept has nothing to tell', () => {
  const kept = [granted(10, 1), granted(20, 2), granted(20, 3), soldOut(30), replayed]
  expect(told(kept)).toMatchObject({ granted: 3, inversions: 0, unjust: 0 })
})

test('one who was overtaken counts by how much, and one who lost by it is an unjust loss', () => {
  // 30 was served before 12 and 20; 25 came before 30 and got nothing.
  const claims = [granted(10, 1), granted(30, 2), granted(12, 3), granted(20, 4), soldOut(25)]
  expect(told(claims)).toEqual({ granted: 4, inversions: 1, unjust: 1, max: 18 })
})

test('of one stamp nobody lost unjustly, and each pool has its own turn', () => {
  expect(told([granted(10, 1), soldOut(10)])).toMatchObject({ inversions: 0, unjust: 0 })
  expect(told([granted(50, 1, 1), soldOut(40, 0), granted(60, 2, 1)])).toMatchObject({ unjust: 0 })
  expect(told([granted(50, 1, 1), soldOut(40, 1)])).toMatchObject({ unjust: 1 })
})

test('what the engine records is what is read', () => {
  const folder = mkdtempSync(join(tmpdir(), 'fg-record-'))
  const record = new ArrivalRecord(join(folder, 'made'))
  record.add('rnd_a', 1_764_000_000_000_001, CODES.granted.number, 7, 3)
  record.add('rnd_a', 1_764_000_000_000_001, CODES.granted.number, 8, 3)
  for (let i = 0; i < 20_000; i++) record.add('rnd_a', 1_764_000_000_000_009, CODES.sold_out.number, 0, 0)
  record.close()
  const seen = readStamped(join(folder, 'made'))
  expect(seen).toHaveLength(20_002)
  expect(seen.slice(0, 3)).toEqual([
    granted(1_764_000_000_000_001, 7, 3),
    granted(1_764_000_000_000_001, 8, 3),
    soldOut(1_764_000_000_000_009),
  ])
  rmSync(folder, { recursive: true })
})
