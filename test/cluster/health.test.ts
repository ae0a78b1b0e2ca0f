/**
 * What the checks and the doctor say of a cluster: settings that break a level or stop more than they need to, by the address of
 * the server that has them, or once where all have them; and each finding with a line to type that leads to that server.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { realClock } from '../../engine/base/clock.ts'
import { realRandom } from '../../engine/base/random.ts'
import { clusterSlotOf } from '../../engine/store/cluster/slot-table.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import type { Damage } from '../../engine/store/data/round-store.ts'
import type { Durability } from '../../engine/store/server/health.ts'
import { openStore } from '../../engine/store/store.ts'
import { typed } from '../support/fairgrab.ts'
import { type ClusterServer, RedisCluster } from '../support/redis-cluster.ts'
import { ScriptRoom } from '../support/script-room.ts'

let redis: RedisCluster
let one: ClusterServer
beforeAll(async () => {
  redis = await RedisCluster.open({ appendfsync: 'always' })
  one = redis.primaries[0] as ClusterServer
})
afterAll(() => redis.stop())

/** Sets it back when the test is over. */
async function configure(server: ClusterServer, name: string, value: string): Promise<void> {
  const [, before] = (await server.admin.config('GET', name)) as string[]
  await server.admin.config('SET', name, value)
  onTestFinished(async () => void (await server.admin.config('SET', name, before as string)))
}

async function healthOf(durability: Durability, replicas = 0) {
  const store = openStore({ url: redis.url, durability, replicas, clock: realClock, random: realRandom })
  const { problems, damages = [], warnings } = await store.health().finally(() => store.close())
  return { problems, damages, warnings }
}
const whats = (findings: readonly { what: string }[]) => findings.map(({ what }) => what)

test('a sound cluster has no problem', async () => {
  expect(await healthOf('always')).toMatchObject({ problems: [], damages: [] })
})

test('what one server has is named by its address, what all have is said once', async () => {
  await configure(one, 'cluster-require-full-coverage', 'yes')
  for (const server of redis.primaries) await configure(server, 'cluster-node-timeout', '15000')
  const warnings = whats((await healthOf('always')).warnings)
  expect(warnings).toContain(
    `shard ${one.address}: cluster-require-full-coverage is yes: a shard that is away stops every round`,
  )
  // The line to type leads there.
  const { warnings: found } = await healthOf('always')
  expect(found.find(({ what }) => what.includes('full-coverage'))?.mend).toMatch(
    `redis-cli -h 127.0.0.1 -p ${one.port} CONFIG SET cluster-require-full-coverage no`,
  )
  expect(warnings.filter(what => what.includes('cluster-node-timeout'))).toEqual([
    'cluster-node-timeout is 15000 ms: so long and longer the rounds of a lost primary stand still',
  ])
})

test('a setting that breaks the level stops the rounds of its shard, and everything where all shards have it', async () => {
  await configure(one, 'appendfsync', 'everysec')
  const { problems, damages } = await healthOf('always')
  expect([problems, whats(damages)]).toEqual([
    [],
    [`shard ${one.address}: appendfsync is everysec, the level is always`],
  ])
  for (const server of redis.primaries.slice(1)) await configure(server, 'appendfsync', 'everysec')
  const all = await healthOf('always')
  expect([whats(all.problems), all.damages]).toEqual([['appendfsync is everysec, the level is always'], []])
})

test.each(['always', 'replicated'] as const)(
  'at %s, a server whose memory is used up is named, with what helps',
  async level => {
    await configure(one, 'maxmemory', '1')
    const { problems, damages } = await healthOf(level, level === 'replicated' ? 1 : 0)
    const found = [...problems, ...damages].filter(({ what }) => what.includes(one.address))
    expect(found).toEqual([
      {
        what: expect.stringMatching(/^shard \S+: maxmemory is reached \(\d+ bytes of 1\): every write is refused/),
        mend: expect.stringMatching(
          `^raise maxmemory \\(redis-cli -h 127.0.0.1 -p ${one.port} CONFIG SET maxmemory BYTES\\)`,
        ),
      },
    ])
  },
)

test('at replicated, replicas that move between shards are a problem, and so are missing ones', async () => {
  await configure(one, 'cluster-allow-replica-migration', 'yes')
  const { problems } = await healthOf('replicated', 1)
  expect(whats(problems)).toEqual([
    '0 of 1 replicas confirm a write: it would not survive at the level replicated',
    `shard ${one.address}: cluster-allow-replica-migration is yes: a replica of another shard that nobody counts could be promoted, the level is replicated`,
  ])
})

test('the doctor looks at every server, and its lines lead to the one that has it, or to all', async () => {
  await configure(one, 'appendfsync', 'everysec')
  await configure(one, 'cluster-require-full-coverage', 'yes')
  for (const server of redis.primaries) await configure(server, 'cluster-node-timeout', '15000')
  const env = { REDIS_URL: redis.url, FAIRGRAB_KEYS: `operator:${'k'.repeat(32)}` }
  const { code, out: stdout } = await typed(['doctor'], env)
  expect(code).toBe(1)
  const cli = `redis-cli -h 127.0.0.1 -p ${one.port} CONFIG SET`
  expect(stdout).toContain(`${cli} appendfsync always`)
  expect(stdout).toContain(`${cli} cluster-require-full-coverage no`)
  expect(stdout).toContain(`redis-cli --cluster call ${one.address} CONFIG SET cluster-node-timeout 5000`)
  expect(stdout.match(/the engine is the default user/g)).toHaveLength(1)
})

async function doctor(url: string, settings: Readonly<Record<string, string>> = {}) {
  const env = { REDIS_URL: url, FAIRGRAB_KEYS: `operator:${'k'.repeat(32)}`, ...settings }
  const { code, out: stdout } = await typed(['doctor', '--rounds'], env)
  return { code, stdout }
}

test('the doctor names a server that does not answer, asks a living one about it, and looks at all others', async () => {
  await configure(one, 'appendfsync', 'everysec')
  const owner = await redis.ownerOf(keys.rounds())
  const silent = redis.primaries.find(each => each !== one && each !== owner) as ClusterServer
  await silent.redis.kill('SIGSTOP')
  onTestFinished(() => silent.redis.kill('SIGCONT'))
  const { code, stdout } = await doctor(redis.url)
  expect(code).toBe(1)
  expect(stdout).toContain(`shard ${silent.address}: it does not answer`)
  expect(stdout).toMatch(new RegExp(`redis-cli -h 127.0.0.1 -p (?!${silent.port} )\\d+ CLUSTER NODES`))
  expect(stdout).toContain(`redis-cli -h 127.0.0.1 -p ${one.port} CONFIG SET appendfsync always`)
  expect(stdout.match(/the engine is the default user/g)).toHaveLength(2)
})

test('the doctor names the server that has another password', async () => {
  for (const { admin } of redis.primaries)
    await admin.call(
      'ACL',
      'SETUSER',
      'keyed',
      'reset',
      'on',
      admin === one.admin ? '>other' : '>same',
      '~*',
      '&*',
      '+@all',
    )
  const url = `redis+cluster://keyed:same@${(redis.primaries[1] as ClusterServer).address}`
  const { code, stdout } = await doctor(url)
  expect([code, stdout]).toEqual([
    1,
    expect.stringMatching(new RegExp(`shard ${one.address}: it does not answer: .*WRONGPASS.*\n.*its password`)),
  ])
})

test('a round whose slot moves key by key, or stays half moved, is no damaged round', async () => {
  const room = new ScriptRoom(redis.url, 0)
  onTestFinished(() => room.link.close())
  const id = await room.newRound({ totals: [100] })
  await room.claim(id, ['ada', 'bea'])
  const from = await redis.ownerOf(keys.roundState(id))
  const to = redis.primaries.find(each => each !== from) as ClusterServer
  const found: Damage[] = []
  let looks = 0
  // Rounds of a script room are in no index by number, which is another matter.
  const look = async () => {
    const damage = await room.rounds.damage(id)
    looks++
    if (damage && !damage.isUnlisted) found.push(damage)
  }
  await redis.moveSlot(clusterSlotOf(keys.roundState(id)), to, look)
  await look()
  expect(looks).toBeGreaterThan(4)
  expect(found).toEqual([])
})

test('why nobody tells the table of slots is said, and with which server', async () => {
  await one.admin.call('ACL', 'SETUSER', 'blind', 'reset', 'on', '>blind', '~*', '&*', '+@all', '-cluster|slots')
  const url = `redis+cluster://blind:blind@${one.address}`
  const store = openStore({ url, durability: 'memory', clock: realClock, random: realRandom })
  onTestFinished(() => store.close())
  await expect(store.health()).rejects.toThrow(`(${one.address}: NOPERM`)
})

test('who may not subscribe at a shard is told that the stock of other nodes stays old', async () => {
  for (const { admin } of redis.primaries)
    await admin.call('ACL', 'SETUSER', 'deaf', 'reset', 'on', '>deaf', '~*', '&*', '+@all', '-ssubscribe')
  const url = `redis+cluster://deaf:deaf@${one.address}`
  const store = openStore({ url, durability: 'memory', clock: realClock, random: realRandom })
  onTestFinished(() => store.close())
  const stop = store.listen({ received: () => {}, awaited: () => {}, gap: () => {} })
  onTestFinished(() => stop())
  store.follow('rnd_00000000000000aa')
  await expect
    .poll(async () => whats((await store.health()).warnings).join())
    .toContain('what other nodes grant is not shown')
})

test('a right that one server does not give is a problem of its shard, and says what helps; the others go on', async () => {
  for (const { admin } of redis.primaries)
    await admin.call('ACL', 'SETUSER', 'half', 'reset', 'on', '>half', '~*', '&*', '+@all')
  await one.admin.call('ACL', 'SETUSER', 'half', '-cluster|info')
  const url = `redis+cluster://half:half@${(redis.primaries[1] as ClusterServer).address}`
  const store = openStore({ url, durability: 'memory', clock: realClock, random: realRandom })
  onTestFinished(() => store.close())
  const { problems, damages = [] } = await store.health()
  expect(problems).toEqual([])
  expect(damages).toEqual([
    {
      what: expect.stringMatching(new RegExp(`^shard ${one.address}: it does not answer: .*NOPERM .*cluster\\|info`)),
      mend: expect.stringContaining('deploy/redis-users.conf'),
    },
  ])
})

/** The words that a shell makes of a line, without the program and what leads to a server. */
async function typedWords(line: string): Promise<readonly string[]> {
  const { stdout } = await promisify(execFile)('sh', ['-c', `printf '%s\\n' ${line}`])
  const words = stdout.trimEnd().split('\n')
  return words.slice(words.indexOf('ACL'))
}

test.each(['cluster|nodes', 'cluster|slots'])(
  'while it runs, the missing right +%s is a warning with the line to type',
  async right => {
    for (const { admin } of redis.primaries)
      await admin.call('ACL', 'SETUSER', 'part', 'reset', 'on', '>part', '~*', '&*', '+@all')
    const url = redis.url.replace('//', '//part:part@')
    const store = openStore({ url, durability: 'memory', clock: realClock, random: realRandom })
    onTestFinished(() => store.close())
    const lacks = async () => {
      const { problems, damages, warnings } = await store.health()
      expect([problems, damages]).toEqual([[], []])
      return warnings.filter(({ what }) => what.includes(right))
    }
    expect(await lacks()).toEqual([])
    const what = `the engine's user lacks +${right}`
    await one.admin.call('ACL', 'SETUSER', 'part', `-${right}`)
    const [finding] = await lacks()
    expect(finding?.what).toBe(`shard ${one.address}: ${what}`)
    expect(finding?.mend).toMatch(`redis-cli -h 127.0.0.1 -p ${one.port} ACL`)
    expect(await typedWords(finding?.mend ?? '')).toEqual(['ACL', 'SETUSER', 'part', `+${right}`])
    for (const { admin } of redis.primaries) await admin.call('ACL', 'SETUSER', 'part', `-${right}`)
    expect(whats(await lacks())).toEqual([what])
  },
)

test('what is wrong with one shard stops its rounds before the check has given up on another one', async () => {
  const silent = redis.primaries[1] as ClusterServer
  const store = openStore({ url: redis.url, durability: 'always', clock: realClock, random: realRandom })
  onTestFinished(() => store.close())
  await store.health()
  const roundOf = async (server: ClusterServer) => {
    for (let i = 0; ; i++) if ((await redis.ownerOf(keys.roundState(`rnd_${i}`))) === server) return `rnd_${i}`
  }
  const [broken, lost] = [await roundOf(one), await roundOf(silent)]
  await silent.redis.kill('SIGSTOP')
  onTestFinished(() => silent.redis.kill('SIGCONT'))
  await configure(one, 'appendfsync', 'no')
  const checking = store.health()
  const isStopped = (round: string) => store.isStopped?.(round)
  await expect.poll(() => isStopped(broken), { interval: 5, timeout: 5000 }).toBe(true)
  expect(isStopped(lost)).toBe(false)
  await checking
  expect([isStopped(broken), isStopped(lost)]).toEqual([true, true])
})

test('the doctor does not call a cluster away whose first named server is frozen, and names that one', async () => {
  const [first, second] = redis.primaries as [ClusterServer, ClusterServer]
  await configure(second, 'appendfsync', 'everysec')
  await first.redis.kill('SIGSTOP')
  onTestFinished(() => first.redis.kill('SIGCONT'))
  const { out } = await typed(['doctor'], { REDIS_URL: redis.url, FAIRGRAB_KEYS: `operator:${'k'.repeat(32)}` })
  expect(out).toContain(`shard ${first.address}: it does not answer`)
  expect(out).toContain(`redis-cli -h 127.0.0.1 -p ${second.port} CONFIG SET appendfsync always`)
  expect(out).not.toContain('npm start')
})
