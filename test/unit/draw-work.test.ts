/**
 * A long list is worked on in a thread, a short one at once, and both say the same bytes. The list here is just long enough
 * for a thread, and its first half is not; a thread that dies tells of what.
 */
import { createCipheriv } from 'node:crypto'
import { expect, test } from 'vitest'
import { doWork, workOn } from '../../engine/campaign/drawing/draw-work.ts'
import { LEAF_RECORDS } from '../../engine/draw/merkle.ts'
import { writeRules } from '../../engine/draw/rules.ts'
import { seed } from '../support/seed.ts'

const ENTRIES = 64_000
const rules = writeRules({
  v: 1,
  round_id: 'rnd_long',
  mode: 'lottery',
  stock: 700,
  pools: [{ name: 'general', total: 700 }],
  quota_order: 'general-first',
  waitlist: 50,
  opens_at: '2026-12-01T10:00:00.000Z',
  closes_at: '2026-12-01T12:00:00.000Z',
  beacon: { kind: 'commit', hash: '0'.repeat(64) },
  leaf_records: LEAF_RECORDS,
})
const list = createCipheriv('aes-128-ctr', Buffer.alloc(16, seed), Buffer.alloc(16)).update(Buffer.alloc(ENTRIES * 17))
for (let at = 16; at < list.length; at += 17) list[at] = 0
const drawn = { seed: Buffer.alloc(32, 5), rules }

test.each([list, list.subarray(0, list.length / 2)])(
  'root and result are those of the plain functions',
  async records => {
    let turns = 0
    let counting = setImmediate(function count() {
      turns++
      counting = setImmediate(count)
    })
    expect(await workOn({ records })).toEqual(Buffer.from(doWork({ records })))
    expect(await workOn({ records, drawn })).toEqual(Buffer.from(doWork({ records, drawn })))
    clearImmediate(counting)
    expect(turns > 0, 'the event loop went on meanwhile, where the list is long').toBe(records === list)
  },
)

test('what a thread dies of is told', async () => {
  const records = Buffer.from(list)
  records[16] = 9
  await expect(workOn({ records, drawn })).rejects.toThrow(/names pool 9/)
})
