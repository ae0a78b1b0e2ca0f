/**
 * When a refusal at the level fenced may be told: all replicas have to have what it rests on. A pool's end is another
 * ground while some of it is quarantined, since what the silent engine brings is not on the replicas yet.
 */
import { expect, test } from 'vitest'
import { CODES } from '../../engine/base/codes.ts'
import { refuses, SureRefusals, unsure } from '../../engine/campaign/fenced/sure-refusals.ts'
import type { Notice, PoolCount } from '../../engine/store/data/notice.ts'

const noticeOf = (...pools: readonly PoolCount[]): Notice => ({
  ...{ epoch: 'aa', version: 1, state: 'open', sequence: 9, at: 1, opensAt: 1, closesAt: 0, pools },
})
const decisionOf = (...outcomes: readonly number[]) => ({
  ...{
    holders: Buffer.alloc(0),
    notice: noticeOf({ total: 1, granted: 1 }),
    first: 1,
    outcomes: Uint8Array.from(outcomes),
  },
  ...{ sequences: new Uint32Array(outcomes.length), pools: new Uint8Array(outcomes.length) },
})

test('an end is not copied because its quarantine was, and what is left or quarantined is one ground', async () => {
  let asked = 0
  const refusals = new SureRefusals(async () => void asked++)
  const [other, gone] = [
    { total: 5, granted: 5 },
    { total: 9, granted: 9 },
  ]
  await refusals.ask(noticeOf(other, { total: 9, granted: 4 }))
  expect(refusals.has(noticeOf(other, { total: 9, granted: 4, quarantined: 5 }))).toBe(true)
  expect([refusals.has(noticeOf(other, gone)), asked]).toEqual([false, 1])
  await refusals.ask(noticeOf(other, gone))
  expect([refusals.has(noticeOf(other, gone)), asked]).toEqual([true, 2])
})

test('fenced waits for no replica, and a real refusal beside it does', () => {
  const { granted, replayed, fenced, sold_out: soldOut } = CODES
  expect(refuses(decisionOf(fenced.number, replayed.number))).toBe(false)
  expect(refuses(decisionOf(granted.number, fenced.number))).toBe(false)
  const mixed = decisionOf(fenced.number, soldOut.number, replayed.number)
  expect(refuses(mixed)).toBe(true)
  expect([...unsure(mixed).outcomes]).toEqual([fenced.number, fenced.number, replayed.number])
})
