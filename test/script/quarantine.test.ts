/**
 * What claims hear while packs are quarantined, over pools that are left, gone and in doubt: scripts/claim.lua against the
 * shortest model there is, one claim after the other, on random rounds in a real Redis.
 *
 * The model's rounds are made behind the scripts' back, as a fail-over leaves them, so that every mixture of pools comes
 * up; the other tests make theirs by the scripts. A quarantine ends by an operator's release or by the silent engine's
 * word, and then the same person is granted or hears the true `sold_out`.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { effort } from '../support/effort.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'
import { answersOf, packUsers, ScriptRoom } from '../support/script-room.ts'
import { below, random, seed } from '../support/seed.ts'

let redis: RedisProcess
let room: ScriptRoom
beforeAll(async () => {
  redis = await startLocalRedis()
  room = new ScriptRoom(redis.url, 60)
})
afterAll(async () => {
  await room.link.close()
  await redis.stop()
})

const NEXT = '00000000000000bb'
const ROUNDS = effort(60, 3000)
const CLAIMS = 40
const at = (roundId: string, engine = 'e1', epoch = room.epoch) => ({ roundId, engine, epoch })
const join = async (id: string, engine = 'e1', epoch = room.epoch) =>
  room.fence.lift(at(id, engine, epoch), await room.fence.note(at(id, engine, epoch), 100))

/** The outcomes of claims by an engine, each in its pool. */
async function ask(id: string, holders: readonly string[], pools: readonly number[], epoch = room.epoch) {
  const decision = await room.claims.decide(id, epoch, packUsers(holders), Buffer.from(pools), 'e1')
  if (!decision.notice) throw new Error('the batch passes the reserve')
  return answersOf(decision).map(({ outcome }) => outcome)
}

interface Pool {
  left: number
  readonly quarantined: number
}

/** What one claim after the other has to hear. */
function expected(pools: readonly Pool[], holders: readonly string[], wanted: readonly number[]): string[] {
  const held = new Set<string>()
  return holders.map((holder, i) => {
    const pool = pools[wanted[i] as number] as Pool
    if (held.has(holder)) return 'replayed'
    if (pool.left === 0) return pool.quarantined > 0 ? 'fenced' : 'sold_out'
    pool.left--
    held.add(holder)
    return 'granted'
  })
}

/** A round with something quarantined, or nothing, and what is left in each pool. */
async function mixture(pools: readonly Pool[]): Promise<string> {
  const id = await room.newRound({ totals: pools.map(({ left, quarantined }) => left + quarantined), fenced: true })
  await join(id)
  const held = pools.reduce((all, { quarantined }) => all + quarantined, 0)
  await room.setState(id, 'ranges', `1-${held + 1}`)
  await room.setState(id, 'sequence', held + 1)
  await room.setState(id, 'reserve', held + 1 + CLAIMS)
  for (const [p, { quarantined }] of pools.entries()) await room.setState(id, `q${p}`, quarantined)
  return id
}

test(`over pools that are left, gone and in doubt each claim hears what is true of its pool (seed ${seed})`, async () => {
  const next = random(12)
  const heard = new Map<string, number>()
  for (let round = 0; round < ROUNDS; round++) {
    const pools = Array.from({ length: 1 + below(next, 4) }, () => ({
      left: below(next, 3) * below(next, 4),
      quarantined: below(next, 2) * below(next, 5),
    }))
    const total = pools.reduce((all, { left, quarantined }) => all + left + quarantined, 0)
    if (total === 0) continue
    const id = await mixture(pools)
    for (let batch = 0; batch < 2; batch++) {
      const holders = Array.from({ length: 1 + below(next, CLAIMS / 2) }, () => `u${batch}x${below(next, CLAIMS)}`)
      const one = below(next, pools.length)
      const wanted = next() < 0.3 ? holders.map(() => one) : holders.map(() => below(next, pools.length))
      const told = expected(pools, holders, wanted)
      expect(await ask(id, holders, wanted), JSON.stringify({ round, batch, pools, holders, wanted })).toEqual(told)
      for (const outcome of told) heard.set(outcome, (heard.get(outcome) ?? 0) + 1)
    }
    const { pools: counts } = await room.notice(id)
    expect(counts.reduce((all, pool) => all + pool.total, 0)).toBe(total)
  }
  for (const outcome of ['granted', 'replayed', 'fenced', 'sold_out'])
    expect(heard.get(outcome), outcome).toBeGreaterThan(ROUNDS / 4)
})

/** A fail-over while e2 is silent: of two pools of 10 and 0 packs all is quarantined. */
async function silence(): Promise<string> {
  const id = await room.newRound({ totals: [10, 0], fenced: true })
  await join(id)
  await join(id, 'e2')
  await room.link.request(client => client.replicaof('127.0.0.1', '1'))
  await room.link.request(client => client.replicaof('NO', 'ONE'))
  await room.fence.restore(at(id), [], [room.epoch])
  await room.fence.bind(at(id), NEXT, 0)
  await join(id, 'e1', NEXT)
  await room.rounds.endHold(id, NEXT, (await room.notice(id)).hold ?? '')
  return id
}

test('who was told fenced is granted when the silent engine tells, and the last one hears the true sold_out', async () => {
  const id = await silence()
  expect(await ask(id, ['a', 'b'], [0, 1], NEXT)).toEqual(['fenced', 'sold_out'])
  const mine = [{ sequence: 4, pool: 0, at: 1_700_000_000_000, holder: 'z' }]
  expect(await room.fence.restore(at(id, 'e2', NEXT), mine, [room.epoch])).toMatchObject({ restored: 1 })
  const [people, pools] = [Array.from({ length: 9 }, (_, i) => `p${i}`), Array.from({ length: 9 }, () => 0)]
  await join(id, 'e1', NEXT)
  expect(new Set(await ask(id, people, pools, NEXT))).toEqual(new Set(['granted']))
  expect(await ask(id, ['a', 'z'], [0, 0], NEXT)).toEqual(['sold_out', 'replayed'])
})

test.each([
  ['a release', (id: string) => room.fence.release(id, NEXT, { most: 99, request: 'r1' }), ['granted', 'sold_out']],
  [
    'new stock of another pool',
    (id: string) => room.rounds.restock(id, NEXT, { pool: 1, add: 5, most: 99, request: 'r2' }),
    ['fenced', 'granted'],
  ],
])('until the hold behind %s ends everybody hears fenced, as before', async (_, change, after) => {
  const id = await silence()
  const { hold = '' } = (await change(id)).notice
  expect(hold).toMatch(/./)
  expect(await ask(id, ['a', 'b'], [0, 1], NEXT)).toEqual(['fenced', 'fenced'])
  await room.rounds.endHold(id, NEXT, hold)
  await join(id, 'e1', NEXT)
  expect(await ask(id, ['a', 'b'], [0, 1], NEXT)).toEqual(after)
})
