/**
 * The table of cluster slots: keys of one round lie in one slot, what a server says of itself and of others is read as it is
 * meant, and a table is corrected slot by slot. The slots of keys are compared with what Redis's own documentation has.
 */
import { expect, test } from 'vitest'
import {
  addressOf,
  clusterSlotOf,
  SLOTS,
  type SlotRun,
  SlotTable,
  slotRunsOf,
  tagOf,
} from '../../engine/store/cluster/slot-table.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import { keyOf } from '../../engine/store/connection/request.ts'

test('the slots of keys are those of Redis, and of all keys of a round the same', () => {
  expect(clusterSlotOf('123456789')).toBe(0x31c3)
  expect(['foo', 'bar', '{foo}x', 'x{}y'].map(clusterSlotOf)).toEqual([12182, 5061, 12182, clusterSlotOf('x{}y')])
  const of = ['state', 'holders', 'log', 'stock'].map(part =>
    clusterSlotOf(keys.roundState('rnd_1').replace('state', part)),
  )
  expect(new Set([...of, clusterSlotOf('rnd_1')]).size).toBe(1)
  expect(clusterSlotOf(keys.shardedNodeChannel('a:1'))).toBe(clusterSlotOf(keys.shardedNodeChannel('b:2')))
})

test('a server that names no host is the one that was asked, and hosts with colons stand in brackets', () => {
  const replies = [
    [0, 99, ['10.0.0.1', 7000, 'id', []], ['10.0.0.2', 7001, 'id']],
    [100, 100, ['', 7002, 'id']],
    [101, 199, [null, 7003, 'id']],
    [200, 299, ['::1', 7004, 'id']],
    // The others lost its address: it is noaddr.
    [300, 399, ['10.0.0.1', 0, 'id']],
    [400, 499, ['', 0, 'id']],
  ]
  expect(slotRunsOf(replies, '10.0.0.9')).toEqual([
    [0, 99, '10.0.0.1:7000'],
    [100, 100, '10.0.0.9:7002'],
    [101, 199, '10.0.0.9:7003'],
    [200, 299, '[::1]:7004'],
  ])
  expect(addressOf('host', 1)).toBe('host:1')
})

test('a table knows its owners, and a slot that moves belongs to another', () => {
  const table = new SlotTable([
    [0, 9999, 'a:1'],
    [10_000, SLOTS - 1, 'b:2'],
  ])
  expect([0, 9999, 10_000, SLOTS - 1].map(slot => table.ownerOf(slot))).toEqual(['a:1', 'a:1', 'b:2', 'b:2'])
  expect([table.move(5, 'b:2'), table.move(5, 'b:2'), table.move(SLOTS, 'b:2'), table.move(Number.NaN, 'c:3')]).toEqual(
    [true, false, false, false],
  )
  expect(table.ownerOf(5)).toBe('b:2')
  expect([...table.owners()]).toEqual(['a:1', 'b:2'])
  expect(table.slotsOf('b:2').slice(0, 2)).toEqual([5, 10_000])
  const runs: SlotRun[] = [
    [0, 9999, 'a:1'],
    [10_000, SLOTS - 1, 'b:2'],
  ]
  expect([table.isOf(runs), new SlotTable(runs).isOf(runs)]).toEqual([false, true])
  const moved: SlotRun[] = [[0, 4, 'a:1'], [5, 5, 'b:2'], [6, 9999, 'a:1'], runs[1] as SlotRun]
  expect([table.isOf(moved), new SlotTable(runs).isOf(moved)]).toEqual([true, false])
  const none = new SlotTable()
  expect([none.isOf([]), none.move(1, 'a:1'), none.isOf([])]).toEqual([true, true, false])
  expect(new SlotTable().ownerOf(1)).toBeUndefined()
  expect([table.countUnserved(), new SlotTable([[7, 9, 'a:1']]).countUnserved()]).toEqual([0, SLOTS - 3])
})

test.each([0, 1, 5461, SLOTS - 1])('a tag of slot %i lies in it, and is short', slot => {
  expect(clusterSlotOf(`x{${tagOf(slot)}}y`)).toBe(slot)
  expect(tagOf(slot).length).toBeLessThanOrEqual(4)
})

test('what is sent names its own key, and what has none names none', () => {
  expect(keyOf(client => client.hget('a', 'b'))).toBe('a')
  expect(keyOf(client => Promise.all([client.time(), client.get('c')]))).toBe('c')
  expect(keyOf(client => client.callBuffer('EVAL', 'return 1', 2, 'd', 'e', 'f'))).toBe('d')
  expect(keyOf(client => client.multi().hset('g', 'h', 1).get('i').exec())).toBe('g')
  expect(keyOf(async client => void (await client.setnx('j', '1')))).toBe('j')
  expect(keyOf(client => client.xrangeBuffer('k', '-', '+', 'COUNT', 1))).toBe('k')
  expect(keyOf(client => client.ping())).toBe('')
})
