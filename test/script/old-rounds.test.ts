/**
 * What a worker keeps of rounds that are over: the last hundred that it served, and whatever may still move. An older one is read
 * again by whoever asks for it.
 *
 * One worker's rounds over a real Redis, with a clock that is put forward, since a round is let go of ten minutes behind its last claim.
 */
import { expect, onTestFinished, test } from 'vitest'
import { type Clock, realClock } from '../../engine/base/clock.ts'
import { CLOSED_ROUNDS_KEPT, HOLDERS_IDLE_MS } from '../../engine/base/limits.ts'
import { newId, realRandom } from '../../engine/base/random.ts'
import { Rounds } from '../../engine/campaign/round/rounds.ts'
import { openStore } from '../../engine/store/store.ts'
import { startLocalRedis } from '../support/redis.ts'
import { DRAW_SECRET, NO_EVENTS, smallDeciders } from '../support/round-parts.ts'

/** Closed rounds beyond those that are kept. */
const MORE = 3
const LOTTERY = { mode: 'lottery', draws_at: '2030-01-01T00:00:00.000Z', quota_order: 'priority' }

/** Rounds of one worker; `idle` is so long behind their last claim that a worker lets go of what it can. */
async function servedRounds(watched: (id: string) => boolean) {
  const redis = await startLocalRedis()
  let aheadMs = 0
  const clock: Clock = { ...realClock, monotonicMs: () => realClock.monotonicMs() + aheadMs }
  const store = openStore({ url: redis.url, durability: 'memory', clock, random: realRandom })
  const rounds = new Rounds({
    ...{ store, clock, random: realRandom, secret: DRAW_SECRET, drawSecret: DRAW_SECRET, watched },
    ...{ deciders: smallDeciders(store, clock), events: NO_EVENTS, healthGate: () => undefined },
  })
  onTestFinished(async () => {
    rounds.close()
    await store.close()
    await redis.stop()
  })
  const make = async (isClosed: boolean, allocation: object = { mode: 'fcfs' }) => {
    const [id, epoch] = [newId(realRandom, 'rnd'), realRandom.bytes(8).toString('hex')]
    const round = { id, campaignId: 'cmp_test', number: await store.rounds.nextNumber(), epoch }
    const config = JSON.stringify({
      ...{ id, campaign_id: round.campaignId, number: round.number, currency: 'CNY', allocation },
      ...{ pools: ['general'], per_user: 1, pack: [], created_at: '2026-01-01T00:00:00.000Z' },
    })
    await store.rounds.createRound({ ...round, opensAt: 1, closesAt: 0, config, totals: [10], fenced: false })
    await store.rounds.enlist(round)
    if (isClosed) await store.rounds.turn(id, epoch, 'close', 'end')
    await rounds.get(id)
    return round
  }
  const idle = () => {
    aheadMs += HOLDERS_IDLE_MS + 1000
    rounds.tick()
    rounds.letGo()
  }
  return { rounds, make, idle }
}

test('of rounds that are over the oldest are let go of, and read again when they are asked for', async () => {
  const viewed = new Set<string>()
  const { rounds, make, idle } = await servedRounds(id => viewed.has(id))
  const open = await make(false)
  const undrawn = await make(true, LOTTERY)
  const watched = await make(true)
  viewed.add(watched.id)
  const closed: { readonly id: string; readonly number: number }[] = []
  while (closed.length < CLOSED_ROUNDS_KEPT + MORE) closed.push(await make(true))
  const loaded = () => [...rounds.loaded()].map(({ view }) => view.id)

  rounds.letGo()
  expect(loaded()).toHaveLength(closed.length + 3)

  idle()
  const kept = closed.slice(MORE)
  expect(loaded()).toEqual([open, undrawn, watched, ...kept].map(({ id }) => id))

  const [oldest] = closed as [(typeof closed)[number]]
  expect(rounds.peekNumber(oldest.number)).toBeUndefined()
  expect((await rounds.ofNumber(oldest.number))?.view.state).toBe('closed')
  rounds.letGo()
  expect(loaded()).toContain(oldest.id)

  viewed.clear()
  idle()
  expect(loaded()).toEqual([open, undrawn, ...kept.slice(1), oldest].map(({ id }) => id))
})
