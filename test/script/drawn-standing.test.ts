/**
 * How a winner stands at a worker that knows the draw to be over before it knows the grants: the draw's phase is read from
 * Redis, the notice that counts the grants comes by an event, and nothing says which is there first.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { realClock } from '../../engine/base/clock.ts'
import { CODES } from '../../engine/base/codes.ts'
import { holderOfTag } from '../../engine/base/holder.ts'
import { Entries } from '../../engine/campaign/claim/entries.ts'
import type { RoundConfig } from '../../engine/campaign/round/round-config.ts'
import { RoundView } from '../../engine/campaign/round/round-view.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import type { Notice } from '../../engine/store/data/notice.ts'
import type { Store } from '../../engine/store/store.ts'
import { PACK } from '../support/api.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'
import { NO_EVENTS, quietParts, DRAW_SECRET as SECRET } from '../support/round-parts.ts'
import { ScriptRoom } from '../support/script-room.ts'

let redis: RedisProcess
let room: ScriptRoom
beforeAll(async () => {
  redis = await startLocalRedis({ appendfsync: 'no' })
  room = new ScriptRoom(redis.url, 0)
})
afterAll(async () => {
  await room.link.close()
  await redis.stop()
})

function workerOf(id: string, notice: Notice) {
  const allocation = { mode: 'window', window_s: 60 } as unknown as RoundConfig['allocation']
  const config = { id, number: 1, campaign_id: 'cmp_test', allocation, pools: ['general'], per_user: 1, pack: PACK }
  const view = new RoundView({
    ...{ config: config as unknown as RoundConfig, notice, confirmedAt: 0 },
    ...{ secret: SECRET, store: room.claims, seed: 1 },
  })
  const over = Promise.withResolvers<void>()
  const entries = new Entries({
    ...{ ...quietParts(id), view, store: room.claims, stores: room as unknown as Store, clock: realClock },
    ...{ batchClaims: 8, batchesInFlight: 1, entrantsKnown: 100, round: undefined as never },
    events: { ...NO_EVENTS, failed: over.reject, drawn: () => over.resolve() },
  })
  return { view, entries, over: over.promise }
}

test('a winner is never told sold_out because the draw was known to be over before its grants', async () => {
  const id = await room.newDrawnRound([1])
  const { view, entries, over } = workerOf(id, await room.notice(id))
  await entries.load()
  const enter = (userId: string) => entries.enter({ userId, slot: 1, pool: 0 })
  const [winner, loser] = [await enter('u1'), await enter('u2')]
  expect([winner.outcome, loser.outcome]).toEqual([CODES.entered.number, CODES.entered.number])
  const { tag } = (await winner.receipt?.()) ?? expect.fail('no receipt')
  await room.link.request(client => client.hset(keys.roundDraw(id), 'closes', 1))
  const { notice } = await room.draws.take(id, room.epoch, 0)
  for (const [from, to] of [
    ['closed', 'committed'],
    ['committed', 'beacon'],
    ['beacon', 'drawn'],
  ] as const)
    await room.draws.write(id, { window: 0, from, to, files: { [to]: Buffer.from(to) } })
  const winners = { first: 1, holders: [holderOfTag(Buffer.from(tag, 'hex'))], pools: Buffer.of(0) }
  await room.draws.grant(id, room.epoch, winners)
  await room.draws.finish(id, room.epoch, 0, undefined)
  // Of all that only the first notice has come; it makes the worker read where the draw stands.
  view.take(notice)
  entries.changed()
  await over
  expect(await enter('u1')).toMatchObject({ outcome: CODES.replayed.number, sequence: 1 })
  expect(await entries.standingOf('u1', 1)).toMatchObject({ outcome: CODES.replayed.number, sequence: 1 })
  expect(await enter('u2')).toMatchObject({ outcome: CODES.sold_out.number })
})

test('a look-up reads where the draw stands, whatever the worker has heard', async () => {
  const id = await room.newDrawnRound([1])
  const { entries } = workerOf(id, await room.notice(id))
  await entries.load()
  await entries.enter({ userId: 'u1', slot: 1, pool: 0 })
  await room.link.request(client => client.hset(keys.roundDraw(id), 'phase', 'done', 'entries', 1))
  expect(await entries.standingOf('u1', 1)).toMatchObject({ outcome: CODES.sold_out.number })
})
