/**
 * Packs in quarantine as everybody meets them: two real nodes at the level fenced, a fail-over while one of them is dead, and what
 * the other one tells until it is back: claims over HTTP, in batches and on the stream, the round's public state wherever it
 * is read, the alarms. Then whoever was told `fenced` is granted, and the last one hears the true `sold_out`.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Api, expectProblem, type Fields, makeRound, type Round } from '../support/api.ts'
import { type Copy, follow, startCopy } from '../support/copies.ts'
import { KEYS, startTestWorker } from '../support/engine.ts'
import { startNodeProcess } from '../support/node-process.ts'
import { StreamClient, SUBPROTOCOLS } from '../support/stream-client.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

const STOCK = 40
const WAITS = { timeout: 20_000, interval: 50 }

/** Two nodes on a primary with a replica; `dies` kills the second node and the primary, and promotes the replica. */
async function openNodes() {
  const copies: Copy[] = [await startCopy(), await startCopy(), await startCopy()]
  const [primary, replica, next] = copies as [Copy, Copy, Copy]
  await follow(replica, primary)
  const name = await TcpProxy.open({ port: primary.port })
  const folder = mkdtempSync(join(tmpdir(), 'fg-journal-'))
  const level = { FAIRGRAB_DURABILITY: 'fenced', FAIRGRAB_REPLICAS: '1', LOG_LEVEL: 'silent' }
  const secret = { FAIRGRAB_VOUCHER_SECRET: '5'.repeat(64) }
  const worker = await startTestWorker(name.url, { ...level, ...secret, FAIRGRAB_DATA_DIR: folder })
  const away = await startNodeProcess({ ...level, ...secret, REDIS_URL: name.url })
  onTestFinished(async () => {
    await away.stop()
    await worker.stop()
    await name.close()
    for (const copy of copies) await copy[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true })
  })
  const dies = async () => {
    await follow(replica, primary)
    await away.killAll()
    await primary.redis.kill()
    await replica.admin.replicaof('NO', 'ONE')
    name.upstream = { port: replica.port }
    await follow(next, replica)
  }
  return { worker, away, dies }
}

interface Scene {
  readonly api: Api
  readonly id: string
  readonly views: readonly StreamClient[]
}

const claimsOf = (id: string) => `/v1/rounds/${id}/claims`
const claim = (api: Api, id: string, user_id: string, pool = 'general') => api.post(claimsOf(id), { user_id, pool })

/** A round of which both nodes granted something, and its viewers in both encodings. */
async function openRound(api: Api, there: Api): Promise<Scene> {
  const { id } = await makeRound(api, { stock: STOCK, pools: [{ name: 'assisted', stock: 1 }] })
  await expect.poll(async () => (await claim(api, id, 'here', 'assisted')).status, WAITS).toBeLessThan(202)
  await expect.poll(async () => (await claim(there, id, 'there')).status, WAITS).toBeLessThan(202)
  const views = Object.values(SUBPROTOCOLS).map(
    protocol => new StreamClient(api.url, { credential: KEYS.platform, protocols: [protocol] }),
  )
  for (const view of views) {
    await view.next('welcome')
    await view.ask({ op: 'subscribe', id: 1, topics: [`stock:${id}`] })
  }
  return { api, id, views }
}

/** What the round looks like, wherever it is read. */
async function looksFenced({ api, id, views }: Scene): Promise<void> {
  const told = new Set<unknown>()
  const isOver = (state: unknown) => state === 'fenced' || state === 'sold_out'
  for (const view of views) await view.next(({ op, state }) => op === 'stock' && told.add(state) && isOver(state))
  expect([...told]).not.toContain('sold_out')
  const stock = { total: STOCK, granted: 2, remaining: 0, quarantined: STOCK - 2 }
  expect((await api.get(`/v1/rounds/${id}`)).body).toMatchObject({ state: 'fenced', stock })
  expect((await api.get<{ data: Round[] }>('/v1/rounds')).body.data[0]).toMatchObject({ id, state: 'fenced' })
  const dry = await api.post(`/v1/rounds/${id}/release?dry_run=true`)
  expect(dry.body).toMatchObject({ before: { state: 'fenced' }, after: { state: 'open' } })
}

/** What claims hear: who may be granted yet, who holds, and who wants a pool that is certainly gone. */
async function hearsFenced({ api, id, views }: Scene): Promise<void> {
  const waits: number[] = []
  const refused = async () => {
    const body = expectProblem(await claim(api, id, 'new'), 'fenced', { outcome: 'fenced' })
    waits.push(Number(body.retry_after_s))
    return waits.at(-1)
  }
  await expect.poll(refused, WAITS).toBeGreaterThan(2)
  expect([waits[0], waits.toSorted((a, b) => a - b)]).toEqual([1, waits])
  expect((await claim(api, id, 'there')).body).toMatchObject({ outcome: 'granted', replayed: true })
  expectProblem(await claim(api, id, 'new', 'assisted'), 'sold_out')
  const claims = [{ user_id: 'new' }, { user_id: 'here' }, { user_id: 'new', pool: 'assisted' }]
  const results = [{ outcome: 'fenced' }, { outcome: 'granted', replayed: true }, { outcome: 'sold_out' }]
  expect((await api.post(`${claimsOf(id)}/batch`, { claims })).body).toMatchObject({ results })
  for (const view of views) {
    const one = await view.ask({ op: 'claim', id: 2, round_id: id, user_id: 'new' })
    expect(one).toMatchObject({ op: 'result', code: 'fenced', retry_after_s: expect.any(Number) })
    const many = await view.ask({ op: 'claims', id: 3, round_id: id, user_ids: ['new', 'there'] })
    expect(many).toMatchObject({ outcomes: ['fenced', 'granted'], replayed: [1] })
  }
}

const warnings = async (api: Api) => (await api.get<{ warnings: Fields[] }>('/readyz?verbose')).body.warnings
const quarantined = async (api: Api) =>
  /^fairgrab_stock_quarantined\{.*\} (\d+)$/m.exec((await api.get<string>('/metrics')).body)?.[1]

test('while a node is away that may have granted the rest nobody hears sold_out, and all of it ends when it is back', async () => {
  const { worker, away, dies } = await openNodes()
  const api = new Api(worker.url, KEYS.operator)
  const scene = await openRound(api, new Api(away.url, KEYS.operator))
  const { id, views } = scene
  await dies()
  await looksFenced(scene)
  await hearsFenced(scene)
  const what = expect.stringContaining(readFileSync(join(away.dataDir, 'journal/0/engine'), 'latin1'))
  const warning = { what, mend: expect.stringContaining(`fairgrab round release ${id}`) }
  await expect.poll(() => warnings(api), WAITS).toContainEqual(warning)
  expect(await quarantined(api)).toBe(String(STOCK - 2))

  away.launch()
  await expect.poll(async () => (await claim(api, id, 'new')).status, WAITS).toBe(201)
  for (const view of views) await view.next(({ op, state }) => op === 'stock' && state === 'open')
  const claims = Array.from({ length: STOCK - 3 }, (_, i) => ({ user_id: `p${i}` }))
  const { results } = (await api.post<{ results: Fields[] }>(`${claimsOf(id)}/batch`, { claims })).body
  expect(new Set(results.map(({ outcome }) => outcome))).toEqual(new Set(['granted']))
  await expect.poll(async () => (await claim(api, id, 'late')).body.code, WAITS).toBe('sold_out')
  const stock = { granted: STOCK, remaining: 0 }
  expect((await api.get(`/v1/rounds/${id}`)).body).toMatchObject({ state: 'sold_out', stock })
  await expect.poll(() => warnings(api), WAITS).not.toContainEqual(warning)
  expect(await quarantined(api)).toBe('0')
}, 90_000)
