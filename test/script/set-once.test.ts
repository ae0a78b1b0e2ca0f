/**
 * What operators set under a request's name (set-once.lua), over a real Redis: it is set once, whatever was set since, and the
 * same in the week after.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { realRandom } from '../../engine/base/random.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import { ControlStore, type FieldChange } from '../../engine/store/data/control-store.ts'
import { KEYS_TTL_S } from '../../engine/store/data/voucher-store.ts'
import { openScriptRoom } from '../support/script-room.ts'

const WEEK_MS = 7 * 86_400_000

let room: Awaited<ReturnType<typeof openScriptRoom>>
let week = 100
let store: ControlStore
beforeAll(async () => {
  room = await openScriptRoom()
  const { link, scripts } = room
  store = new ControlStore({
    changes: link,
    reads: link,
    scripts,
    random: realRandom,
    calendarMs: () => week * WEEK_MS,
  })
})
afterAll(() => room[Symbol.asyncDispose]())

const fields = async () => (await store.read()).value
const set = (change: FieldChange) => store.set(change)

test('a request sets and clears its fields once, whatever others have set since', async () => {
  await set({ set: { a: '0', b: '0', c: '0' } })
  expect(await set({ set: { a: '1', d: '1' }, cleared: ['b', 'c'], request: 'one' })).toBe(false)
  expect(await fields()).toEqual({ a: '1', d: '1' })
  expect(await set({ set: { a: '2' }, cleared: ['d'], request: 'two' })).toBe(false)
  expect(await set({ set: { a: '1', d: '1' }, cleared: ['b', 'c'], request: 'one' })).toBe(true)
  expect(await fields()).toEqual({ a: '2' })
})

test('what only clears is made once, too, and without a name nothing is remembered', async () => {
  await set({ set: { a: '1' } })
  expect(await set({ cleared: ['a'], request: 'three' })).toBe(false)
  await set({ set: { a: '1' } })
  expect(await set({ cleared: ['a'], request: 'three' })).toBe(true)
  expect(await fields()).toMatchObject({ a: '1' })
  expect(await set({ cleared: ['a'] })).toBe(false)
  expect(await set({ set: { a: '5' } })).toBe(false)
})

test('a request is known in the week after, and forgotten behind that', async () => {
  await set({ set: { w: '1' }, request: 'weekly' })
  const key = keys.callerKeys(keys.controls(), week)
  const ttl = await room.link.request(client => client.ttl(key))
  expect(ttl).toBeGreaterThan(KEYS_TTL_S - 60)
  week++
  expect(await set({ set: { w: '2' }, request: 'weekly' })).toBe(true)
  week++
  expect(await set({ set: { w: '3' }, request: 'weekly' })).toBe(false)
})

test('merchants are kept in another slot, whose requests are others', async () => {
  await set({ set: { m: '1' }, request: 'same' })
  expect(await store.putMerchants({ m: '{}' }, 'same')).toBe(false)
  expect(await store.putMerchants({ m: '{"x":1}' }, 'same')).toBe(true)
  expect(await room.link.request(client => client.hget(keys.merchants(), 'm'))).toBe('{}')
})

test('the first value under a name is the one that is kept, in the next week, too', async () => {
  expect(await store.kept('operators', 'place')).toBeUndefined()
  expect(await store.keepFirst('operators', 'place', '1-0')).toBe('1-0')
  expect(await store.keepFirst('operators', 'place', '2-0')).toBe('1-0')
  week++
  expect(await store.keepFirst('operators', 'place', '3-0')).toBe('1-0')
})

test('the random value under which ids follow from keys is made once, and not from what the codes derive from', async () => {
  const secrets = await Promise.all([store.requestSecret(), store.requestSecret()])
  expect(secrets[0]).toEqual(secrets[1])
  expect(secrets[0]).toHaveLength(32)
  await room.link.request(client => client.del(keys.requestSecret()))
  expect(await store.requestSecret()).not.toEqual(secrets[0])
})

test('each outcome of the script was reached', () => {
  const { named, seen } = room.outcomes('set-once')
  expect(named).toContain('replayed')
  expect(seen).toEqual(named)
})
