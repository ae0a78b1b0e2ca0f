/**
 * A managed server that lets nobody read its settings: the engine says that it cannot verify the level, grants only where an
 * operator declares it, says `declared` wherever it says the level, and never lets a declaration stand against what it can read.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { Api, type Granted, makeRound } from '../support/api.ts'
import { KEYS, SOON_MS, startTestWorker } from '../support/engine.ts'
import { freePort, launchNode } from '../support/node-process.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'

const DECLARED = { FAIRGRAB_DURABILITY_DECLARED: 'yes' }

let redis: RedisProcess
let admin: Redis
beforeAll(async () => {
  const port = await freePort()
  redis = await startLocalRedis({ port, args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  admin = new Redis(redis.url)
})
afterAll(async () => {
  admin?.disconnect()
  await redis?.stop()
})

/** The address for a user of Redis who may not do what is named. */
async function urlWithout(rights: readonly string[]): Promise<string> {
  await admin.call('ACL', 'SETUSER', 'managed', 'reset', 'on', '>managed', '~*', '&*', '+@all', ...rights)
  return redis.url.replace('//', '//managed:managed@')
}

async function workerWithout(rights: readonly string[], settings: Readonly<Record<string, string>> = {}) {
  const url = await urlWithout(rights)
  const worker = await startTestWorker(
    url,
    { LOG_LEVEL: 'silent', FAIRGRAB_DURABILITY: 'always', ...settings },
    SOON_MS,
  )
  onTestFinished(() => worker.stop())
  return { worker, api: new Api(worker.url, KEYS.operator) }
}

interface Ready {
  readonly ready: boolean
  readonly durability: string
  readonly declared?: true
  readonly problems: readonly { what: string; mend: string }[]
  readonly warnings: readonly { what: string; mend: string }[]
}
const readiness = async (api: Api) => (await api.get<Ready>('/readyz?verbose')).body

test('what cannot be read is no level: nothing is granted until an operator declares it', async () => {
  const { api } = await workerWithout(['-config'])
  const found = await readiness(api)
  expect(found).toMatchObject({ ready: false, durability: 'always' })
  expect(found.problems).toEqual([
    {
      what: 'the level always cannot be verified: CONFIG GET does not give appendfsync, no-appendfsync-on-rewrite',
      mend: 'allow +config|get to its user, or, where its provider promises the level, set FAIRGRAB_DURABILITY_DECLARED=yes',
    },
  ])
  const round = await makeRound(api, { stock: 5 })
  expect((await api.post(`/v1/rounds/${round.id}/claims`, { user_id: 'u1' })).body).toMatchObject({ code: 'fenced' })
})

test('a declared level grants, and says so wherever it is said', async () => {
  const { api } = await workerWithout(['-config', '-@dangerous', '+info', '+role'], DECLARED)
  const found = await readiness(api)
  expect(found).toMatchObject({ ready: true, durability: 'always', declared: true, problems: [] })
  expect(found.warnings.map(({ what }) => what)).toContain(
    'the level always is declared, not verified: CONFIG GET does not give appendfsync, no-appendfsync-on-rewrite',
  )
  const round = await makeRound(api, { stock: 5 })
  const path = `/v1/rounds/${round.id}/claims`
  expect((await api.post<Granted>(path, { user_id: 'u1' })).status).toBe(201)
  const batch = await api.post(`${path}/batch?durability=true`, { claims: [{ user_id: 'u2' }] })
  const read = await api.get(`${path}/u1?durability=true`)
  for (const { body } of [batch, read]) expect(body).toMatchObject({ durability: 'always', declared: true })
})

test('a declaration changes nothing where the settings can be read, and nothing about what they say', async () => {
  const { api } = await workerWithout([], DECLARED)
  const sound = await readiness(api)
  expect([sound.ready, sound.declared]).toEqual([true, undefined])
  await admin.config('SET', 'appendfsync', 'everysec')
  onTestFinished(async () => void (await admin.config('SET', 'appendfsync', 'always')))
  await expect
    .poll(async () => (await readiness(api)).problems.map(({ what }) => what))
    .toEqual(['appendfsync is everysec, the level is always'])
  const { api: hidden } = await workerWithout(['-config'], DECLARED)
  await admin.config('SET', 'appendonly', 'no')
  onTestFinished(async () => void (await admin.config('SET', 'appendonly', 'yes')))
  await expect
    .poll(async () => (await readiness(hidden)).problems.map(({ what }) => what))
    .toEqual(['persistence is off: grants would not survive at the level always'])
})

test('who may not subscribe is told that the stock of other nodes stays old, until they may', async () => {
  const { api } = await workerWithout(['-psubscribe'])
  const warned = async () =>
    (await readiness(api)).warnings.some(({ what }) => what.startsWith('what other nodes grant'))
  await expect.poll(warned).toBe(true)
  expect((await readiness(api)).ready).toBe(true)
  await admin.call('ACL', 'SETUSER', 'managed', '+psubscribe')
  await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
  await expect.poll(warned, { timeout: 20_000 }).toBe(false)
})

test('at memory only the policy of evictions is asked for, which INFO gives', async () => {
  await admin.flushall()
  const { api } = await workerWithout(['-config'], { FAIRGRAB_DURABILITY: 'memory' })
  expect(await readiness(api)).toMatchObject({ ready: true, durability: 'memory', problems: [] })
})

/** The server behind a way on which a word is never in what it says, as a provider leaves lines out of INFO. */
async function without(word: string): Promise<string> {
  const { port } = new URL(redis.url)
  const hidden = createServer(client => {
    const server = connect(Number(port), '127.0.0.1')
    for (const socket of [client, server]) socket.on('error', () => socket.destroy())
    client.pipe(server)
    server.on('data', bytes =>
      client.write(bytes.toString('latin1').replaceAll(word, 'x'.repeat(word.length)), 'latin1'),
    )
    server.on('end', () => client.end())
  }).listen(0, '127.0.0.1')
  await once(hidden, 'listening')
  onTestFinished(() => void hidden.close())
  return `redis://127.0.0.1:${(hidden.address() as AddressInfo).port}`
}

test('what INFO leaves out is no level either, and no right of ours would show it', async () => {
  await admin.flushall()
  const url = await without('aof_enabled')
  const start = async (settings: Readonly<Record<string, string>>) => {
    const level = { FAIRGRAB_DURABILITY: 'always', LOG_LEVEL: 'silent' }
    const worker = await startTestWorker(url, { ...level, ...settings }, SOON_MS)
    onTestFinished(() => worker.stop())
    return readiness(new Api(worker.url, KEYS.operator))
  }
  expect(await start({})).toMatchObject({
    ready: false,
    problems: [
      {
        what: 'the level always cannot be verified: INFO does not give aof_enabled',
        mend: 'have its provider show it, or, where it promises the level, set FAIRGRAB_DURABILITY_DECLARED=yes',
      },
    ],
  })
  expect(await start(DECLARED)).toMatchObject({ ready: true, declared: true, problems: [] })
})

test('without the right to INFO no declaration helps: a start waits, and says which right it lacks', async () => {
  const node = await launchNode({ REDIS_URL: await urlWithout(['-info']), LOG_LEVEL: 'warn', ...DECLARED })
  onTestFinished(async () => void (await node.stop()))
  await node.says(/allow \+info to the engine's user.*the start waits for Redis: .*'info' command/)
  expect(await node.terminate()).toBe(0)
})
