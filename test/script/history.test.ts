/**
 * round-history.lua on real servers: which changes of a replication id are another history, and which are none.
 *
 * A server that follows nobody and is told to follow nobody again has been promoted, as far as its id tells: Redis keeps
 * the id before it. A start on its own log gives it a new id too, and none before it; then only what somebody was shown
 * can tell that something is missing.
 */
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { roundState } from '../../engine/store/connection/keys.ts'
import { freePort } from '../support/node-process.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'
import { ScriptRoom } from '../support/script-room.ts'

let redis: RedisProcess
let room: ScriptRoom
let admin: Redis
beforeAll(async () => {
  const port = await freePort()
  redis = await startLocalRedis({ port })
  room = new ScriptRoom(`redis://127.0.0.1:${port}`, 0)
  admin = new Redis({ port, retryStrategy: () => 20 })
  admin.on('error', () => {})
})
afterAll(async () => {
  admin.disconnect()
  await room.link.close()
  await redis.stop()
})

const NEXT = '00000000000000bb'
const OTHER = '00000000000000cc'

const nameOf = async (field: string) =>
  new RegExp(`${field}:(\\w+)`).exec(await room.link.request(client => client.info('replication')))?.[1] ?? ''

async function promote(): Promise<void> {
  await admin.replicaof('127.0.0.1', '1')
  await admin.replicaof('NO', 'ONE')
}

async function restart(): Promise<void> {
  await redis.kill()
  await redis.restart()
}

const shown = (version: number, epoch = room.epoch) => ({ epoch, version })

test('a new round is in the history of its server; asked again nothing is written', async () => {
  const id = await room.newRound()
  const state = await room.state(id)
  expect(state.history).toBe(await nameOf('master_replid'))
  const history = await room.histories.look(id, await room.notice(id), NEXT)
  expect(history).toMatchObject({ begun: false, notice: { epoch: room.epoch, version: Number(state.version) } })
  expect(await room.state(id)).toEqual(state)
})

test('behind a promotion the first who asks begins an epoch and tells of it, and everybody else gets the same', async () => {
  const id = await room.newRound()
  await room.claim(id, ['u1'])
  const { version } = await room.notice(id)
  await promote()
  const told = new Redis(room.url)
  await told.psubscribe('*')
  const heard = new Promise<string>(resolve => told.on('pmessage', (...words) => resolve(words[2] as string)))
  const first = await room.histories.look(id, shown(version), NEXT)
  expect(first).toMatchObject({ begun: true, notice: { epoch: NEXT, version: version + 1, sequence: 1 } })
  expect(await heard).toMatch(new RegExp(`^${NEXT} ${version + 1} `))
  told.disconnect()
  const state = await room.state(id)
  expect(state).toMatchObject({ epoch: NEXT, history: await nameOf('master_replid') })
  for (const known of [shown(version), shown(version + 9), undefined, shown(version + 1, NEXT)])
    expect(await room.histories.look(id, known, OTHER)).toMatchObject({ begun: false, notice: { epoch: NEXT } })
  expect(await room.state(id)).toEqual(state)
  await expect(room.claim(id, ['u2'])).rejects.toMatchObject({ code: 'fenced' })
  expect(await room.claim(id, ['u1', 'u2'], 0, NEXT)).toMatchObject([
    { outcome: 'replayed', sequence: 1 },
    { outcome: 'granted', sequence: 2 },
  ])
})

test('a restart on the same log is no other history, whatever id it has; a log that lacks what was shown is one', async () => {
  const id = await room.newRound()
  const before = await nameOf('master_replid')
  const { version } = await room.notice(id)
  await restart()
  expect(await nameOf('master_replid')).not.toBe(before)
  expect(await room.histories.look(id, shown(version), NEXT)).toMatchObject({ begun: false })
  expect(await room.state(id)).toMatchObject({ epoch: room.epoch, version: String(version) })
  expect((await room.state(id)).history).toBe(await nameOf('master_replid'))
  expect(await room.histories.look(id, shown(version + 1, OTHER), NEXT)).toMatchObject({ begun: false })
  const lacks = await room.histories.look(id, shown(version + 1), NEXT)
  expect(lacks).toMatchObject({ begun: true, notice: { epoch: NEXT, version: version + 1 } })
})

test('a server without the epoch that was shown is another history, also where it was started and not promoted', async () => {
  const id = await room.newRound()
  const { version } = await room.notice(id)
  await restart()
  const first = await room.histories.look(id, shown(version, OTHER), NEXT)
  expect(first).toMatchObject({ begun: true, notice: { epoch: NEXT, version: version + 1 } })
  expect(await room.histories.look(id, shown(version, OTHER), OTHER)).toMatchObject({ begun: false })
  expect(await room.state(id)).toMatchObject({ epoch: NEXT, history: await nameOf('master_replid') })
})

test('a round of an earlier version of the engine gets its history with the first question, and no epoch', async () => {
  const id = await room.newRound()
  await promote()
  await room.link.request(client => client.hdel(roundState(id), 'history'))
  expect(await room.histories.look(id, undefined, NEXT)).toMatchObject({ begun: false, notice: { epoch: room.epoch } })
  expect((await room.state(id)).history).toBe(await nameOf('master_replid'))
})

test('a fenced round is left to its recovery', async () => {
  const id = await room.newRound({ fenced: true })
  await promote()
  const state = await room.state(id)
  expect(state.history).toBeUndefined()
  expect(await room.histories.look(id, shown(99), NEXT)).toMatchObject({ begun: false, notice: { epoch: room.epoch } })
  expect(await room.state(id)).toEqual(state)
})

test('a hold outlives the epoch, and what the clock has turned is written with it', async () => {
  const closing = await room.newRound({ closesAt: (await room.now()) + 300 })
  const id = await room.newRound({ open: false })
  const { rounds } = room
  await room.link.request(client => client.hset(roundState(id), { state: 2, hold: 'h', holds_as: 2 }))
  await promote()
  while ((await room.notice(closing)).state !== 'closed') await room.now()
  expect(await room.histories.look(closing, undefined, NEXT)).toMatchObject({ notice: { state: 'closed' } })
  expect((await room.state(closing)).state).toBe('4')
  expect(await room.histories.look(id, undefined, NEXT)).toMatchObject({ notice: { epoch: NEXT, hold: 'h' } })
  expect(await rounds.endHold(id, NEXT, 'h')).not.toHaveProperty('hold')
})

test('no round is made by looking, and every outcome was seen', async () => {
  expect(await room.histories.look('rnd_none', undefined, NEXT)).toBeUndefined()
  expect(await room.state('rnd_none')).toEqual({})
  const { named, seen } = room.outcomes('round-history')
  expect(seen).toEqual(named)
})
