/**
 * Nodes that share one Redis have the same secrets and level, or they say so: what the first start had is kept, a start that
 * differs ends with 2 and its setting's name, a node that runs and finds another agreement, or none, grants nothing.
 *
 * Nodes are processes, as their exit code and last words are what is promised; what a running node finds is read from
 * `/readyz` and the doctor. Redis is emptied and restored under them by a hand of the test's own.
 */
import { Redis } from 'ioredis'
import { expect, onTestFinished, test } from 'vitest'
import { fingerprintOf } from '../../engine/auth/fingerprint.ts'
import { agreed, drawSecret, voucherSecret } from '../../engine/store/connection/keys.ts'
import { Api, expectProblem, type Granted, makeRound } from '../support/api.ts'
import { upEnds } from '../support/ended-start.ts'
import { KEYS, SOON_MS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { typed } from '../support/fairgrab.ts'
import { type NodeProcess, startNodeProcess } from '../support/node-process.ts'
import { startLocalRedis } from '../support/redis.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

const secret = (digit: string) => digit.repeat(64)
const ONE = { FAIRGRAB_VOUCHER_SECRET: secret('1'), FAIRGRAB_DRAW_SECRET: secret('2') }
type Settings = Readonly<Record<string, string>>

interface Ready {
  readonly ready: boolean
  readonly problems: readonly { readonly what: string; readonly mend: string }[]
  readonly warnings: readonly { readonly what: string; readonly mend: string }[]
}

const readyz = async (node: { readonly url: string }): Promise<Ready> =>
  (await fetch(`${node.url}/readyz?verbose`)).json() as Promise<Ready>
const words = (found: Ready['problems']) => found.map(({ what, mend }) => `${what}; ${mend}`).join('\n')
const expectProblems = (node: { readonly url: string }) =>
  expect.poll(async () => words((await readyz(node)).problems), { timeout: 15_000 })

async function fairgrab(line: string, settings: Settings) {
  const { code, out, err } = await typed(line.split(' '), settings)
  return { code, out: out + err }
}

async function room() {
  const redis = await startLocalRedis()
  const admin = new Redis(redis.socketPath as string)
  onTestFinished(async () => {
    admin.disconnect()
    await redis.stop()
  })
  const started = async <T extends { stop(): Promise<unknown> }>(starting: Promise<T>): Promise<T> => {
    const made = await starting
    onTestFinished(async () => void (await made.stop()))
    return made
  }
  const url = { REDIS_URL: redis.url }
  return {
    ...{ redis, admin, url },
    node: (settings: Settings = {}): Promise<NodeProcess> => started(startNodeProcess({ ...url, ...settings })),
    worker: (settings: Settings = {}): Promise<TestWorker> =>
      started(startTestWorker(redis.url, { LOG_LEVEL: 'silent', ...settings }, SOON_MS)),
  }
}

test.each([
  [{ FAIRGRAB_VOUCHER_SECRET: secret('3') }, /FAIRGRAB_VOUCHER_SECRET is not the one .* agreed on/],
  [{ FAIRGRAB_DRAW_SECRET: secret('3') }, /FAIRGRAB_DRAW_SECRET is not the one .* agreed on/],
  [{ FAIRGRAB_VOUCHER_SECRET: '' }, /FAIRGRAB_VOUCHER_SECRET is not the one .* where it is unset/],
  [{ FAIRGRAB_DURABILITY: 'everysec' }, /FAIRGRAB_DURABILITY is everysec here, and always is what/],
])('a second node with %o does not start: exit 2, its setting and how it is changed', async (other, message) => {
  const { worker, url, admin } = await room()
  const first = await worker({ ...ONE, FAIRGRAB_DURABILITY: 'always' })
  const kept = await admin.hgetall(agreed())
  const { code, words: said } = await upEnds({ ...url, ...ONE, ...other })
  expect(said).toMatch(message)
  expect(said).toContain(`fairgrab config change ${Object.keys(other)[0]}`)
  expect(said).not.toMatch(/1{8}|2{8}|3{8}/)
  expect(code).toBe(2)
  expect(await readyz(first)).toMatchObject({ ready: true, problems: [] })
  expect(await admin.hgetall(agreed())).toEqual(kept)
  expect(await admin.exists(voucherSecret(), drawSecret())).toBe(0)
  const told = await fairgrab('doctor', { ...url, ...ONE, ...other })
  expect([told.code, told.out]).toEqual([1, expect.stringMatching(/✗ agreement\n {4}FAIRGRAB/)])
  expect(told.out).toMatch(message)
  const sound = await fairgrab('doctor', { ...url, ...ONE })
  expect([sound.code, sound.out]).toEqual([0, expect.stringContaining('✓ agreement')])
})

test('of two first starts that differ in all of it one serves and one ends with 2', async () => {
  const { redis, admin } = await room()
  const other = { FAIRGRAB_VOUCHER_SECRET: secret('3'), FAIRGRAB_DRAW_SECRET: secret('4') }
  const starts = await Promise.allSettled([
    startTestWorker(redis.url, { ...ONE, LOG_LEVEL: 'silent' }),
    startTestWorker(redis.url, { ...other, LOG_LEVEL: 'silent' }),
  ])
  for (const start of starts) if (start.status === 'fulfilled') onTestFinished(() => start.value.stop())
  expect(starts.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
  const winner = starts[0]?.status === 'fulfilled' ? ONE : other
  expect(await admin.hgetall(agreed())).toEqual({
    FAIRGRAB_VOUCHER_SECRET: fingerprintOf(
      Buffer.from(winner.FAIRGRAB_VOUCHER_SECRET, 'hex'),
      'FAIRGRAB_VOUCHER_SECRET',
    ),
    FAIRGRAB_DRAW_SECRET: fingerprintOf(Buffer.from(winner.FAIRGRAB_DRAW_SECRET, 'hex'), 'FAIRGRAB_DRAW_SECRET'),
    FAIRGRAB_DURABILITY: 'memory',
  })
})

test('a start that differs in one thing agrees on no other one that nobody kept yet', async () => {
  const { worker, redis, admin } = await room()
  await worker(ONE)
  await admin.hdel(agreed(), 'FAIRGRAB_DRAW_SECRET')
  const kept = await admin.hgetall(agreed())
  const other = { FAIRGRAB_VOUCHER_SECRET: secret('3'), FAIRGRAB_DRAW_SECRET: secret('4'), LOG_LEVEL: 'silent' }
  const connected = async () => String(await admin.client('LIST')).match(/^id=/gm)?.length
  const before = await connected()
  await expect(startTestWorker(redis.url, other)).rejects.toThrow(/FAIRGRAB_VOUCHER_SECRET is not/)
  await expect(startTestWorker(redis.url, { ...other, FAIRGRAB_DRAW_SECRET: '' })).rejects.toThrow(/VOUCHER_SECRET/)
  // What did not start leaves nothing behind that connects again for as long as its process lives.
  await expect.poll(connected).toBe(before)
  expect(await admin.hgetall(agreed())).toEqual(kept)
  expect(await admin.exists(drawSecret())).toBe(0)
})

test('nodes that take the secrets of Redis agree, and so does one that has them as settings', async () => {
  const { worker, admin, url } = await room()
  const first = await worker()
  await worker()
  const kept = (await admin.get(voucherSecret())) as string
  await worker({ FAIRGRAB_VOUCHER_SECRET: kept })
  const other = { FAIRGRAB_VOUCHER_SECRET: secret('1'), FAIRGRAB_DURABILITY: 'memory' }
  expect(await upEnds({ ...url, ...other })).toMatchObject({
    code: 2,
    words: expect.stringContaining('FAIRGRAB_VOUCHER_SECRET is not the one'),
  })
  expect(await readyz(first)).toMatchObject({ ready: true, problems: [] })
})

test('a Redis that is emptied, and one that is restored from elsewhere, stop a running node and are reported', async () => {
  const { worker, admin } = await room()
  const node = await worker(ONE)
  const api = new Api(node.url, KEYS.operator)
  const kept = await admin.hgetall(agreed())
  await admin.flushall()
  await expectProblems(node).toMatch(/was emptied, restored or exchanged; restore its backup; to begin anew/)
  expect((await fetch(`${node.url}/readyz`)).status).toBe(503)
  expect(await admin.keys('*')).toEqual([])
  await admin.hset(agreed(), { ...kept, FAIRGRAB_VOUCHER_SECRET: '0123456789abcdef' })
  await expectProblems(node).toMatch(/^FAIRGRAB_VOUCHER_SECRET is not the one/)
  await admin.hset(agreed(), kept)
  await expectProblems(node).toBe('')
  const { id } = await makeRound(api)
  expect((await api.post(`/v1/rounds/${id}/claims`, { user_id: 'ada' })).status).toBe(201)
  await admin.hset(agreed(), { FAIRGRAB_DRAW_SECRET: '0123456789abcdef' })
  await expectProblems(node).toMatch(/^FAIRGRAB_DRAW_SECRET is not the one/)
  expectProblem(await api.post(`/v1/rounds/${id}/claims`, { user_id: 'bob' }), 'fenced')
})

test('a level is changed node by node: both are allowed and told, until the old one is finished', async () => {
  const { worker, admin, url } = await room()
  const old = await worker()
  const wanted = { ...url, FAIRGRAB_DURABILITY: 'everysec' }
  const change = (more = '') => fairgrab(`config change FAIRGRAB_DURABILITY${more}`, wanted)
  await expect(worker({ FAIRGRAB_DURABILITY: 'everysec' })).rejects.toThrow(/FAIRGRAB_DURABILITY is everysec here/)
  expect(await change(' --finish')).toEqual({ code: 2, out: expect.stringContaining('no change of the level') })
  expect((await change(' --dry-run')).out).toMatch(
    /^nothing was changed; without --dry-run: nodes may have memory or everysec/,
  )
  const dry = JSON.parse((await change(' --dry-run --json')).out)
  expect(dry).toMatchObject({ changed: false, would_change: true })
  expect(await admin.hget(agreed(), 'FAIRGRAB_DURABILITY')).toBe('memory')
  expect(await change()).toEqual({
    code: 0,
    out: expect.stringMatching(/^nodes may have .*restart them with everysec one by one/),
  })
  const next = await worker({ FAIRGRAB_DURABILITY: 'everysec' })
  const warned = (node: TestWorker) =>
    expect.poll(async () => words((await readyz(node)).warnings), { timeout: 15_000 })
  await warned(old).toMatch(/being changed from memory to everysec; this node has memory; restart this node/)
  await warned(next).toMatch(/this node has everysec; when all nodes have everysec: .* --finish/)
  expect(await readyz(old)).toMatchObject({ ready: true, problems: [] })
  await expect(worker({ FAIRGRAB_DURABILITY: 'always' })).rejects.toThrow(/memory or everysec is what/)
  expect((await change(' --finish')).code).toBe(0)
  await expectProblems(old).toMatch(/FAIRGRAB_DURABILITY is memory here, and everysec is what/)
  await warned(next).not.toMatch(/being changed/)
  expect(await readyz(next)).toMatchObject({ ready: true, problems: [] })
})

test('a secret is changed by an operator’s word: who has the old one grants nothing more, who has the new one starts', async () => {
  const { worker, url } = await room()
  const old = await worker(ONE)
  const api = new Api(old.url, KEYS.operator)
  const { id } = await makeRound(api)
  const wanted = { ...ONE, FAIRGRAB_VOUCHER_SECRET: secret('7') }
  const changed = await fairgrab('config change FAIRGRAB_VOUCHER_SECRET', { ...url, ...wanted })
  expect(changed).toEqual({ code: 0, out: expect.stringContaining('nodes with the old one grant nothing') })
  expect(changed.out).not.toMatch(/7{8}/)
  await expectProblems(old).toMatch(/FAIRGRAB_VOUCHER_SECRET is not the one/)
  expectProblem(await api.post(`/v1/rounds/${id}/claims`, { user_id: 'ada' }), 'fenced')
  const next = new Api((await worker(wanted)).url, KEYS.operator)
  expect((await next.post<Granted>(`/v1/rounds/${id}/claims`, { user_id: 'ada' })).status).toBe(201)
  expect(await fairgrab('config change FAIRGRAB_PORT', url)).toEqual({
    code: 2,
    out: expect.stringContaining('is nothing that nodes agree on; did you mean'),
  })
})

test('a Redis of an earlier version, with its rounds, gets the agreement of the first node that is restarted', async () => {
  const { worker, redis, admin } = await room()
  const earlier = await startTestWorker(redis.url, ONE)
  const { id } = await makeRound(new Api(earlier.url, KEYS.operator))
  const claim = (node: TestWorker) =>
    new Api(node.url, KEYS.operator).post<Granted>(`/v1/rounds/${id}/claims`, { user_id: 'ada' })
  const { body } = await claim(earlier)
  await earlier.stop()
  const kept = await admin.hgetall(agreed())
  await admin.del(agreed())
  const later = await worker(ONE)
  expect((await claim(later)).body).toEqual({ ...body, replayed: true })
  expect(await admin.hgetall(agreed())).toEqual(kept)
})

test('a node whose Redis is away at its start agrees with the first check that succeeds, and grants nothing if it differs', async () => {
  const { redis, worker, node } = await room()
  await worker({ ...ONE, FAIRGRAB_DURABILITY: 'always' })
  const door = await TcpProxy.open({ path: redis.socketPath as string })
  onTestFinished(() => door.close())
  door.way = 'black hole'
  const late = await node({ ...ONE, FAIRGRAB_DRAW_SECRET: secret('9'), REDIS_URL: door.url })
  await expectProblems(late).toMatch(/reached/)
  door.way = 'pass'
  await expectProblems(late).toMatch(/FAIRGRAB_DRAW_SECRET is not the one/)
})

test('the one node of an embedded Redis may come back with another level, and not with another secret', async () => {
  const node = await startNodeProcess({ ...ONE })
  onTestFinished(async () => void (await node.stop()))
  await node.terminate()
  const dir = { FAIRGRAB_DATA_DIR: node.dataDir }
  const again = await startNodeProcess({ ...ONE, ...dir, FAIRGRAB_DURABILITY: 'everysec' })
  expect(await readyz(again)).toMatchObject({ ready: true, problems: [] })
  await again.terminate()
  const { code, words: said } = await upEnds({ ...ONE, ...dir, FAIRGRAB_VOUCHER_SECRET: secret('8') })
  expect([code, said]).toEqual([2, expect.stringContaining('FAIRGRAB_VOUCHER_SECRET is not the one')])
})
