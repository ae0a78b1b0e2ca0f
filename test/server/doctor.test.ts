/**
 * `fairgrab doctor` as a person runs it, on a sound Redis and on sick ones; and the engine under the user that
 * deploy/redis-users.conf gives it, from a claim to a redemption.
 *
 * The command runs in a process of its own, since its exit code is half of its answer. The user's rights are tried by
 * the engine itself, once for everything it does; what he must not do is tried over his own connection, and has to
 * be refused by Redis and not by us.
 */

import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { realClock } from '../../engine/base/clock.ts'
import type { Finding } from '../../engine/base/finding.ts'
import { realRandom } from '../../engine/base/random.ts'
import { verifyBinary } from '../../engine/server/http/binary.ts'
import { allChannels, everything, roundState } from '../../engine/store/connection/keys.ts'
import { dialRedis } from '../../engine/store/connection/line.ts'
import { Link } from '../../engine/store/connection/link.ts'
import { DANGEROUS, diagnose } from '../../engine/store/server/diagnosis.ts'
import { FLAWS, FLAWS_AS_OF, flawsOf } from '../../engine/store/server/known-flaws.ts'
import { ROOT } from '../repo/tree.ts'
import { Api, type Granted, makeRound } from '../support/api.ts'
import { follow, startCopy, synced } from '../support/copies.ts'
import { Crowd, openRound } from '../support/crowd.ts'
import { KEYS, SOON_MS, startTestWorker } from '../support/engine.ts'
import { typed } from '../support/fairgrab.ts'
import { HandClock } from '../support/hand-clock.ts'
import { freePort, startNodeProcess } from '../support/node-process.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'
import { openStream } from '../support/stream-client.ts'

const PASSWORD = 'change-this-password'

let redis: RedisProcess
let admin: Redis
let port: number
let url: string
beforeAll(async () => {
  port = await freePort()
  redis = await startLocalRedis({ port, args: ['--include', join(ROOT, 'deploy/redis-users.conf')] })
  admin = new Redis({ port })
  url = `redis://fairgrab:${PASSWORD}@127.0.0.1:${port}`
})
afterAll(async () => {
  admin.disconnect()
  await redis.stop()
})

interface Told {
  readonly sound: boolean
  readonly parts: readonly {
    readonly part: string
    readonly problems: readonly Finding[]
    readonly warnings: readonly Finding[]
  }[]
}

async function doctor(settings: Readonly<Record<string, string>>, args: readonly string[] = ['--json']) {
  const { code, out: stdout } = await typed(['doctor', ...args], settings)
  const told = args.includes('--json') ? (JSON.parse(stdout) as Told) : undefined
  for (const { problems, warnings } of told?.parts ?? [])
    for (const finding of [...problems, ...warnings])
      expect(finding).toEqual({ what: expect.stringMatching(/\w{3}/), mend: expect.stringMatching(/\w{3}/) })
  return { code, stdout, told }
}

const warningsOf = (told: Told | undefined) => told?.parts.flatMap(({ warnings }) => warnings) ?? []
const problemsOf = (told: Told | undefined) => JSON.stringify(told?.parts.flatMap(({ problems }) => problems))

test('a sound Redis under its own user: exit 0, no problem, no word about his rights', async () => {
  const { code, told } = await doctor({ REDIS_URL: url }, ['--json', '--rounds'])
  expect([code, told?.sound, problemsOf(told)]).toEqual([0, true, '[]'])
  expect(told?.parts.map(({ part }) => part)).toContain('rounds')
  expect(JSON.stringify(told)).not.toMatch(/may do everything|may FLUSHALL/)
})

test('the default user, and a user who may flush, are reported', async () => {
  const { code, told } = await doctor({ REDIS_URL: `redis://127.0.0.1:${port}` })
  expect([code, JSON.stringify(told)]).toEqual([
    0,
    expect.stringContaining('default user, who may do everything and has no password'),
  ])
  await admin.acl('SETUSER', 'careless', 'on', '>x', '~*', '&*', '+@all')
  const careless = await doctor({ REDIS_URL: `redis://careless:x@127.0.0.1:${port}` })
  expect(JSON.stringify(careless.told)).toMatch(/careless may FLUSHALL, KEYS \*, CONFIG SET/)
})

test.each([
  [['CONFIG', 'SET', 'appendfsync', 'everysec'], ['CONFIG', 'SET', 'appendfsync', 'always'], /appendfsync is everysec/],
  [['ACL', 'SETUSER', 'fairgrab', '-wait'], ['ACL', 'SETUSER', 'fairgrab', '+wait'], /lacks \+wait/],
  [
    ['ACL', 'SETUSER', 'fairgrab', 'resetchannels', `&${everything()}`],
    ['ACL', 'SETUSER', 'fairgrab', `&${allChannels()}`],
    /lacks \+psubscribe &/,
  ],
  [['ACL', 'SETUSER', 'fairgrab', '-publish'], ['ACL', 'SETUSER', 'fairgrab', '+publish'], /lacks \+publish/],
] as const)('sick: %j', async ([command, ...words], [mending, ...fixedIn], finding) => {
  await admin.call(command, ...words)
  const { code, told } = await doctor({ REDIS_URL: url })
  await admin.call(mending, ...fixedIn)
  expect([code, told?.sound, problemsOf(told)]).toEqual([1, false, expect.stringMatching(finding)])
})

test.each([
  [{ FAIRGRAB_DURABILITY: 'fsync' }, /settings[\s\S]*is not one of/],
  [
    { FAIRGRAB_DATA_DIR: '/nowhere', FAIRGRAB_KEYS: 'operator:short-key', FAIRGRAB_SOCKETS: '1000000' },
    /! keys\n {4}1 API keys have fewer than 32 characters\n {6}→ openssl rand -hex 32[\s\S]*! open files\n.*accepts 1000000 sockets\n {6}→ ulimit -n[\s\S]*✗ disk[\s\S]*✗ Redis[\s\S]*→ start it/,
  ],
])('%o is reported with what to do, exit 1', async (settings, words) => {
  const { code, stdout } = await doctor(settings, [])
  expect([code, stdout]).toEqual([1, expect.stringMatching(words)])
})

test('what opens the server to others is reported with what to do: debug, modules, no protection, a clock apart', async () => {
  await using open = await startLocalRedis({
    args: ['--enable-debug-command', 'yes', '--enable-module-command', 'yes', '--protected-mode', 'no'],
  })
  const link = new Link({ url: open.url, scripts: {}, clock: realClock, random: realRandom })
  const { problems, warnings } = await diagnose(link, {
    level: 'always',
    clock: new HandClock(),
    dial: dialRedis,
    cliOf: String,
    fixOf: String,
  })
  await link.close()
  const told = warnings.map(({ what }) => what).join('\n')
  for (const what of [
    /default user/,
    /protected-mode is no/,
    /enable-debug-command is yes/,
    /enable-module-command is/,
  ])
    expect(told).toMatch(what)
  expect(problems).toEqual([
    { what: expect.stringMatching(/Redis's clock is \d+ ms/), mend: expect.stringMatching(/chrony/) },
  ])
  for (const { mend } of warnings) expect(mend).toMatch(/redis-users\.conf|redis\.conf/)
  // Where the default user has no password, that would refuse everybody on another machine, the engine among them.
  expect(JSON.stringify(warnings)).not.toContain('protected-mode yes')
})

test('a server whose default user has a password needs no protected mode', async () => {
  const port = await freePort()
  await using closed = await startLocalRedis({ port, args: ['--protected-mode', 'no', '--requirepass', 'a-password'] })
  const { told } = await doctor({ REDIS_URL: `redis://:a-password@127.0.0.1:${port}` })
  expect([JSON.stringify(told), closed.url]).toEqual([
    expect.stringMatching(/^(?!.*protected-mode).*the engine is the default user, who may do everything"/),
    expect.anything(),
  ])
})

test('a replica whose settings would break the level once it is promoted is named, and so is one that cannot be asked', async () => {
  await using primary = await startCopy(['--appendonly', 'yes'])
  await using weak = await startCopy()
  await using sound = await startCopy(['--appendonly', 'yes'])
  for (const copy of [weak, sound]) await follow(copy, primary)
  await synced(primary, 2)
  await weak.admin.config('SET', 'appendfsync', 'everysec')
  await weak.admin.config('SET', 'appendonly', 'no')
  const settings = {
    REDIS_URL: `redis://127.0.0.1:${primary.port}/2`,
    FAIRGRAB_DURABILITY: 'replicated',
    FAIRGRAB_REPLICAS: '2',
  }
  const { code, told } = await doctor(settings)
  const [name, cli] = [`replica 127.0.0.1:${weak.port}: `, `redis-cli -h 127.0.0.1 -p ${weak.port} CONFIG SET`]
  const later = '; once it is promoted, grants stop until that is corrected'
  expect([code, warningsOf(told).filter(({ what }) => what.startsWith('replica '))]).toEqual([
    0,
    [
      {
        what: `${name}persistence is off: grants would not survive at the level replicated${later}`,
        mend: expect.stringContaining(`${cli} appendonly yes`),
      },
      {
        what: `${name}appendfsync is everysec, the level is replicated${later}`,
        mend: expect.stringContaining(`${cli} appendfsync always`),
      },
    ],
  ])
  await weak.admin.config('SET', 'requirepass', 'another-one')
  const refused = await doctor(settings)
  expect([refused.code, problemsOf(refused.told)]).toEqual([
    1,
    expect.stringMatching(new RegExp(`replica 127.0.0.1:${weak.port} refuses the engine's user: NOAUTH.*redis-users`)),
  ])
  await weak.redis.kill('SIGSTOP')
  const silent = warningsOf((await doctor(settings)).told).find(({ what }) => what.includes(String(weak.port)))
  await weak.redis.kill('SIGCONT')
  expect(silent?.what).toMatch(/cannot be asked from here, .*silent/)
})

test('a Redis that nodes agreed nothing on is new or was emptied, and a round without its state is told its way back', async () => {
  await using other = await startLocalRedis({ appendfsync: 'no' })
  const settings = { REDIS_URL: other.url, FAIRGRAB_DURABILITY: 'memory' }
  const said = async () => (await doctor(settings, ['--rounds'])).stdout
  expect(await said()).toMatch(/! agreement\n {4}no node .* this Redis: it is new, or it was emptied\n {6}→ .*backup/)
  const worker = await startTestWorker(other.url, { FAIRGRAB_DURABILITY: 'memory' })
  const api = new Api(worker.url, KEYS.operator)
  const [whole, lost] = [await makeRound(api), await makeRound(api)]
  const client = new Redis(other.url.replace('unix://', ''))
  await client.del(roundState(lost.id))
  await client.hset(roundState(whole.id), 'sequence', 5)
  const told = await said()
  client.disconnect()
  await worker.stop()
  expect(told).toContain('✓ agreement')
  const [, rounds = ''] = told.split('✗ rounds')
  expect(rounds).toMatch(new RegExp(`round ${lost.id}: the state is missing\n {6}→ restore its keys from a backup`))
})

test('a line that mends Redis leads to the Redis that was asked, and has no password', async () => {
  await admin.config('SET', 'maxmemory-policy', 'allkeys-lru')
  const { stdout } = await doctor({ REDIS_URL: url }, [])
  await admin.config('SET', 'maxmemory-policy', 'noeviction')
  expect(stdout).toContain(`→ redis-cli -h 127.0.0.1 -p ${port} CONFIG SET maxmemory-policy noeviction`)
  expect(stdout).toContain('CONFIG SET maxmemory-policy noeviction # and write it into redis.conf')
  // Redis would write a second line of a user who is in an included file, and not start again.
  expect(stdout).not.toContain('REWRITE')
  expect(stdout).not.toContain(PASSWORD)
})

test('a word too many is a usage error', async () => {
  expect((await doctor({}, ['--json=1x'])).code).toBe(2)
})

/** A window from its first entry to its result; the operator ends it. */
async function drawOne(api: Api): Promise<void> {
  const drawn = await makeRound(api, { stock: 1, allocation: { mode: 'window', window_ms: 600_000 } })
  const { status } = await api.post(`/v1/rounds/${drawn.id}/claims`, { user_id: 'drawn' })
  expect(status).toBe(202)
  expect((await api.post(`/v1/rounds/${drawn.id}/close`)).status).toBe(200)
  await vi.waitUntil(async () => (await api.get(`/v1/rounds/${drawn.id}`)).body.state === 'drawn', {
    timeout: 60_000,
  })
  expect((await api.get(`/v1/rounds/${drawn.id}/draw/files/result.json`)).status).toBe(200)
}

test('the engine does all its work as its own user, and that user may do nothing else', async () => {
  await using node = await startNodeProcess({ REDIS_URL: url, LOG_LEVEL: 'warn' })
  const { id } = await openRound(node.url, 2000)
  using crowd = new Crowd({ url: node.url, roundId: id, people: 2500 })
  await crowd.ask()
  await crowd.askAgain()
  expect(await crowd.audit()).toEqual({ faults: [], granted: 2000, remaining: 0 })
  const api = new Api(node.url, KEYS.operator)
  const key = (name: string) => ({ 'idempotency-key': name })
  const round = await makeRound(api)
  const { body } = await api.post<Granted>(`/v1/rounds/${round.id}/claims`, { user_id: 'u' })
  const code = body.vouchers[0]?.code as string
  const order = { id: 'o', amount: 5000, currency: 'CNY' }
  const redeemed = await (async () => {
    await api.post(`/v1/vouchers/${code}/lock`, { order_id: 'o', ttl_s: 30 })
    return api.post('/v1/redemptions', { code, order, merchant_id: 'm1' }, key('a'))
  })()
  const statuses = [redeemed.status]
  const later = [
    [`/v1/redemptions/${redeemed.body.id}/reversals`, { type: 'full', reason: 'refund' }, key('b')],
    [
      `/v1/campaigns/${round.campaign_id}/settlements`,
      { business_date: new Date(Date.now() - 86_400_000).toISOString().slice(0, 10) },
      {},
    ],
    [`/v1/rounds/${round.id}/stock`, { add: 5 }, {}],
    [`/v1/rounds/${round.id}/pause`, {}, {}],
    [`/v1/rounds/${round.id}/close`, {}, {}],
  ] as const
  for (const [path, asked, headers] of later) statuses.push((await api.post(path, asked, headers)).status)
  for (const path of ['ledger', 'ledger/entries', 'report'])
    statuses.push((await api.get(`/v1/campaigns/${round.campaign_id}/${path}`)).status)
  expect(statuses.map(status => Math.floor(status / 100))).toEqual(statuses.map(() => 2))
  // The doctor is for nodes that serve, and must not end them.
  expect((await doctor({ REDIS_URL: url })).code).toBe(0)
  await drawOne(api)
  expect(node.words).not.toContain('a worker ended')
  expect(node.words).not.toContain('NOPERM')
  const user = new Redis(url)
  for (const [name = '', ...args] of DANGEROUS) {
    const words = `${name} ${args.join(' ')}`
    expect(await admin.call('ACL', 'DRYRUN', 'fairgrab', name, ...args), words).toMatch(/no permissions/)
    await expect(user.call(name, ...args), words).rejects.toThrow(/NOPERM|not allowed/)
  }
  user.disconnect()
})

test('as its own user a worker shows what another one grants, and has nothing to warn of', async () => {
  const start = async () => {
    const worker = await startTestWorker(url, { FAIRGRAB_DURABILITY: 'always' }, SOON_MS)
    onTestFinished(() => worker.stop())
    return new Api(worker.url, KEYS.operator)
  }
  const [one, other] = [await start(), await start()]
  const { id } = await makeRound(one)
  const watching = await openStream(other.url)
  onTestFinished(() => watching.close())
  await watching.ask({ op: 'subscribe', id: 1, topics: [`stock:${id}`] })
  const shown = watching.next(frame => frame.op === 'stock' && frame.granted === 1)
  await one.post(`/v1/rounds/${id}/claims`, { user_id: 'ada' })
  expect(await shown).toMatchObject({ granted: 1 })
  expect(JSON.stringify((await other.get('/readyz?verbose')).body)).not.toContain('is not shown here')
})

test('versions: the first sound release of a line has no finding, the one before it has', () => {
  for (const { cve, fixedIn } of FLAWS)
    for (const row of fixedIn) {
      const [server, version] = row.split(' ') as [string, string]
      const [major, minor, patch] = version.split('.').map(Number) as [number, number, number]
      const found = (at: number) => flawsOf(server, `${major}.${minor}.${at}`).some(({ what }) => what.includes(cve))
      expect([row, found(patch), found(patch - 1)]).toEqual([row, false, true])
    }
  for (const left of ['redis 7.0.15', 'redis 8.0.4', 'redis 5.0.14', 'valkey 7.0.0'])
    expect(flawsOf(...(left.split(' ') as [string, string]))[0]?.what).toMatch(/fixed by distributions only/)
  for (const young of ['redis 9.0.0', 'redis 8.12.0', 'valkey 9.2.0'])
    expect(flawsOf(...(young.split(' ') as [string, string]))).toEqual([])
  expect(
    FLAWS.map(({ published }) => published)
      .toSorted()
      .toReversed(),
  ).toEqual(FLAWS.map(({ published }) => published))
  expect(FLAWS_AS_OF).toBe(FLAWS[0]?.published)
})

test('the socket library is the reviewed one; another one stops the start', async () => {
  const { build, verified } = await verifyBinary()
  expect(verified).toBe(process.platform === 'linux' && process.arch === 'x64')
  await expect(verifyBinary({ [build]: '0'.repeat(64) })).rejects.toThrow(/SHA-256 [0-9a-f]{64}, reviewed was 0{64}/)
  expect(await verifyBinary({})).toEqual({ build, verified: false })
})
