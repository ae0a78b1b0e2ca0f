/**
 * Starting and stopping as the person at a terminal meets it: real processes, their exit codes, the last thing they say.
 *
 * What cannot start ends by itself, says why and what to do; what was asked to stop ends with all that it started; a data
 * folder has one owner, which a crash lets go; a Redis that was killed is started again on its log. Each start is bounded
 * in time by the test, because the fault that these tests came from was a start that hung.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { treeOf } from '../../bench/measure/process-cost.ts'
import { ROOT } from '../repo/tree.ts'
import { Api, type Granted, makeRound } from '../support/api.ts'
import { bareEnv } from '../support/bare-env.ts'
import { ENDS_WITHIN_MS, upEnds } from '../support/ended-start.ts'
import { KEYS, startTestWorker } from '../support/engine.ts'
import { fairgrab } from '../support/fairgrab.ts'
import { freePort, launchNode, startNodeProcess } from '../support/node-process.ts'
import { untilHolds } from '../support/polled.ts'
import { startLocalRedis } from '../support/redis.ts'

function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'fg-starting-'))
  onTestFinished(() => rm(dir, { recursive: true, force: true }))
  return dir
}

/** A link to a path, by default to one that is not there. */
function dangling(to = '/nowhere/at/all'): string {
  const path = join(folder(), 'data')
  symlinkSync(to, path)
  return path
}

const exists = (pid: number): boolean => existsSync(`/proc/${pid}`)

/** Resolves when none of these processes is there. */
const allGone = (pids: readonly number[]): Promise<void> => untilHolds(() => !pids.some(exists))

function says(child: ChildProcess, text: RegExp): Promise<string> {
  let words = ''
  return new Promise(done => {
    child.stdout?.on('data', (data: Buffer) => {
      words += data.toString('utf8')
      if (text.test(words)) done(words)
    })
  })
}

test('npm start: SIGTERM to npm ends the node and its Redis', async () => {
  const npm = spawn('npm', ['start', '--silent'], {
    cwd: ROOT,
    env: { ...bareEnv(), HOME: process.env.HOME, PORT: '0', FAIRGRAB_DATA_DIR: folder(), FAIRGRAB_WORKERS: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await says(npm, /fairgrab serves/)
  const pids = treeOf(npm.pid as number).map(({ pid }) => pid)
  expect(pids.length).toBeGreaterThan(3)
  npm.kill('SIGTERM')
  await allGone(pids)
})

test('an append only file that cannot be read ends the start with the reason and the mend', async () => {
  const dir = folder()
  const redis = await startLocalRedis({ dir })
  await redis.stop()
  const log = join(dir, 'appendonlydir')
  const file = readdirSync(log).find(name => name.endsWith('.incr.aof')) as string
  writeFileSync(join(log, file), '*3\r\n$3\r\nSET\r\nnonsense and more of it\r\n')
  const { code, words, ms } = await upEnds({ FAIRGRAB_DATA_DIR: dir })
  expect(words).toMatch(/Bad file format/)
  expect(words).toMatch(/redis-check-aof --fix/)
  expect(code).toBe(1)
  expect(ms).toBeLessThan(ENDS_WITHIN_MS)
})

test('a node whose secrets are all in files serves, and its workers read them, too', async () => {
  await using redis = await startLocalRedis()
  const dir = folder()
  const inFile = (name: string, text: string) => {
    writeFileSync(join(dir, name), `${text}\n`)
    return { [name]: '', [`${name}_FILE`]: join(dir, name) }
  }
  await using node = await startNodeProcess({
    ...inFile('REDIS_URL', redis.url),
    ...inFile('FAIRGRAB_KEYS', `operator:${KEYS.operator}`),
    ...inFile('FAIRGRAB_VOUCHER_SECRET', 'ab'.repeat(32)),
  })
  const { campaign_id } = await makeRound(new Api(node.url, KEYS.operator))
  expect(campaign_id).toMatch(/^cmp_/)
})

test('a data folder that is a file ends the start and is named', async () => {
  const file = join(folder(), 'data')
  writeFileSync(file, '')
  const { code, words, ms } = await upEnds({ FAIRGRAB_DATA_DIR: file })
  expect(words).toContain(`FAIRGRAB_DATA_DIR: "${file}" cannot be used as a folder`)
  expect(code).toBe(2)
  expect(ms).toBeLessThan(ENDS_WITHIN_MS)
})

test.each([
  ['a link that leads nowhere', () => dangling(), 'it is a link that leads nowhere'],
  ['below /proc', () => '/proc/fairgrab/data', 'ENOENT'],
  ['below /sys', () => '/sys/fairgrab', 'E[A-Z]+'],
  ['a link into /proc', () => dangling('/proc'), 'ENOENT'],
])('a data folder that cannot be made ends start and check at once, alike: %s', async (_, pathOf, why) => {
  const dir = pathOf()
  const message = new RegExp(`FAIRGRAB_DATA_DIR: "${dir}" cannot be used as a folder \\(${why}\\)`)
  const { code, words, ms } = await upEnds({ FAIRGRAB_DATA_DIR: dir })
  expect([code, words]).toEqual([2, expect.stringMatching(message)])
  expect(ms).toBeLessThan(ENDS_WITHIN_MS)
  const checked = await fairgrab('config check', { FAIRGRAB_DATA_DIR: dir })
  expect([checked.code, checked.err]).toEqual([2, expect.stringMatching(message)])
})

test('a check of the settings leaves nothing where the folder would be', async () => {
  const parent = folder()
  expect((await fairgrab('config check', { FAIRGRAB_DATA_DIR: join(parent, 'a', 'b') })).code).toBe(0)
  expect(readdirSync(parent)).toEqual([])
})

test('without a redis-server the start ends and says what to install', async () => {
  const { code, words, ms } = await upEnds({ FAIRGRAB_DATA_DIR: folder(), PATH: join(ROOT, 'docs') })
  expect(words).toMatch(/no redis-server on this machine: .*install.*REDIS_URL/)
  expect(code).toBe(1)
  expect(ms).toBeLessThan(ENDS_WITHIN_MS)
})

test.each([
  [
    { HOST: 'x86_64-conda-linux-gnu' },
    2,
    /^fairgrab: HOST: "x86_64-conda-linux-gnu" .* is no address of this machine/m,
  ],
  [{ REDIS_URL: 'http://127.0.0.1:6379' }, 2, /REDIS_URL: "http:" is not known/],
  [{ REDIS_URL: 'redis://:secret@part#two@127.0.0.1' }, 2, /REDIS_URL: .* write %23, %3F and %40/],
])('%o ends the start with its own name', async (settings, exit, message) => {
  const { code, words, ms } = await upEnds({ FAIRGRAB_DATA_DIR: folder(), ...settings })
  expect(words).toMatch(message)
  expect(words).not.toMatch(/secret|two@/)
  expect(code).toBe(exit)
  expect(ms).toBeLessThan(ENDS_WITHIN_MS)
})

test('a second start in a folder ends with 2 and names the owner; a crash of the owner frees the folder', async () => {
  await using node = await startNodeProcess()
  const second = await upEnds({ FAIRGRAB_DATA_DIR: node.dataDir })
  expect(second.code).toBe(2)
  expect(second.words).toContain(`belongs to another node that runs, process ${node.pid};`)
  expect((await fetch(`${node.url}/readyz`)).status).toBe(200)
  await node.killSupervisor()
  node.launch()
  await node.serves()
  expect((await fetch(`${node.url}/readyz`)).status).toBe(200)
})

test('a Redis that was killed is started again on its log, and grants go on', async () => {
  await using node = await startNodeProcess()
  const api = new Api(node.url, KEYS.operator)
  const { id } = await makeRound(api)
  const claim = (user_id: string) => api.post<Granted>(`/v1/rounds/${id}/claims`, { user_id })
  const { claim: first } = (await claim('ada')).body
  const supervisor = node.pid
  process.kill(node.redisPid as number, 'SIGKILL')
  let answer = await claim('bob')
  while (answer.status >= 500) answer = await claim('bob')
  expect(answer.status).toBe(201)
  expect((await claim('ada')).body).toMatchObject({ replayed: true, claim: first })
  expect(node.pid).toBe(supervisor)
  expect(node.words).toContain('started again on the same log')
  expect(await node.terminate()).toBe(0)
})

test('a start that waits for its Redis says so again and again, and SIGTERM ends it with 0', async () => {
  const node = await launchNode({ REDIS_URL: `redis://127.0.0.1:${await freePort()}` })
  onTestFinished(async () => void (await node.stop()))
  for (let i = 0; i < 2; i++) {
    await node.says(/the start waits for Redis: .*ECONNREFUSED/)
    if (i === 0) node.forgetWords()
  }
  const pids = treeOf(node.pid).map(({ pid }) => pid)
  expect(await node.terminate()).toBe(0)
  expect(node.words).not.toContain('the supervisor has ended')
  await allGone(pids)
})

test('a stop ends a worker that stands still', async () => {
  await using node = await startNodeProcess()
  const worker = treeOf(node.pid).find(({ name }) => name.startsWith('worker'))?.pid as number
  process.kill(worker, 'SIGSTOP')
  expect(await node.terminate()).toBe(0)
  expect(exists(worker)).toBe(false)
})

/** Resolves when a process has ended, whether its parent has looked after it or not. */
const ended = (pid: number): Promise<void> =>
  untilHolds(() => !exists(pid) || /^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8')))

/** Of so many some are gone before their supervisor has seen it. */
const MANY = 4

test('a worker that says why it cannot start, and is gone before it is spoken to, ends the start with its reason', async () => {
  await using redis = await startLocalRedis()
  const first = await startTestWorker(redis.url)
  onTestFinished(() => first.stop())
  const other = { FAIRGRAB_DURABILITY: 'everysec', FAIRGRAB_WORKERS: String(MANY), PORT: '0', REDIS_URL: redis.url }
  const child = spawn(process.execPath, [join(ROOT, 'engine/cli.ts'), 'up'], {
    env: bareEnv(other),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  let words = ''
  for (const output of [child.stdout, child.stderr])
    output.on('data', (data: Buffer) => {
      words += data.toString('utf8')
    })
  const closed = once(child, 'close')
  const workers = () => treeOf(child.pid as number).flatMap(({ name, pid }) => (name.startsWith('worker') ? [pid] : []))
  await untilHolds(() => workers().length >= MANY)
  const pids = workers()
  // Until the workers have ended their supervisor sees nothing: then what they said and their ends come together.
  child.kill('SIGSTOP')
  await Promise.all(pids.map(ended))
  child.kill('SIGCONT')
  const [code] = await closed
  expect([code, words]).toEqual([2, expect.stringContaining('FAIRGRAB_DURABILITY is everysec here')])
  expect(words).not.toMatch(/EPIPE|at .*supervisor/)
})

/** What a pod is given beside a Service called fairgrab. */
const OF_KUBERNETES = {
  FAIRGRAB_SERVICE_HOST: '10.0.0.7',
  FAIRGRAB_SERVICE_PORT: '8080',
  FAIRGRAB_SERVICE_PORT_HTTP: '8080',
  FAIRGRAB_PORT: 'tcp://10.0.0.7:8080',
  FAIRGRAB_PORT_8080_TCP: 'tcp://10.0.0.7:8080',
  FAIRGRAB_PORT_8080_TCP_ADDR: '10.0.0.7',
  FAIRGRAB_REDIS_PORT_6379_TCP_PROTO: 'tcp',
}

test('every address is both families, one of six is printed with brackets, and what Kubernetes sets is not taken for settings', async () => {
  const port = await freePort()
  await using node = await startNodeProcess({ PORT: String(port), HOST: '' })
  expect(node.words).toContain(`http://127.0.0.1:${port} `)
  for (const host of ['127.0.0.1', '[::1]']) expect((await fetch(`http://${host}:${port}/livez`)).status).toBe(200)
  await node.terminate()
  await using six = await startNodeProcess({ PORT: String(port), HOST: '::1', ...OF_KUBERNETES })
  expect(six.words).toContain(`http://[::1]:${port} `)
  for (const path of ['livez', 'readyz']) expect((await fetch(`http://[::1]:${port}/${path}`)).status).toBe(200)
  expect((await upEnds({ FAIRGRAB_PORT: '9000' })).words).toContain('did you mean')
})
