/**
 * A cluster that speaks TLS alone, with an authority of the operator's own, and asks for a certificate: an engine grants on every
 * shard, follows a slot that moves, hears of what others granted, and is examined over it; who is not trusted, on either
 * side, is not connected to.
 *
 * What one server does, and each wrong file, is in test/server/tls.test.ts.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { clusterSlotOf } from '../../engine/store/cluster/slot-table.ts'
import { roundState } from '../../engine/store/connection/keys.ts'
import { ROOT } from '../repo/tree.ts'
import { Api, type Granted, makeRound, type Round } from '../support/api.ts'
import { bareEnv } from '../support/bare-env.ts'
import { Certificates, shownWith } from '../support/certificates.ts'
import { KEYS, startTestWorker } from '../support/engine.ts'
import { launchNode } from '../support/node-process.ts'
import { type ClusterServer, RedisCluster } from '../support/redis-cluster.ts'
import { openStream } from '../support/stream-client.ts'

const ROUNDS_MAX = 60

const made = new Certificates()
const SHOWN = shownWith(made.filesOf('engine'))
let redis: RedisCluster
beforeAll(async () => {
  for (const name of ['ours', 'theirs']) made.authority(name)
  for (const name of ['server', 'engine']) made.certify(name, 'ours')
  made.certify('stranger', 'theirs')
  redis = await RedisCluster.open({ appendfsync: 'always', tls: made.filesOf('server') })
})
afterAll(async () => {
  await redis?.stop()
  made[Symbol.dispose]()
})

async function serve(): Promise<Api> {
  const worker = await startTestWorker(redis.url, { FAIRGRAB_DURABILITY: 'always', ...SHOWN })
  onTestFinished(() => worker.stop())
  return new Api(worker.url, KEYS.operator)
}

const claim = (api: Api, { id }: Round, user_id: string) => api.post<Granted>(`/v1/rounds/${id}/claims`, { user_id })
const ownerOf = ({ id }: Round): Promise<ClusterServer> => redis.ownerOf(roundState(id))

/** A round on each shard. */
async function roundEverywhere(api: Api): Promise<ReadonlyMap<ClusterServer, Round>> {
  const rounds = new Map<ClusterServer, Round>()
  for (let i = 0; i < ROUNDS_MAX && rounds.size < redis.primaries.length; i++) {
    const round = await makeRound(api, { stock: 10 })
    rounds.set(await ownerOf(round), round)
  }
  expect(rounds.size).toBe(redis.primaries.length)
  return rounds
}

test('claims go to every shard, and on to the server that a slot moved to; viewers see what another worker granted', async () => {
  const [here, there] = [await serve(), await serve()]
  const rounds = await roundEverywhere(here)
  for (const round of rounds.values()) expect((await claim(here, round, 'u1')).status).toBe(201)
  const [[from, round] = []] = [...rounds]
  if (!from || !round) throw new Error('no round was made')
  const to = redis.primaries.find(server => server !== from) as ClusterServer
  const watcher = await openStream(here.url)
  await watcher.ask({ op: 'subscribe', id: 1, topics: [`stock:${round.id}`] })
  expect((await claim(there, round, 'u2')).status).toBe(201)
  expect(await watcher.next(frame => frame.op === 'stock' && frame.granted === 2)).toMatchObject({ remaining: 8 })
  await redis.moveSlot(clusterSlotOf(roundState(round.id)), to)
  expect(await ownerOf(round)).toBe(to)
  expect((await claim(there, round, 'u3')).status).toBe(201)
  expect(await watcher.next(frame => frame.op === 'stock' && frame.granted === 3)).toMatchObject({ remaining: 7 })
  expect((await claim(here, round, 'u1')).body).toMatchObject({ claim: { sequence: 1 } })
  await watcher.close()
})

test('the doctor looks at every server, and its lines to type have the files', async () => {
  const [one] = redis.primaries as [ClusterServer]
  await one.admin.config('SET', 'appendfsync', 'everysec')
  onTestFinished(async () => void (await one.admin.config('SET', 'appendfsync', 'always')))
  const env = { ...bareEnv({ REDIS_URL: redis.url, FAIRGRAB_KEYS: `operator:${'k'.repeat(32)}` }), ...SHOWN }
  const { stdout } = spawnSync(process.execPath, [join(ROOT, 'engine/cli.ts'), 'doctor'], { env, encoding: 'utf8' })
  const { ca, cert, key } = made.filesOf('engine')
  const line = `-h 127.0.0.1 -p ${one.port} --tls --cacert ${ca} --cert ${cert} --key ${key} CONFIG SET appendfsync always`
  expect(stdout).toContain(`shard ${one.address}: appendfsync is everysec, the level is always`)
  expect(stdout).toContain(line)
  const [program, ...args] = `redis-cli ${line}`.split(' ')
  expect(spawnSync(program as string, args, { encoding: 'utf8' }).stdout).toBe('OK\n')
})

test.each([
  ['an authority that nobody named', {}, 'self.signed certificate|unable to (verify|get)'],
  ['another authority', { ca: 'theirs.pem' }, 'self.signed certificate|unable to (verify|get)'],
  ['no certificate', { ca: 'ours.pem' }, 'certificate required|ECONNRESET|[Cc]onnection is closed|socket'],
  [
    'a certificate of a stranger',
    { ca: 'ours.pem', cert: 'stranger.pem', key: 'stranger.key' },
    'unknown ca|ECONNRESET|[Cc]onnection is closed|socket',
  ],
] as const)('with %s nothing is connected to: the start waits and says why', async (_, files, why) => {
  const shown = shownWith(Object.fromEntries(Object.entries(files).map(([name, file]) => [name, made.file(file)])))
  const node = await launchNode({ REDIS_URL: redis.url, LOG_LEVEL: 'warn', ...shown })
  onTestFinished(async () => void (await node.stop()))
  await node.says(new RegExp(`the start waits for Redis: .*(${why})`))
  expect(await node.terminate()).toBe(0)
})
