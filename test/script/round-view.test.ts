/**
 * What a worker believes of a round, over a real Redis: a notice that is older is no news, and one of another epoch
 * makes it forget who held what, since the places of another epoch are other people's.
 *
 * An epoch changes when a round's state was restored by hand. No other test does that while a worker runs, and a planted
 * bug that kept the holders went unnoticed. Rejected: a store that is made up; the view reads the log when the round is
 * shut, and that reading is part of what must not bring the old holders back.
 */

import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { codeOf } from '../../engine/base/codes.ts'
import { holderOf } from '../../engine/base/holder.ts'
import { HOLDERS_IDLE_MS } from '../../engine/base/limits.ts'
import { Round, SingleAsk } from '../../engine/campaign/round/round.ts'
import type { RoundConfig } from '../../engine/campaign/round/round-config.ts'
import { RoundView } from '../../engine/campaign/round/round-view.ts'
import type { Store } from '../../engine/store/store.ts'
import { HandClock } from '../support/hand-clock.ts'
import { NO_EVENTS, quietParts, smallDeciders } from '../support/round-parts.ts'
import { openScriptRoom } from '../support/script-room.ts'

let room: Awaited<ReturnType<typeof openScriptRoom>>
beforeAll(async () => {
  room = await openScriptRoom()
})
afterAll(() => room[Symbol.asyncDispose]())

async function viewOf(id: string): Promise<RoundView> {
  const config: RoundConfig = {
    ...{ id, campaign_id: 'cmp_test', number: 7, currency: 'CNY', allocation: { mode: 'fcfs' }, pools: ['general'] },
    ...{ per_user: 1, pack: [], created_at: '2026-01-01T00:00:00.000Z' },
  }
  const notice = await room.notice(id)
  return new RoundView({ config, notice, confirmedAt: 0, secret: Buffer.alloc(32, 1), store: room.claims, seed: 1 })
}

test('an older notice is no news; another epoch is only by a recovery, whatever its version, and forgets the holders', async () => {
  const id = await room.newRound({ totals: [10] })
  const view = await viewOf(id)
  const before = view.notice
  await room.claim(id, ['a'])
  const granted = await room.notice(id)
  expect([view.take(granted), view.take(before), view.notice]).toEqual([true, false, granted])
  // A server that lost its last writes tells an older version at a later time.
  expect([view.take({ ...before, at: granted.at + 1000 }, 1), view.notice]).toEqual([false, granted])
  view.holders.addText('a', 1, 0)
  expect(view.holders.findText(holderOf('a', 1))).toBeGreaterThanOrEqual(0)
  // Two servers were bound one after the other, and the second one had seen fewer changes.
  const next = { ...granted, epoch: '00000000000000bb', version: granted.version - 1 }
  expect([view.take({ ...next, version: granted.version + 1 }), view.notice]).toEqual([false, granted])
  expect(view.adopt(next)).toBe(true)
  expect([view.holders.findText('a'), view.holders.size, view.notice]).toEqual([-1, 0, next])
  // A server that was left behind by a fail-over goes on with the old epoch.
  expect([view.take({ ...granted, at: granted.at + 1000 }, 2), view.notice]).toEqual([false, next])
})

test('an event refuses nobody: what it says has to be confirmed by a reply', async () => {
  const view = await viewOf(await room.newRound({ totals: [10] }))
  const open = view.notice
  const paused = { ...open, state: 'paused', version: open.version + 1 } as const
  expect(view.take(open, 1000)).toBe(false)
  expect([view.take(paused), view.state, view.refusal(1001)]).toEqual([true, 'paused', undefined])
  expect([view.take(paused, 1002), view.refusal(1003)]).toEqual([false, 'paused'])
  // A deposed primary whose clock is ahead tells of the same version, and the reply of the new one is no word for it.
  const closed = { ...paused, state: 'closed', version: paused.version + 1, at: paused.at + 3_600_000 } as const
  const other = await viewOf(await room.newRound({ totals: [10] }))
  expect([other.take({ ...closed, epoch: other.notice.epoch }), other.state]).toEqual([true, 'closed'])
  expect([other.take({ ...open, version: closed.version }, 1005), other.refusal(1006)]).toEqual([true, undefined])
  // Nor does one take a refusal back that a later reply confirms.
  expect([view.take({ ...open, version: open.version + 2 }), view.refusal(1004)]).toEqual([true, undefined])
})

test('while packs are quarantined nobody is refused here, the state is no sold_out, and who asks again waits longer', async () => {
  const view = await viewOf(await room.newRound({ totals: [0, 10, 0] }))
  const { notice } = view
  let { version } = notice
  const takes = (quarantined: number, more: { readonly granted?: number; readonly seconds?: number } = {}) => {
    const { granted = 0, seconds = 0 } = more
    const pools = [{ total: 0, granted: 0 }, { total: 10, granted, quarantined }, notice.pools[2] ?? expect.fail()]
    view.take({ ...notice, pools, version: ++version, at: notice.at + 1000 * seconds }, 1000)
    return [view.state, view.refusal(1001), [0, 1, 2].map(pool => view.retryAfterS(pool))]
  }
  const none = undefined
  expect(takes(0)).toEqual(['open', none, [none, none, none]])
  expect(takes(4)).toEqual(['open', none, [none, none, none]])
  expect(takes(10)).toEqual(['fenced', none, [none, 1, none]])
  expect(takes(10, { seconds: 4 })).toEqual(['fenced', none, [none, 3, none]])
  expect(takes(10, { seconds: 3600 })).toEqual(['fenced', none, [none, 30, none]])
  // A server whose clock is behind.
  expect(takes(10, { seconds: -60 })).toEqual(['fenced', none, [none, 1, none]])
  view.holders.addText('a', 1, 0)
  expect(takes(0, { granted: 10 })).toEqual(['sold_out', 'sold_out', [none, none, none]])
  view.adopt({ ...notice, pools: [{ total: 3, granted: 0, quarantined: 3 }], epoch: '00000000000000bb' })
  expect([view.state, view.retryAfterS(0)]).toEqual(['fenced', 1])
})

test('who holds what is let go of when nobody asks, news do not bring it back, and the next one who asks does', async () => {
  const id = await room.newRound({ totals: [2] })
  const clock = new HandClock()
  const view = await viewOf(id)
  let mayRest = false
  const claims = new Round({
    ...{ view, store: room.claims, clock, load: { unanswered: 0 }, mayRest: () => mayRest },
    decider: round =>
      smallDeciders(
        room as unknown as Store,
        clock,
      )({
        ...{ ...quietParts(id), view, store: room.claims, round },
        events: {
          ...NO_EVENTS,
          failed: fault => {
            throw fault
          },
        },
      }),
  })
  const ask = (userId: string) =>
    new Promise<readonly [string | undefined, number]>(done =>
      claims.ask(
        new SingleAsk(claims, userId, 0, { slot: 1 }, ({ outcome, sequence }) => done([codeOf(outcome), sequence])),
      ),
    )
  expect([await ask('a'), await ask('b')]).toEqual([
    ['granted', 1],
    ['granted', 2],
  ])
  clock.advance(HOLDERS_IDLE_MS)
  claims.sweep(clock.monotonicMs())
  expect([view.holders.size, claims.times.known(2) > 0]).toEqual([2, true])
  clock.advance(1)
  claims.sweep(clock.monotonicMs())
  expect(view.holders.size, 'at the level fenced, before it is settled').toBe(2)
  mayRest = true
  claims.sweep(clock.monotonicMs())
  expect([view.holders.size, claims.times.known(2)]).toEqual([0, 0])
  const read = vi.spyOn(room.claims, 'batches')
  view.take(await room.notice(id))
  expect(read).not.toHaveBeenCalled()
  expect([await ask('b'), await ask('c')]).toEqual([
    ['replayed', 2],
    ['sold_out', 0],
  ])
  await vi.waitFor(() => expect([view.holders.covered, view.holders.size]).toEqual([2, 2]))
  read.mockRestore()
})
