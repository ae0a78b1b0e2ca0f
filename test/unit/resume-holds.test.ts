/**
 * Who ends the hold that a change began, and when: by a clock that a test moves, over a store that notes what it is asked.
 *
 * What a script makes of it is test/script/round.test.ts's; that no refusal is behind a grant on two real nodes,
 * test/server/local-refusals.test.ts's, and under clocks that jump, test/sim's.
 */
import { expect, test } from 'vitest'
import { Fault } from '../../engine/base/assert.ts'
import { LEASE_MS } from '../../engine/base/limits.ts'
import { ResumeHolds } from '../../engine/campaign/round/resume-holds.ts'
import type { Notice } from '../../engine/store/data/notice.ts'
import { HandClock } from '../support/hand-clock.ts'

const at = (hold?: string): Notice => ({
  ...{ epoch: 'e', version: 1, state: 'open', sequence: 0, at: 0, opensAt: 0, closesAt: 0, pools: [] },
  ...(hold === undefined ? {} : { hold }),
})

function room() {
  const clock = new HandClock()
  const asked: string[] = []
  const [faults, over]: [unknown[], string[]] = [[], []]
  const state = { fails: false }
  const holds = new ResumeHolds({
    rounds: {
      leaseMs: LEASE_MS,
      endHold: async (id, epoch, hold) => {
        asked.push(`${id} ${epoch} ${hold}`)
        if (state.fails) throw new Fault('unknown', 'the line broke')
        return at()
      },
    },
    clock,
    ended: id => over.push(id),
    failed: fault => faults.push(fault),
  })
  const hear = (hold?: string) => holds.received('r', at(hold))
  return { clock, holds, hear, asked, over, faults, state }
}

test('a hold is ended once, and not before its lease is over since it was heard of', async () => {
  const { clock, holds, hear, asked, over } = room()
  hear()
  expect(clock.waiting).toBe(0)
  hear('a')
  clock.advance(LEASE_MS)
  hear('a')
  expect(asked).toEqual([])
  const ended = holds.over('r')
  clock.advance(10)
  await ended
  expect([asked, over]).toEqual([['r e a'], ['r']])
  await holds.over('r')
  expect(clock.waiting).toBe(0)
})

test('a newer hold waits for a lease of its own, and no later word without one keeps a hold from its end', async () => {
  const { clock, holds, hear, asked } = room()
  hear('a')
  const first = holds.over('r')
  clock.advance(LEASE_MS / 2)
  hear('b')
  clock.advance(LEASE_MS / 2 + 10)
  await first
  expect(asked).toEqual(['r e a'])
  hear()
  const over = holds.over('r')
  clock.advance(LEASE_MS)
  await over
  expect(asked).toEqual(['r e a', 'r e b'])
})

test('whoever waits is told the fault, and the next word of the hold begins anew', async () => {
  const { clock, holds, hear, asked, faults, state } = room()
  state.fails = true
  hear('a')
  const over = holds.over('r')
  clock.advance(LEASE_MS + 10)
  await expect(over).rejects.toMatchObject({ code: 'unknown' })
  expect(faults).toHaveLength(1)
  state.fails = false
  hear('a')
  const again = holds.over('r')
  clock.advance(LEASE_MS + 10)
  await again
  expect(asked).toEqual(['r e a', 'r e a'])
})
