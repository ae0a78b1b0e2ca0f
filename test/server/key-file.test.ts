/**
 * Keys in a file that changes while a node runs: those that came are good and those that went are nobody's on every worker, their
 * sockets are closed, no request is lost, and a file that is wrong changes nothing.
 */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { Api, makeRound } from '../support/api.ts'
import { KEYS } from '../support/engine.ts'
import { readMetrics, sumOf } from '../support/metrics.ts'
import { type NodeProcess, startNodeProcess } from '../support/node-process.ts'
import { openStream } from '../support/stream-client.ts'
import { userToken } from '../support/user-token.ts'

const [STAYS, GOES, COMES] = ['platform-that-stays', 'platform-that-goes', 'platform-that-comes']
const OPERATOR = `operator:${KEYS.operator}`
const BEFORE = `${OPERATOR},platform:${STAYS},platform:${GOES}`
const AFTER = `${OPERATOR},platform:${STAYS},platform:${COMES}`
/** So many connections that each of two workers has some. */
const ASKS = 20

function keyFile(keys: string) {
  const folder = mkdtempSync(join(tmpdir(), 'fg-key-file-'))
  const path = join(folder, 'keys')
  /** A new file in the place of the old one, as orchestrators do it. */
  const write = (text: string) => {
    writeFileSync(`${path}.new`, `${text}\n`)
    renameSync(`${path}.new`, path)
  }
  write(keys)
  return { path, write, remove: () => rmSync(folder, { recursive: true }) }
}

const nodeWith = (path: string, workers = '2'): Promise<NodeProcess> =>
  startNodeProcess({
    FAIRGRAB_KEYS: '',
    FAIRGRAB_KEYS_FILE: path,
    FAIRGRAB_WORKERS: workers,
    FAIRGRAB_DURABILITY: 'memory',
  })

/** What a key is answered on new connections, each status once. */
async function statusesOf(url: string, key: string): Promise<readonly number[]> {
  const asked = Array.from({ length: ASKS }, () =>
    fetch(`${url}/v1/rounds?limit=1`, { headers: { authorization: `Bearer ${key}`, connection: 'close' } }),
  )
  return [...new Set((await Promise.all(asked)).map(({ status }) => status))]
}

/** Whether the metrics say that the file is refused, and what the probe warns of. */
async function refusalsOf(url: string): Promise<readonly [number, readonly unknown[]]> {
  const api = new Api(url, KEYS.operator)
  const { warnings } = (await api.get<{ warnings: { what: string }[] }>('/readyz?verbose')).body
  const metrics = readMetrics((await api.get('/metrics')).bytes.toString())
  const said = warnings.map(({ what }) => what).filter(what => what.includes('FAIRGRAB_KEYS_FILE'))
  return [sumOf(metrics, 'fairgrab_keys_refused'), said]
}

const soon = { timeout: 20_000, interval: 50 }

const file = keyFile(BEFORE)
let node: NodeProcess
beforeAll(async () => {
  node = await nodeWith(file.path)
})
afterAll(async () => {
  await node?.stop()
  file.remove()
})

test('keys that change in the file hold on every worker, no request is lost, and the sockets of those that went are closed', async () => {
  const round = await makeRound(new Api(node.url, KEYS.operator), { stock: 100_000 })
  const streams = await Promise.all(
    [STAYS, GOES, undefined].map(credential => openStream(node.url, credential === undefined ? {} : { credential })),
  )
  const [stays, goes, nobody] = streams as [(typeof streams)[0], (typeof streams)[0], (typeof streams)[0]]
  const lost: unknown[] = []
  let [asked, isOver] = [0, false]
  const load = Array.from({ length: 4 }, async () => {
    while (!isOver) {
      const { status, body } = await new Api(node.url, STAYS).post(`/v1/rounds/${round.id}/claims`, {
        user_id: `u${asked++}`,
      })
      if (status !== 201) lost.push(body)
    }
  })
  expect(await statusesOf(node.url, COMES)).toEqual([401])
  file.write(AFTER)
  expect(await goes.closed).toBe(4401)
  await expect.poll(() => statusesOf(node.url, COMES), soon).toEqual([200])
  await expect.poll(() => statusesOf(node.url, GOES), soon).toEqual([401])
  isOver = true
  await Promise.all(load)
  expect([lost, asked > 0]).toEqual([[], true])
  for (const stream of [stays, nobody]) {
    expect(await stream.ask({ op: 'ping', id: 1 })).toMatchObject({ op: 'pong' })
    await stream.close()
  }
})

test('a key that becomes another role’s ends its sockets, and SIGHUP has the file read at once', async () => {
  file.write(BEFORE)
  process.kill(node.pid, 'SIGHUP')
  await expect.poll(() => statusesOf(node.url, GOES), soon).toEqual([200])
  const stream = await openStream(node.url, { credential: GOES })
  file.write(`${OPERATOR},viewer:${GOES}`)
  process.kill(node.pid, 'SIGHUP')
  expect(await stream.closed).toBe(4401)
  await expect.poll(() => statusesOf(node.url, STAYS), soon).toEqual([401])
  expect(await statusesOf(node.url, GOES)).toEqual([200])
  expect(await statusesOf(node.url, userToken('nobody'))).toEqual([401])
})

test('a file that is wrong changes nothing, is said without a key, and a worker that comes has the keys that are in force', async () => {
  const file = keyFile(BEFORE)
  onTestFinished(file.remove)
  // Alone, so that nobody else answers for it.
  await using node = await nodeWith(file.path, '1')
  file.write(`${AFTER},platform:short`)
  await node.says(/FAIRGRAB_KEYS_FILE: .*the key of entry 4 \(platform\) is shorter.*stay in force/)
  expect([await statusesOf(node.url, GOES), await statusesOf(node.url, COMES)]).toEqual([[200], [401]])
  await expect.poll(() => refusalsOf(node.url), soon).toEqual([1, [expect.stringContaining('entry 4')]])
  rmSync(file.path)
  await node.says(/FAIRGRAB_KEYS_FILE: .* cannot be read: ENOENT.*stay in force/)
  node.forgetWords()
  node.killWorker()
  await node.says(/a worker ended/)
  await expect.poll(() => statusesOf(node.url, GOES).catch(() => []), soon).toEqual([200])
  await expect.poll(() => refusalsOf(node.url), soon).toEqual([1, [expect.stringContaining('ENOENT')]])
  file.write(AFTER)
  await expect.poll(() => statusesOf(node.url, COMES).catch(() => []), soon).toEqual([200])
  await expect.poll(() => refusalsOf(node.url), soon).toEqual([0, []])
  await node.says(/FAIRGRAB_KEYS_FILE: the file is sound again/)
  node.forgetWords()
  node.killWorker()
  await node.says(/a worker ended/)
  await expect.poll(() => statusesOf(node.url, COMES).catch(() => []), soon).toEqual([200])
  expect(await statusesOf(node.url, GOES)).toEqual([401])
  for (const key of [STAYS, GOES, COMES, 'platform:short']) expect(node.words).not.toContain(key)
})
