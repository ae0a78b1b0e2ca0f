/**
 * A fenced round that is over and on every replica: no clock looks at it any more, so what it shows after a fail-over
 * hangs on the two signs that are left, an event of another epoch and a connection that had to be made anew.
 *
 * One worker's rounds over a real Redis and a real journal. The Redis becomes another server in place, as in
 * test/script/fence.test.ts, so that a test decides which of the signs the worker gets. Rejected: a killed primary, which
 * gives both at once.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { expect, onTestFinished, test } from 'vitest'
import { realClock } from '../../engine/base/clock.ts'
import { newId, realRandom } from '../../engine/base/random.ts'
import { FencedRounds } from '../../engine/campaign/fenced/fenced-rounds.ts'
import { Journal } from '../../engine/campaign/fenced/journal.ts'
import { FolderDisk } from '../../engine/campaign/fenced/journal-disk.ts'
import { Rounds } from '../../engine/campaign/round/rounds.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import { openStore } from '../../engine/store/store.ts'
import { FencedEngine } from '../support/fenced-engine.ts'
import { startLocalRedis } from '../support/redis.ts'
import { NO_EVENTS, smallDeciders } from '../support/round-parts.ts'

const SHOWN_WITHIN_MS = 1000
const COMMON = { clock: realClock, random: realRandom }
const NOTHING = () => {}

/** The rounds of one worker at the level fenced, which counts no replica. */
function workerOf(url: string) {
  const folder = mkdtempSync(join(tmpdir(), 'fg-settled-'))
  const store = openStore({ url, durability: 'fenced', replicas: 0, ...COMMON })
  const fence = new FencedRounds({
    ...{ engine: 'one', claims: store.claims, fence: store.fence, journal: new Journal(new FolderDisk(folder)) },
    ...{ ...COMMON, chunk: 50, patienceMs: 100, reported: NOTHING, failed: NOTHING },
    adopted: (roundId, notice) => rounds.adopt(roundId, notice),
  })
  const secret = Buffer.alloc(32, 1)
  const rounds = new Rounds({
    ...{ store, fence, ...COMMON, secret, drawSecret: secret, deciders: smallDeciders(store), events: NO_EVENTS },
    healthGate: () => undefined,
  })
  onTestFinished(async () => {
    rounds.close()
    await fence.close()
    await store.close()
    rmSync(folder, { recursive: true, force: true })
  })
  return { store, fence, rounds }
}

/** A round that is closed, and settled at a worker; `served` is what the worker shows of it. */
async function settledRound() {
  const redis = await startLocalRedis()
  const admin = new Redis({ path: redis.socketPath as string })
  onTestFinished(async () => {
    admin.disconnect()
    await redis.stop()
  })
  const { store, fence, rounds } = workerOf(redis.url)
  const [id, epoch] = [newId(realRandom, 'rnd'), realRandom.bytes(8).toString('hex')]
  const round = { id, campaignId: 'cmp_test', number: await store.rounds.nextNumber(), epoch }
  const config = JSON.stringify({
    ...{ id, campaign_id: round.campaignId, number: round.number, currency: 'CNY', allocation: { mode: 'fcfs' } },
    ...{ pools: ['general'], per_user: 1, pack: [], created_at: '2026-01-01T00:00:00.000Z' },
  })
  await store.rounds.createRound({ ...round, opensAt: 1, closesAt: 0, config, totals: [10], fenced: true })
  await store.rounds.enlist(round)
  const served = (await rounds.get(id)) ?? expect.fail('the round is not there')
  const door = fence.of(id)
  await door.recover()
  await store.rounds.turn(id, epoch, 'close', 'end')
  await door.look()
  expect(door.settled).toBe(true)
  return { redis, admin, id, epoch, served }
}

/** Makes the server another one, for all who are connected to it. */
async function promote(admin: Redis): Promise<void> {
  await admin.replicaof('127.0.0.1', '1')
  await admin.replicaof('NO', 'ONE')
}

const epochOf = (admin: Redis, id: string) => admin.hget(keys.roundState(id), 'epoch')

test('an event of another epoch: another engine bound it to the new server', async () => {
  const { redis, admin, id, epoch, served } = await settledRound()
  const other = await FencedEngine.open({ url: redis.url, chunk: 50, patienceMs: 100, replicas: 0, passed: NOTHING })
  onTestFinished(() => other.close())
  await promote(admin)
  await other.door(id).recover()
  const bound = await epochOf(admin, id)
  expect(bound).not.toBe(epoch)
  await expect.poll(() => served.view.notice.epoch, { timeout: SHOWN_WITHIN_MS }).toBe(bound)
})

const CONNECTIONS = { events: 'pubsub', requests: 'normal' }

test.each(Object.entries(CONNECTIONS))(
  'a new connection for %s: nobody else knows of the new server yet',
  async (_, type) => {
    const { admin, id, epoch, served } = await settledRound()
    await promote(admin)
    await admin.call('CLIENT', 'KILL', 'TYPE', type)
    await expect.poll(() => served.view.notice.epoch, { timeout: SHOWN_WITHIN_MS }).not.toBe(epoch)
    expect(await epochOf(admin, id)).toBe(served.view.notice.epoch)
  },
)
