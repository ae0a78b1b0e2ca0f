/**
 * Which business day a worker asks for: the one of the campaign's clock as a script last told it. What the worker believes of Redis's
 * clock moves meanwhile, with every answer of every round; after a fail-over to a server whose clock is behind it goes to and fro.
 *
 * The store is made by hand, because the question is about one moment between two answers.
 */
import { expect, test } from 'vitest'
import { DAY_MS } from '../../engine/base/business-day.ts'
import { realRandom } from '../../engine/base/random.ts'
import { Campaigns } from '../../engine/campaign/round/campaigns.ts'
import type { Store } from '../../engine/store/store.ts'
import { HandClock } from '../support/hand-clock.ts'

const NOON = Date.parse('2026-12-01T12:00:00.000Z')

function room() {
  const clock = new HandClock()
  let redis = NOON
  let renewed = () => {}
  const onRenewed = (then: () => void) => {
    renewed = then
  }
  const store = { onRenewed, rounds: { campaign: async () => '{"id":"cmp_1","timezone":"UTC"}' } }
  const campaigns = new Campaigns({
    ...{ store: store as unknown as Store, clock, random: realRandom },
    serverTimeMs: () => redis,
  })
  const day = async () => (await campaigns.today('cmp_1')).date
  return { campaigns, day, clock, believe: (ms: number) => (redis = ms), renew: () => renewed() }
}

test('the day that a script told stays, whatever rounds say of the clock of Redis', async () => {
  const { campaigns, day, clock, believe } = room()
  expect(await day()).toBe('2026-12-01')
  campaigns.learn('cmp_1', NOON + 3 * DAY_MS)
  expect(await day()).toBe('2026-12-04')
  believe(NOON + 3 * DAY_MS)
  expect(await day()).toBe('2026-12-04')
  believe(NOON)
  expect(await day()).toBe('2026-12-04')
  clock.advance(DAY_MS)
  expect(await day()).toBe('2026-12-05')
})

test('a connection that is renewed before the answer comes forgets no day that it tells', async () => {
  const { campaigns, day, renew } = room()
  expect(await day()).toBe('2026-12-01')
  renew()
  campaigns.learn('cmp_1', NOON + DAY_MS)
  expect(await day()).toBe('2026-12-02')
  renew()
  expect(await day()).toBe('2026-12-02')
})

test('until a script has told it, the day is that of the clock of Redis', async () => {
  const { day, believe } = room()
  expect(await day()).toBe('2026-12-01')
  believe(NOON + DAY_MS)
  expect(await day()).toBe('2026-12-02')
})
