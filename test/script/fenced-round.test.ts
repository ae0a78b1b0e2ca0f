/**
 * The room of one fenced round over a real Redis and real journal files: what it tells when, and what it does not tell any
 * more. The steps that a test holds are those of test/support/fenced-engine.ts. The Redis becomes another server as
 * in test/script/fence.test.ts; it counts no replica here except where that is the point.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { realClock } from '../../engine/base/clock.ts'
import { newId, realRandom } from '../../engine/base/random.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import { packVias } from '../../engine/store/data/claim-store.ts'
import { openStore } from '../../engine/store/store.ts'
import { FencedEngine, type Point } from '../support/fenced-engine.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'
import { answersOf, packUsers } from '../support/script-room.ts'

let redis: RedisProcess
let admin: Redis
let roundId: string
let passed: Map<Point, number>
let traps: Map<Point, () => Promise<void>>
let engines: FencedEngine[]
beforeEach(async () => {
  redis = await startLocalRedis()
  admin = new Redis({ path: redis.socketPath as string })
  passed = new Map()
  traps = new Map()
  engines = []
})
afterEach(async () => {
  for (const engine of engines) await engine.close()
  admin.disconnect()
  await redis.stop()
})

async function engine(options: { readonly chunk?: number; readonly folder?: string } = {}): Promise<FencedEngine> {
  const opened = await FencedEngine.open({
    ...{ url: redis.url, chunk: 50, patienceMs: 100, replicas: 0, ...options },
    passed: async point => {
      passed.set(point, (passed.get(point) ?? 0) + 1)
      const trap = traps.get(point)
      traps.delete(point)
      await trap?.()
    },
  })
  engines.push(opened)
  return opened
}

async function newRound({ store }: FencedEngine, stock = 1000): Promise<void> {
  roundId = newId(realRandom, 'rnd')
  const epoch = realRandom.bytes(8).toString('hex')
  const round = { id: roundId, campaignId: 'cmp_test', number: await store.rounds.nextNumber(), epoch }
  await store.rounds.createRound({ ...round, opensAt: 1, closesAt: 0, config: '{}', totals: [stock], fenced: true })
  await store.rounds.enlist(round)
}

async function claim(by: FencedEngine, ...holders: string[]) {
  const answers = answersOf(await by.claim(roundId, packUsers(holders)))
  return answers.map(({ outcome, sequence }) => `${outcome} ${sequence}`)
}

async function newServer(): Promise<void> {
  await admin.replicaof('127.0.0.1', '1')
  await admin.replicaof('NO', 'ONE')
}

const state = () => admin.hgetall(keys.roundState(roundId))

/** A promise that a test settles, and whether another one is still open after everything that was due has run. */
const gate = () => Promise.withResolvers<void>()
async function isOpen(promise: Promise<unknown>): Promise<boolean> {
  const open = {}
  await admin.ping()
  return (await Promise.race([promise, new Promise(resume => setImmediate(() => resume(open)))])) === open
}

test('nothing is told before it is in the journal', async () => {
  const one = await engine()
  await newRound(one)
  await claim(one, 'a')
  const [reached, held] = [gate(), gate()]
  traps.set('journal', () => {
    reached.resolve()
    return held.promise
  })
  const asked = claim(one, 'b')
  await reached.promise
  expect(await isOpen(asked)).toBe(true)
  held.resolve()
  expect(await asked).toEqual(['granted 2'])
})

test('a round whose holders are missing is fenced at once, and its script is not asked again and again', async () => {
  const one = await engine()
  await newRound(one)
  await claim(one, 'a')
  await admin.del(keys.roundHolders(roundId))
  passed.clear()
  await expect(claim(one, 'b')).rejects.toMatchObject({ code: 'fenced' })
  expect([passed.get('script'), one.door(roundId).gate()]).toEqual([2, 'fenced'])
})

test('what was decided in an epoch that was left meanwhile is not told, but asked again', async () => {
  const one = await engine()
  await newRound(one)
  await claim(one, 'a')
  traps.set('decided', async () => {
    await newServer()
    const left = gate()
    traps.set('bound', async () => left.resolve())
    void one.look()
    await left.promise
  })
  expect((await claim(one, 'b'))[0]).toMatch(/^(replayed 2|fenced 0)$/)
  expect(passed.get('decided')).toBeGreaterThan(2)
})

test('the reserve is raised ahead of need: no batch meets its end, and every grant lies within it', async () => {
  const one = await engine({ chunk: 40 })
  await newRound(one)
  for (let i = 0; i < 30; i++) await claim(one, `a${i}`, `b${i}`, `c${i}`)
  expect(passed.get('script')).toBe(30)
  expect(passed.get('note')).toBeGreaterThan(2)
  const { sequence, reserve, pending } = await state()
  expect(Number(reserve)).toBeGreaterThanOrEqual(Number(sequence))
  expect(Number(pending)).toBeGreaterThanOrEqual(Number(reserve))
})

test('who notes how far a round may grant waits for all replicas', async () => {
  const one = await engine()
  await newRound(one)
  const { epoch = '' } = await state()
  const waits = { durability: 'fenced', replicas: 1, clock: realClock, random: realRandom } as const
  const store = openStore({ url: redis.url, ...waits })
  await expect(store.fence.note({ roundId, epoch, engine: 'e' }, 10)).rejects.toMatchObject({ code: 'unknown' })
  await store.close()
})

test('an engine whose journal is gone does not say that it told all', async () => {
  const one = await engine()
  await newRound(one)
  await claim(one, 'a', 'b')
  await one.forget(roundId)
  await newServer()
  await expect.poll(() => claim(one, 'c').catch(() => []), { timeout: 5000 }).toEqual(['granted 51'])
  expect(await state()).toMatchObject({ ranges: '3-50', q0: '48' })
})

test('an engine that ends in order is waited for by nobody; one that just stops is', async () => {
  const [one, two] = [await engine(), await engine()]
  await newRound(one)
  await claim(one, 'a')
  await claim(two, 'b')
  await one.finish()
  await newServer()
  await expect.poll(() => claim(two, 'c').catch(() => []), { timeout: 5000 }).toEqual(['granted 3'])
  const three = await engine()
  await claim(three, 'd')
  await three.die(false)
  await newServer()
  await expect.poll(() => claim(two, 'e').catch(() => []), { timeout: 5000 }).toEqual(['granted 54'])
})

test('a damaged journal gives back what it has, and does not say that this was all', async () => {
  const one = await engine()
  await newRound(one)
  for (const holder of ['a', 'b', 'c']) await claim(one, holder)
  await one.die(false)
  const file = join(one.folder, `${roundId}.journal`)
  const bytes = readFileSync(file)
  const at = bytes.indexOf(Buffer.from([0, 1, 'b'.charCodeAt(0)])) + 2
  bytes[at] = (bytes[at] as number) ^ 1
  writeFileSync(file, bytes)
  await newServer()
  const again = await engine({ folder: one.folder })
  await expect.poll(() => claim(again, 'd').catch(() => []), { timeout: 5000 }).toEqual(['granted 51'])
  expect(await state()).toMatchObject({ ranges: '4-50', q0: '47' })
})

test('an engine that told all of an epoch does not answer from it again, not even in its next life', async () => {
  const one = await engine()
  await newRound(one)
  await claim(one, 'a')
  const { epoch = '', replid = '' } = await state()
  const left = gate()
  traps.set('marked', async () => {
    await one.die(false)
    left.resolve()
  })
  await newServer()
  void one.look()
  await left.promise
  // The old primary comes back as if nothing had been: its epoch is alive there, but this engine has left it.
  await admin.hset(
    keys.roundState(roundId),
    'replid',
    /master_replid:(\w+)/.exec(await admin.info('replication'))?.[1] ?? '',
  )
  expect(replid).not.toBe((await state()).replid)
  const again = await engine({ folder: one.folder })
  await expect.poll(() => claim(again, 'b').catch(() => []), { timeout: 5000 }).toEqual(['granted 2'])
  expect((await state()).epoch).not.toBe(epoch)
})

test('grants that are read from the log and told are in the journal too', async () => {
  const [one, two] = [await engine(), await engine()]
  await newRound(one)
  await claim(one, 'a', 'b')
  await claim(two, 'c')
  const told: string[] = []
  for await (const { holders } of two.door(roundId).batches(roundId, 1)) told.push(...holders)
  expect(told).toEqual(['a', 'b', 'c'])
  const read = await two.journal.read(roundId)
  expect(new Set(read.grants.map(({ holder }) => holder))).toEqual(new Set(['a', 'b', 'c']))
})

test('a list that is read again costs the journal nothing: each grant that is read is kept once an epoch', async () => {
  const [one, two] = [await engine(), await engine()]
  await newRound(one)
  await claim(one, 'a', 'b')
  await claim(one, 'c')
  const list = async (from: number) => {
    const names: string[] = []
    for await (const { holders } of two.door(roundId).batches(roundId, from)) names.push(...holders)
    return names
  }
  const kept = async () => (await two.journal.read(roundId)).grants.length
  await claim(two, 'd')
  const own = await kept()
  expect([await list(3), (await kept()) - own]).toEqual([['c', 'd'], 2])
  expect([await list(1), (await kept()) - own]).toEqual([['a', 'b', 'c', 'd'], 4])
  for (let i = 0; i < 5; i++) await list(1 + (i % 4))
  expect((await kept()) - own).toBe(4)
  await newServer()
  await expect.poll(() => claim(two, 'e').catch(() => []), { timeout: 5000 }).toHaveLength(1)
  const behind = await kept()
  await list(1)
  expect(await kept()).toBeGreaterThan(behind)
})

test('the moment that a holder is told is in the journal with his grant, also where he only asked again', async () => {
  const [one, two] = [await engine(), await engine()]
  await newRound(one)
  await claim(one, 'a', 'b')
  const at = (await one.store.claims.batchOf(roundId, 2))?.at
  await claim(two, 'b')
  expect((await two.door(roundId).batchOf(roundId, 2))?.at).toBe(at)
  const moments = (await two.journal.read(roundId)).grants.filter(({ holder }) => holder === 'b').map(grant => grant.at)
  expect(moments).toHaveLength(2)
  expect(Math.min(...moments)).toBe(at)
})

test('the scope of a key is in the log of a fenced round too, and whoever asks again changes nothing of it', async () => {
  const one = await engine()
  await newRound(one)
  await one.claim(roundId, packUsers(['a', 'b']), packVias([['alipay', 2]]))
  expect(await one.store.claims.viaOf(roundId, 2, 'b')).toBe('alipay')
  for await (const { viaOf } of one.door(roundId).batches(roundId, 1))
    expect([viaOf?.(0), viaOf?.(1)]).toEqual(['alipay', 'alipay'])
  expect(await claim(one, 'b')).toEqual(['replayed 2'])
  expect(await one.store.claims.viaOf(roundId, 2, 'b')).toBe('alipay')
})

test('nobody is refused on what a replica may lack: he is told to ask again, and a holder beside him holds', async () => {
  const one = await engine()
  await newRound(one)
  await claim(one, 'a')
  const { epoch = '' } = await state()
  await one.store.rounds.turn(roundId, epoch, 'pause', 'pause')
  const held = gate()
  traps.set('note', () => held.promise)
  expect(await claim(one, 'a', 'b')).toEqual(['replayed 1', 'fenced 0'])
  const { notice } = (await one.store.rounds.read(roundId)) ?? expect.fail('the round is gone')
  expect(one.door(roundId).isSure(notice)).toBe(false)
  held.resolve()
  await expect.poll(() => one.door(roundId).isSure(notice)).toBe(true)
  const asked = passed.get('note')
  expect(await claim(one, 'a', 'b')).toEqual(['replayed 1', 'paused 0'])
  expect(passed.get('note')).toBe(asked)
})

test('a second pause is refused on when all replicas have it, whatever they had of the first', async () => {
  const one = await engine()
  await newRound(one)
  await claim(one, 'a')
  const { epoch = '' } = await state()
  const turn = async (verb: 'pause' | 'resume', request: string) => {
    const { notice } = await one.store.rounds.turn(roundId, epoch, verb, request)
    if (notice.hold !== undefined) await one.store.rounds.endHold(roundId, epoch, notice.hold)
    return notice
  }
  await turn('pause', 'first')
  await expect.poll(() => claim(one, 'b')).toEqual(['paused 0'])
  await turn('resume', 'second')
  const again = await turn('pause', 'third')
  expect(one.door(roundId).isSure(again)).toBe(false)
  const held = gate()
  traps.set('note', () => held.promise)
  expect(await claim(one, 'a', 'b')).toEqual(['replayed 1', 'fenced 0'])
  held.resolve()
  await expect.poll(() => claim(one, 'b')).toEqual(['paused 0'])
})

test('behind a batch that an earlier copy may still execute a refusal is a doubt', async () => {
  const one = await engine({ chunk: 2 })
  await newRound(one)
  await claim(one, 'a')
  const { epoch = '' } = await state()
  const decide = one.store.claims.decide.bind(one.store.claims)
  let tries = 0
  one.store.claims.decide = async (...asked) => {
    const decision = await decide(...asked)
    // As the link says of a batch that it had to send on a second connection.
    return tries++ === 0 ? { ...decision, again: true } : decision
  }
  traps.set('note', async () => void (await one.store.rounds.turn(roundId, epoch, 'pause', 'pause')))
  const decision = await one.claim(roundId, packUsers(['b', 'c', 'd', 'e', 'f']))
  const [first] = answersOf(decision)
  expect([tries, first?.outcome, decision.again]).toEqual([2, 'unknown', true])
})

test('the journal of a closed round is let go when all replicas have it; asked again after that, holders hold', async () => {
  const one = await engine()
  await newRound(one)
  await claim(one, 'a')
  const { epoch = '' } = await state()
  await one.store.rounds.turn(roundId, epoch, 'close', 'end')
  await one.look()
  expect((await one.journal.read(roundId)).grants).toEqual([])
  expect(await claim(one, 'a', 'b')).toEqual(['replayed 1', 'closed 0'])
  expect((await one.journal.read(roundId)).grants).toEqual([])
})
