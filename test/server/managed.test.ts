/**
 * Servers that forbid a command, or have it no more, as managed ones do: what the engine cannot do without stops the grants before
 * anybody claims, and the checks, the start and the doctor name it and say what to type. Whatever else is forbidden (SCRIPT
 * FLUSH, DEBUG, WAIT where no replica is waited for) is not asked for.
 *
 * What cannot be read, and an operator's word for it, is in test/server/declared.test.ts.
 */
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { Api, type Granted, makeRound } from '../support/api.ts'
import { upEnds } from '../support/ended-start.ts'
import { KEYS, SOON_MS, startTestWorker } from '../support/engine.ts'
import { fairgrab } from '../support/fairgrab.ts'
import { freePort, launchNode } from '../support/node-process.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'

let redis: RedisProcess
let admin: Redis
beforeAll(async () => {
  const port = await freePort()
  redis = await startLocalRedis({ port })
  admin = new Redis(redis.url)
})
afterAll(async () => {
  admin?.disconnect()
  await redis?.stop()
})

const allow = (...rights: readonly string[]) =>
  admin.call('ACL', 'SETUSER', 'managed', 'reset', 'on', '>managed', '~*', '&*', '+@all', ...rights)
const url = () => redis.url.replace('//', '//managed:managed@')

async function serve(at = url(), settings: Readonly<Record<string, string>> = {}) {
  const worker = await startTestWorker(at, { LOG_LEVEL: 'silent', FAIRGRAB_DURABILITY: 'always', ...settings }, SOON_MS)
  onTestFinished(() => worker.stop())
  return new Api(worker.url, KEYS.operator)
}

interface Ready {
  readonly ready: boolean
  readonly declared?: true
  readonly problems: readonly { what: string; mend: string }[]
}
const readiness = async (api: Api) => (await api.get<Ready>('/readyz?verbose')).body

async function expectGrants(api: Api): Promise<void> {
  const round = await makeRound(api, { stock: 1 })
  expect((await api.post<Granted>(`/v1/rounds/${round.id}/claims`, { user_id: 'u1' })).status).toBe(201)
}

/** What the doctor says. */
async function doctor(at = url(), settings: Readonly<Record<string, string>> = {}): Promise<string> {
  return (await fairgrab('doctor', { REDIS_URL: at, FAIRGRAB_KEYS: `operator:${'k'.repeat(32)}`, ...settings })).out
}

test.each(['eval', 'evalsha', 'publish'])(
  'without %s no script runs: nothing is granted, until it is allowed',
  async command => {
    await allow(`-${command}`)
    const api = await serve()
    expect((await readiness(api)).problems).toEqual([
      {
        what: expect.stringMatching(new RegExp(`^the engine's user lacks \\+${command}( &\\S+)?$`)),
        mend: expect.stringMatching(new RegExp(`^redis-cli ACL SETUSER managed \\+${command}`)),
      },
    ])
    expect(await doctor()).toMatch(
      new RegExp(`✗ Redis\\n {4}the engine's user lacks \\+${command}.*\\n {6}→ redis-cli -h .* ACL`),
    )
    await allow()
    await expect.poll(async () => (await readiness(api)).ready).toBe(true)
    await expectGrants(api)
  },
)

test('what nobody needs who only grants may be forbidden: all of it at once', async () => {
  await allow('-script|flush', '-debug', '-wait', '-acl', '-client', '-script', '-keys', '-flushall', '-config|set')
  const api = await serve()
  expect(await readiness(api)).toMatchObject({ ready: true, problems: [] })
  await expectGrants(api)
})

test.each([
  ['info', /Redis cannot be reached \(NOPERM.*'info'.*\n {6}→ allow \+info to the engine's user/],
  ['role', /Redis cannot be reached \(NOPERM.*'role'.*\n {6}→ allow \+role to the engine's user/],
  ['time', /NOPERM.*'time'.*\n {6}→ allow \+time to the engine's user/],
  ['multi', /the engine's user lacks \+multi \+exec\n {6}→ redis-cli -h .* ACL SETUSER managed \+multi \+exec/],
  ['exec', /the engine's user lacks \+multi \+exec\n/],
  ['exists', /the engine's user lacks \+exists\n/],
  ['zremrangebyrank', /the engine's user lacks \+zremrangebyrank\n/],
])('the doctor names the right that is missing: %s', async (command, words) => {
  await allow(`-${command}`)
  expect(await doctor()).toMatch(words)
})

test('at the level that waits for replicas WAIT is needed: the start ends, and says what to allow', async () => {
  await using replica = await startLocalRedis({
    port: await freePort(),
    args: ['--replicaof', '127.0.0.1', new URL(redis.url).port, '--repl-diskless-sync-delay', '0'],
  })
  const settings = { FAIRGRAB_DURABILITY: 'replicated', FAIRGRAB_REPLICAS: '1' }
  await allow('-wait')
  await admin.flushall()
  await expect.poll(() => admin.wait(1, 1000), { timeout: 20_000 }).toBe(1)
  const { code, words } = await upEnds({ ...settings, REDIS_URL: url(), LOG_LEVEL: 'silent' })
  expect([code, words]).toEqual([
    1,
    expect.stringMatching(/fairgrab: .*NOPERM.*'wait' command; allow \+wait to the engine's/),
  ])
  expect(await doctor(url(), settings)).toMatch(/NOPERM.*'wait'.*\n {6}→ allow \+wait to the engine's user/)
  await allow()
  await expectGrants(await serve(url(), settings))
  expect(replica.pid).toBeGreaterThan(0)
})

test('rights are tried without a trace: a sound user lacks none, and no key but the small one is there', async () => {
  await allow()
  await admin.flushall()
  expect(await doctor()).not.toMatch(/lacks|cannot be reached/)
  expect(await admin.keys('*')).toEqual(expect.not.arrayContaining([expect.not.stringMatching(/-mark$/)]))
})

test('a command that the server no longer has: CONFIG is declared, one that is needed is named', async () => {
  const port = await freePort()
  await using renamed = await startLocalRedis({ port, args: ['--rename-command', 'CONFIG', ''] })
  const declared = await serve(renamed.url, { FAIRGRAB_DURABILITY_DECLARED: 'yes' })
  expect(await readiness(declared)).toMatchObject({ ready: true, declared: true, problems: [] })
  await expectGrants(declared)
  const bare = await serve(renamed.url)
  expect((await readiness(bare)).problems.map(({ what }) => what)).toEqual([
    'the level always cannot be verified: CONFIG GET does not give appendfsync, no-appendfsync-on-rewrite',
  ])
  // The doctor goes on to all else.
  const lacks = 'CONFIG GET does not give appendfsync, no-appendfsync-on-rewrite'
  const told = await doctor(renamed.url, { FAIRGRAB_DURABILITY_DECLARED: 'yes' })
  expect(told).toMatch('! Redis\n')
  expect(told).toContain(`the level always is declared, not verified: ${lacks}`)
  expect(told).toContain('the engine is the default user')
  const undeclared = await doctor(renamed.url)
  expect(undeclared).toContain(`✗ Redis\n    the level always cannot be verified: ${lacks}`)
  expect(undeclared).toContain('the engine is the default user')
  await using lacking = await startLocalRedis({ port: await freePort(), args: ['--rename-command', 'EVALSHA', ''] })
  const api = await serve(lacking.url)
  expect((await readiness(api)).problems).toEqual([
    {
      what: 'the server has no EVALSHA: it was renamed or taken away',
      mend: 'give it its name back, or use another server',
    },
  ])
  await using silent = await startLocalRedis({ port: await freePort(), args: ['--rename-command', 'ROLE', ''] })
  const node = await launchNode({ REDIS_URL: silent.url, LOG_LEVEL: 'warn' })
  onTestFinished(async () => void (await node.stop()))
  await node.says(/give ROLE back to the server.*the start waits for Redis: .*unknown command/)
  expect(await node.terminate()).toBe(0)
})
