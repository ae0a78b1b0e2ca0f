/**
 * What a worker may judge on, by a clock that a test moves and over a store that answers when the test says so.
 *
 * The steps are those that real nodes meet by chance: a timer that did not come, a read that was on its way while the worker
 * stood still, a Redis that does not answer. That it holds between processes is test/fault/frozen-nodes.test.ts's.
 */
import { expect, test } from 'vitest'
import { Fault } from '../../engine/base/assert.ts'
import { BEAT_MS, Controls, KEPT_MS, READ_MS } from '../../engine/campaign/voucher/controls.ts'
import { Merchants } from '../../engine/campaign/voucher/merchants.ts'
import type { Dated } from '../../engine/store/connection/dated-read.ts'
import type { ControlStore } from '../../engine/store/data/control-store.ts'
import type { LedgerStore } from '../../engine/store/data/ledger-store.ts'
import { HandClock } from '../support/hand-clock.ts'

type Fields = Readonly<Record<string, string>>
type Asked = PromiseWithResolvers<Dated<Fields>>

const HELD: Fields = { 'held m1': JSON.stringify({ merchant_id: 'm1', reason: 'r', by: 'o', at: 't' }) }
const REDIS_MS = 1_000_000

function room() {
  const clock = new HandClock()
  const asked: Asked[] = []
  const read = () => {
    const next = Promise.withResolvers<Dated<Fields>>()
    asked.push(next)
    return next.promise
  }
  const store = { read } as unknown as ControlStore
  const controls = new Controls({ store, clock, configured: { user: 1, address: 2, key: 3 }, changed: () => {} })
  /** Answers the i-th read with what is set at that moment of Redis's clock. */
  const answer = async (i: number, value: Fields, at = REDIS_MS) => {
    asked[i]?.resolve({ value, at })
    await asked[i]?.promise
  }
  const begin = async () => {
    const reading = controls.read()
    await answer(0, {})
    await reading
  }
  return { clock, controls, asked, answer, begin }
}

test('what is young is judged on at once; what is old is read anew, once for all who wait', async () => {
  const { clock, controls, asked, answer, begin } = room()
  await begin()
  clock.advance(KEPT_MS - 1)
  await controls.fresh()
  expect(asked).toHaveLength(1)
  clock.advance(1)
  const waiting = Promise.all([controls.fresh(), controls.fresh()])
  await answer(1, HELD)
  await waiting
  expect([asked.length, controls.heldMerchant('m1')?.reason]).toEqual([2, 'r'])
})

test('a read that was on its way over a standstill is no ground, whenever its answer comes', async () => {
  const { clock, controls, asked, answer, begin } = room()
  await begin()
  const reading = controls.read()
  clock.advance(10 * KEPT_MS)
  const fresh = controls.fresh()
  await answer(1, {})
  await reading
  expect(asked).toHaveLength(3)
  await answer(2, HELD)
  await fresh
  expect(controls.heldMerchant('m1')).toBeDefined()
})

test('an older answer that comes later changes nothing', async () => {
  const { clock, controls, answer, begin } = room()
  await begin()
  const first = controls.read()
  clock.advance(1)
  const second = controls.read()
  await answer(2, HELD, REDIS_MS + 9)
  await answer(1, {}, REDIS_MS + 1)
  await Promise.all([first, second])
  expect([controls.heldMerchant('m1')?.by, controls.lease.from]).toEqual(['o', REDIS_MS + 9])
})

test('what a script found too old is read anew, however young it looks', async () => {
  const { controls, asked, answer, begin } = room()
  await begin()
  const { lease } = controls
  expect(lease.until).toBeGreaterThan(lease.from + KEPT_MS)
  const fresh = controls.fresh(lease)
  await answer(1, HELD, REDIS_MS + 700)
  await fresh
  expect([asked.length, controls.lease.from]).toEqual([2, REDIS_MS + 700])
})

test('where it cannot be read, or comes too late again and again, nothing is judged', async () => {
  const { clock, controls, asked, answer, begin } = room()
  await begin()
  clock.advance(KEPT_MS)
  const fails = expect(controls.fresh()).rejects.toMatchObject({ code: 'unavailable' })
  asked[1]?.reject(new Fault('unknown', 'no answer'))
  await fails
  const late = expect(controls.fresh()).rejects.toMatchObject({ code: 'unavailable' })
  for (let i = 2; i < 5; i++) {
    await expect.poll(() => asked.length).toBe(i + 1)
    clock.advance(KEPT_MS)
    await answer(i, {})
  }
  await late
})

test('rates hold on while Redis is away, and not over a standstill of the worker', async () => {
  const { clock, controls, asked, answer, begin } = room()
  await begin()
  void controls.read()
  for (let beats = 0; beats < 50; beats++) {
    clock.advance(BEAT_MS)
    expect(controls.isLate(clock.monotonicMs())).toBe(false)
    controls.beat()
  }
  expect(asked).toHaveLength(2)
  clock.advance(5 * READ_MS)
  expect(controls.isLate(clock.monotonicMs())).toBe(true)
  controls.beat()
  controls.beat()
  expect([controls.isLate(clock.monotonicMs()), asked.length]).toEqual([true, 3])
  await answer(1, {})
  expect(controls.isLate(clock.monotonicMs())).toBe(true)
  await answer(2, HELD)
  await controls.fresh()
  expect(controls.isLate(clock.monotonicMs())).toBe(false)
})

test('where Redis is away after a standstill, too, the last known rates hold on once that is known', async () => {
  const { clock, controls, asked, begin } = room()
  await begin()
  clock.advance(5 * READ_MS)
  controls.beat()
  asked[1]?.reject(new Fault('unavailable', 'away'))
  await new Promise(resolve => setImmediate(resolve))
  clock.advance(BEAT_MS)
  controls.beat()
  expect(controls.isLate(clock.monotonicMs())).toBe(false)
})

test('tags are kept for as long as they may be judged on, and their lease begins when they were read', async () => {
  const clock = new HandClock()
  let [tags, reads]: [readonly string[], number] = [['food'], 0]
  const merchant = async () => ({ value: JSON.stringify({ id: 'm', tags }), at: REDIS_MS + ++reads })
  const merchants = new Merchants({
    ledger: { merchant } as unknown as LedgerStore,
    controls: {} as ControlStore,
    clock,
  })
  const asked = async () => {
    const { accepts, lease } = await merchants.acceptance('m', ['food'])
    return [accepts, lease.from - REDIS_MS]
  }
  expect(await asked()).toEqual([true, 1])
  tags = []
  clock.advance(KEPT_MS - 1)
  expect(await asked()).toEqual([true, 1])
  clock.advance(1)
  expect(await asked()).toEqual([false, 2])
  merchants.forget('m')
  expect(await asked()).toEqual([false, 3])
})
