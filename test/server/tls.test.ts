/**
 * A Redis that speaks TLS, with an authority of the operator's own, and asks for a certificate: the engine claims, tells stock and
 * is examined over it; what cannot be trusted is not connected to, and each wrong file is refused at the start by its setting.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { readConfig } from '../../engine/config.ts'
import { checkStart } from '../../engine/main/start-check.ts'
import { ROOT } from '../repo/tree.ts'
import { Api, type Granted, makeRound } from '../support/api.ts'
import { bareEnv } from '../support/bare-env.ts'
import { Certificates, servedWith, shownWith } from '../support/certificates.ts'
import { KEYS, startTestWorker } from '../support/engine.ts'
import { freePort, launchNode } from '../support/node-process.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'
import { openStream } from '../support/stream-client.ts'

const CLI = join(ROOT, 'engine/cli.ts')
const made = new Certificates()
const { file } = made

const SHOWN = shownWith(made.filesOf('engine'))
const { FAIRGRAB_REDIS_CA, ...CERTIFIED } = SHOWN as Record<'FAIRGRAB_REDIS_CA' | 'FAIRGRAB_REDIS_CERT', string>
const OWN = { FAIRGRAB_REDIS_CA }

let redis: RedisProcess
let url: string
beforeAll(async () => {
  for (const name of ['ours', 'theirs']) made.authority(name)
  for (const name of ['server', 'engine']) made.certify(name, 'ours')
  made.certify('stranger', 'theirs')
  const port = await freePort()
  redis = await startLocalRedis({ args: servedWith(port, made.filesOf('server')) })
  url = `rediss://127.0.0.1:${port}`
})
afterAll(async () => {
  await redis?.stop()
  made[Symbol.dispose]()
})

test('claims, stock and the doctor go over TLS with a certificate of our own', async () => {
  const settings = { FAIRGRAB_DURABILITY: 'always', ...SHOWN }
  const worker = await startTestWorker(url, settings)
  onTestFinished(() => worker.stop())
  const api = new Api(worker.url, KEYS.operator)
  const round = await makeRound(api, { stock: 3 })
  const watcher = await openStream(worker.url)
  await watcher.ask({ op: 'subscribe', id: 1, topics: [`stock:${round.id}`] })
  // By another worker, so that its events come here over TLS, too.
  const other = await startTestWorker(url, settings)
  onTestFinished(() => other.stop())
  const claimed = await new Api(other.url, KEYS.operator).post<Granted>(`/v1/rounds/${round.id}/claims`, {
    user_id: 'u1',
  })
  expect(claimed.status).toBe(201)
  expect(await watcher.next(frame => frame.op === 'stock' && frame.granted === 1)).toMatchObject({ remaining: 2 })
  await watcher.close()
  const env = { ...bareEnv({ REDIS_URL: url, FAIRGRAB_KEYS: `operator:${'k'.repeat(32)}` }), ...SHOWN }
  const { stdout } = spawnSync(process.execPath, [CLI, 'doctor'], { env, encoding: 'utf8' })
  expect(stdout).toMatch(/[✓!] Redis/)
  expect(stdout).not.toMatch(/✗ Redis/)
})

/** What is shown, and what a start then says of it. */
const UNTRUSTED: readonly (readonly [settings: Readonly<Record<string, string>>, why: string])[] = [
  [{}, 'self.signed certificate|unable to (verify|get)'],
  [{ FAIRGRAB_REDIS_CA: file('theirs.pem') }, 'self.signed certificate|unable to (verify|get)'],
  [OWN, 'certificate required|ECONNRESET|[Cc]onnection is closed|socket'],
  [
    { ...OWN, FAIRGRAB_REDIS_CERT: file('stranger.pem'), FAIRGRAB_REDIS_KEY: file('stranger.key') },
    'unknown ca|ECONNRESET|[Cc]onnection is closed|socket',
  ],
]

test('who is not trusted, on either side, is not connected to: the start waits and says why', async () => {
  const ended = UNTRUSTED.map(async ([settings, why]) => {
    const node = await launchNode({ REDIS_URL: url, LOG_LEVEL: 'warn', ...settings })
    onTestFinished(async () => void (await node.stop()))
    await node.says(new RegExp(`the start waits for Redis: .*(${why})`))
    return node.terminate()
  })
  expect(await Promise.all(ended)).toEqual([0, 0, 0, 0])
})

describe('files that cannot be used are refused by their setting', () => {
  const refused = (settings: Readonly<Record<string, string>>, address = 'rediss://host') => {
    const config = readConfig({ REDIS_URL: address, FAIRGRAB_KEYS: `operator:${KEYS.operator}`, ...settings })
    return () => checkStart(config)
  }

  test.each([
    [OWN, 'redis://host', 'FAIRGRAB_REDIS_CA is set and REDIS_URL is no rediss:// address'],
    [OWN, 'redis+cluster://host', 'FAIRGRAB_REDIS_CA is set and REDIS_URL is no rediss:// address'],
    [CERTIFIED, '', 'FAIRGRAB_REDIS_CERT is set and REDIS_URL is no rediss:// address'],
    [
      { FAIRGRAB_REDIS_KEY: file('engine.key') },
      undefined,
      'FAIRGRAB_REDIS_CERT and FAIRGRAB_REDIS_KEY belong together',
    ],
    [{ FAIRGRAB_REDIS_CA: file('nowhere') }, undefined, 'FAIRGRAB_REDIS_CA: ENOENT'],
    [{ FAIRGRAB_REDIS_CA: file('engine.key') }, undefined, 'holds no certificate in PEM'],
    [
      { FAIRGRAB_REDIS_CERT: file('engine.pem'), FAIRGRAB_REDIS_KEY: file('ours.pem') },
      undefined,
      'holds no private key in PEM',
    ],
    [
      { FAIRGRAB_REDIS_CERT: file('engine.pem'), FAIRGRAB_REDIS_KEY: file('server.key') },
      undefined,
      'is the key that of the certificate?',
    ],
  ])('%j at %s', (settings, address, why) => {
    expect(refused(settings as Readonly<Record<string, string>>, address)).toThrow(why)
  })

  test('good ones are taken, for one server and for a cluster', () => {
    for (const address of ['rediss://host', 'rediss+cluster://host'])
      expect(refused({ ...SHOWN }, address)).not.toThrow()
  })
})
