/**
 * The files of deploy/cluster at work, without Docker and Kubernetes: six real servers start with its redis.conf and its start.sh,
 * each on an address of its own of the loopback, make.sh makes the cluster, and the engine has nothing to say against it.
 *
 * Then all of them end at once and come back under other addresses, as the pods of a StatefulSet do: the cluster is whole again,
 * and who was granted is granted still. A server of your own starts with the same redis.conf as it is, and make.sh says for which server
 * it waits, and ends.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { Api, type Granted, makeRound } from '../support/api.ts'
import { KEYS, startNode } from '../support/engine.ts'
import { freePort } from '../support/node-process.ts'
import { findServer, watch } from '../support/redis.ts'
import { until } from '../support/redis-cluster.ts'

const PATIENCE_MS = 240_000
const FOLDER = fileURLToPath(new URL('../../deploy/cluster/', import.meta.url))
const SERVERS = 6
const LEVEL = { FAIRGRAB_DURABILITY: 'replicated', FAIRGRAB_REPLICAS: '1' }
const SECRETS = { FAIRGRAB_VOUCHER_SECRET: '1'.repeat(64), FAIRGRAB_DRAW_SECRET: '2'.repeat(64) }

const run = promisify(execFile)

/** Six servers with one port, each on an address of its own that changes when all are started again. */
class Deployed {
  readonly #folder = mkdtempSync(join(tmpdir(), 'fg-deployed-'))
  readonly #port: number
  readonly #busPort: number
  #children: ChildProcess[] = []
  #generation = 0

  constructor(port: number, busPort: number) {
    this.#port = port
    this.#busPort = busPort
  }

  get hosts(): string[] {
    return Array.from({ length: SERVERS }, (_, place) => `127.77.${this.#generation}.${place + 1}`)
  }

  get addresses(): string[] {
    return this.hosts.map(host => `${host}:${this.#port}`)
  }

  /** What redis-cli prints for a command to one server; empty while it does not answer. */
  async ask(host: string, ...command: string[]): Promise<string> {
    const { stdout } = await run('redis-cli', ['-h', host, '-p', String(this.#port), ...command]).catch(() => ({
      stdout: '',
    }))
    return stdout
  }

  start(): void {
    this.#generation++
    for (const [place, host] of this.hosts.entries()) {
      const data = join(this.#folder, `redis-${place}`)
      mkdirSync(data, { recursive: true })
      const own = { port: this.#port, bind: host }
      const conf = Object.entries(own).reduce(
        (text, [name, value]) => text.replace(new RegExp(`^${name} .*$`, 'm'), `${name} ${value}`),
        readFileSync(join(FOLDER, 'redis.conf'), 'utf8'),
      )
      writeFileSync(join(data, 'redis.conf'), `${conf}cluster-port ${this.#busPort}\n`)
      const env = { PATH: process.env.PATH, POD_IP: host, POD_HOST: host, REDIS_PORT: String(this.#port) }
      const paths = { REDIS_CONF: join(data, 'redis.conf'), REDIS_DATA: data, REDIS_BUS: String(this.#busPort) }
      const child = spawn('sh', [join(FOLDER, 'start.sh'), ...this.hosts], {
        env: { ...env, ...paths },
        stdio: ['ignore', 'ignore', 'inherit'],
        detached: true,
      })
      watch(child.pid as number, '')
      this.#children.push(child)
    }
  }

  /** Ends all servers at once, and what their starts left in the background. */
  async stop(): Promise<void> {
    const ended = this.#children.map(async child => {
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    })
    for (const { pid } of this.#children) process.kill(-(pid as number), 'SIGTERM')
    await Promise.all(ended)
    this.#children = []
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
    await rm(this.#folder, { recursive: true, force: true })
  }

  /** Resolves when each server calls the cluster whole, and each primary has its replica. */
  async whole(): Promise<void> {
    for (const host of this.hosts) {
      await until(async () => (await this.ask(host, 'CLUSTER', 'INFO')).includes('cluster_state:ok'))
      await until(async () =>
        /connected_slaves:1|master_link_status:up/.test(await this.ask(host, 'INFO', 'replication')),
      )
    }
  }
}

interface Health {
  readonly ready: boolean
  readonly problems: readonly object[]
  readonly warnings: readonly { readonly what: string }[]
}

/** The engine has nothing to say; what is known of this machine's version of Redis is not the files'. */
async function sound(api: Api): Promise<void> {
  const { ready, problems, warnings } = (await api.get<Health>('/readyz?verbose')).body
  expect([ready, problems, warnings.filter(({ what }) => !what.includes('CVE-'))]).toEqual([true, [], []])
}

test('six servers become a cluster that the engine calls sound, and are one again under other addresses', {
  timeout: PATIENCE_MS,
}, async () => {
  await using servers = new Deployed(await freePort(), await freePort())
  servers.start()
  const make = () => run('sh', [join(FOLDER, 'make.sh'), ...servers.addresses])
  expect((await make()).stdout).toContain('[OK] All 16384 slots covered.')
  expect((await make()).stdout).toBe('the cluster is made already\n')
  await servers.whole()

  const startEngine = async () => {
    const url = `redis+cluster://${servers.addresses.slice(0, 3).join(',')}`
    const node = await startNode({ REDIS_URL: url, ...LEVEL, ...SECRETS })
    onTestFinished(() => node.stop())
    return { node, api: new Api(node.url, KEYS.operator) }
  }
  const { node, api } = await startEngine()
  await sound(api)
  const round = await makeRound(api)
  const claim = (of: Api) => of.post<Granted>(`/v1/rounds/${round.id}/claims`, { user_id: 'ada' })
  expect((await claim(api)).body.claim.sequence).toBe(1)
  await node.stop()

  await servers.stop()
  servers.start()
  await servers.whole()
  const again = await startEngine()
  await sound(again.api)
  expect((await claim(again.api)).body).toMatchObject({ replayed: true, claim: { sequence: 1 } })
})

test('a server of your own starts with redis.conf as it is: port, folder and address stand behind it', async () => {
  const [port, data] = [String(await freePort()), mkdtempSync(join(tmpdir(), 'fg-own-'))]
  onTestFinished(() => rm(data, { recursive: true, force: true }))
  const own = ['--port', port, '--dir', data, '--bind', '127.0.0.1', '--cluster-port', String(await freePort())]
  const child = spawn(findServer(), [join(FOLDER, 'redis.conf'), ...own], { stdio: 'ignore' })
  watch(child.pid as number, '')
  const ended = once(child, 'exit')
  const ask = (...command: string[]) => run('redis-cli', ['-p', port, ...command]).catch(() => ({ stdout: '' }))
  await until(async () => child.exitCode !== null || (await ask('PING')).stdout === 'PONG\n')
  expect((await ask('CONFIG', 'GET', 'dir')).stdout).toBe(`dir\n${data}\n`)
  expect((await ask('CLUSTER', 'INFO')).stdout).toContain('cluster_known_nodes:1')
  child.kill()
  await ended
})

test('make.sh says for which server it waits, and ends when that one does not come', async () => {
  const [missing, env] = [`127.0.0.1:${await freePort()}`, { PATH: process.env.PATH, WAIT_S: '0' }]
  const ended = run('sh', [join(FOLDER, 'make.sh'), missing], { env })
  await expect(ended).rejects.toMatchObject({
    code: 1,
    stdout: expect.stringMatching(new RegExp(`^waiting for ${missing}: .*Connection refused\n$`)),
    stderr: expect.stringMatching(new RegExp(`^gave up on ${missing}: .*\nlook at the log of that server`)),
  })
})
