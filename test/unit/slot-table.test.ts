/**
 * The table of cluster slots: keys of one round lie in one slot, what a server says of itself and of others is read as it is
 * meant, and a table is corrected slot by slot. The slots of keys are compared with what Redis's own documentation has.
 */
import { expect, test } from 'vitest'
import {
  addressOf,
  clusterSlotOf,
  configEpochsOf,
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
    [0, 99, ['10.0.0.1', 7000, 'a1', []], ['10.0.0.2', 7001, 'a2']],
    [100, 100, ['', 7002, 'b1']],
    [101, 199, [null, 7003, 'c1']],
    [200, 299, ['::1', 7004, 'd1']],
    // The others lost its address: it is noaddr.
    [300, 399, ['10.0.0.1', 0, 'e1']],
    [400, 499, ['', 0, 'f1']],
  ]
  const nodes = [
    'a1 10.0.0.1:7000@17000,host.example master - 0 1426238316232 12 connected 0-99',
    'a2 10.0.0.2:7001@17001 slave a1 0 1426238316232 12 connected',
    'b1 10.0.0.9:7002@17002 myself,master - 0 0 7 connected 100 [93-<-c1]',
    'c1 :0@0 master,fail,noaddr - 1426238316232 1426238316232 0 disconnected 101-199',
    '',
  ]
  const epochs = configEpochsOf(nodes.join('\n'))
  expect([...epochs]).toEqual(Object.entries({ a1: 12, a2: 12, b1: 7, c1: 0 }))
  expect(slotRunsOf(replies, '10.0.0.9', epochs)).toEqual([
    [0, 99, '10.0.0.1:7000', 12, 'a1'],
    [100, 100, '10.0.0.9:7002', 7, 'b1'],
    [101, 199, '10.0.0.9:7003', 0, 'c1'],
    [200, 299, '[::1]:7004', 0, 'd1'],
  ])
  expect(addressOf('host', 1)).toBe('host:1')
})

const LAST = SLOTS - 1
const run = (from: number, to: number, address: string, epoch: number, id = address): SlotRun => [
  from,
  to,
  address,
  epoch,
  id,
]

/** A table of two servers: the first has the slots to 9,999. */
const twoServers = (a = 1, b = 2): readonly SlotRun[] => [run(0, 9999, 'a:1', a), run(10_000, LAST, 'b:2', b)]

test('a table knows its owners, and a slot that moves belongs to another', () => {
  const table = new SlotTable(twoServers())
  expect([0, 9999, 10_000, LAST].map(slot => table.ownerOf(slot))).toEqual(['a:1', 'a:1', 'b:2', 'b:2'])
  const moves = [5, 5, SLOTS, Number.NaN].map(slot => table.move(slot, 'a:1', 'b:2'))
  expect([...moves, table.move(6, 'c:3', 'b:2')]).toEqual([true, false, false, false, false])
  expect([5, 6].map(slot => table.ownerOf(slot))).toEqual(['b:2', 'a:1'])
  expect([...table.owners()]).toEqual(['a:1', 'b:2'])
  expect(table.slotsOf('b:2').slice(0, 2)).toEqual([5, 10_000])
  const none = new SlotTable()
  expect([none.ownerOf(1), none.move(1, 'a:1', 'b:2'), none.ownerOf(1)]).toEqual([undefined, true, 'b:2'])
  expect([table.countUnserved(), new SlotTable([run(7, 9, 'a:1', 1)]).countUnserved()]).toEqual([0, SLOTS - 3])
})

const [NEWS, SAME, BEHIND] = [
  { isNews: true, isBehind: false },
  { isNews: false, isBehind: false },
  { isNews: false, isBehind: true },
]

test('of two servers that are named for a slot the one of the higher config epoch has it', () => {
  const table = new SlotTable()
  expect(table.learn(twoServers())).toEqual(NEWS)
  expect([table.learn(twoServers()), table.learn(twoServers(1, 3))]).toEqual([SAME, SAME])
  // The replica c was promoted in the place of a; whoever has not heard of it still names that.
  const promoted: SlotRun[] = [run(0, 9999, 'c:3', 4), run(10_000, LAST, 'b:2', 3)]
  expect([table.learn(promoted), table.learn(twoServers(1, 3)), table.ownerOf(0)]).toEqual([NEWS, BEHIND, 'c:3'])
  expect([table.learn(promoted), table.learn(promoted.slice(0, 1)), table.ownerOf(LAST)]).toEqual([SAME, BEHIND, 'b:2'])
  // One has heard of another promotion, and not of this one.
  const mixed: SlotRun[] = [run(0, 9999, 'a:1', 1), run(10_000, LAST, 'd:4', 5)]
  expect(table.learn(mixed)).toEqual({ isNews: true, isBehind: true })
  expect([...table.owners()]).toEqual(['c:3', 'd:4'])
})

test('what the owner of a slot said is kept until its new owner is known by a higher config epoch', () => {
  const table = new SlotTable(twoServers())
  const moved = (epoch: number): SlotRun[] => [
    run(0, 5, 'a:1', 1),
    run(6, 6, 'b:2', epoch),
    run(7, 9999, 'a:1', 1),
    run(10_000, LAST, 'b:2', epoch),
  ]
  expect([table.move(6, 'a:1', 'b:2'), table.learn(twoServers()), table.ownerOf(6)]).toEqual([true, BEHIND, 'b:2'])
  expect([table.learn(moved(4)), table.learn(twoServers(1, 4)), table.ownerOf(6)]).toEqual([SAME, BEHIND, 'b:2'])
  expect([table.learn(twoServers(5, 4)), table.ownerOf(6)]).toEqual([NEWS, 'a:1'])
  // A reply that was the last one, word by word, is none of a table that was corrected since.
  expect([table.move(6, 'a:1', 'b:2'), table.learn(twoServers(5, 4))]).toEqual([true, BEHIND])
})

test('slots of a server that was replaced are those of whoever a reply names, also where it had given them away before', () => {
  // The server b gave slot 5 to a and took another one behind that: who did not know of the first named b for both, with its last epoch.
  const rows = (owner: string, epoch: number, b: string, last: number) => [
    ...[run(0, 4, 'a:1', 12), run(5, 5, owner, epoch), run(6, 9999, 'a:1', 12)],
    run(10_000, LAST, b, last),
  ]
  const table = new SlotTable(rows('b:2', 13, 'b:2', 13))
  expect([table.learn(rows('a:1', 12, 'b:2', 13)), table.ownerOf(5)]).toEqual([BEHIND, 'b:2'])
  expect([table.learn(rows('a:1', 12, 'c:3', 14)), table.ownerOf(5), table.ownerOf(LAST)]).toEqual([NEWS, 'a:1', 'c:3'])
})

test('a server with another address is the same one; who does not know of its last promotion knows no better', () => {
  const table = new SlotTable(twoServers(1, 2))
  const at = (address: string, epoch: number) => [
    ...twoServers(1, 2).slice(0, 1),
    run(10_000, LAST, address, epoch, 'b:2'),
  ]
  expect([table.learn(at('e:5', 2)), table.ownerOf(LAST), table.ownerOf(0)]).toEqual([NEWS, 'e:5', 'a:1'])
  expect([table.learn(at('e:5', 3)), table.learn(at('b:2', 2)), table.ownerOf(LAST)]).toEqual([SAME, BEHIND, 'e:5'])
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
