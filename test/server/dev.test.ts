/**
 * `npm run dev` as a developer has it: a change of a script or of the engine starts the node again, on the same address, with
 * the same key and the same data; Ctrl-C ends all of it, its Redis too.
 *
 * A change is a new time of a file that is there; nothing is written. How long a restart takes is printed by the program
 * and not judged here: the machine has other tests to run.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, utimesSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { treeOf } from '../../bench/measure/process-cost.ts'
import { Api, PACK, type Round } from '../support/api.ts'
import { bareEnv } from '../support/bare-env.ts'
import { freePort } from '../support/node-process.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'fg-dev-'))
let dev: ChildProcess
let printed = ''
let look = () => {}

beforeAll(async () => {
  const env = bareEnv({ PORT: String(await freePort()), FAIRGRAB_DATA_DIR: folder, LOG_LEVEL: 'error' })
  dev = spawn(process.execPath, [join(ROOT, '.ci/dev.ts')], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  for (const output of [dev.stdout, dev.stderr])
    output?.on('data', (data: Buffer) => {
      printed += data.toString()
      look()
    })
})
afterAll(async () => {
  if (dev.exitCode === null) {
    dev.kill('SIGTERM')
    await once(dev, 'exit')
  }
  // Where the program leaves its Redis behind, which is a bug, this run does not.
  const path = join(folder, 'redis.sock')
  if (existsSync(path)) {
    const left = new Redis({ path, lazyConnect: true, retryStrategy: null })
    await left.call('SHUTDOWN', 'NOSAVE').catch(() => {})
    left.disconnect()
  }
  await rm(folder, { recursive: true, force: true })
})

/** The next text that it prints; what stands before it is forgotten. */
async function next(text: RegExp): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  look = () => {
    const found = text.exec(printed)
    if (!found) return
    printed = printed.slice(found.index + found[0].length)
    resolve(found[1] ?? '')
  }
  dev.once('exit', () => reject(new Error(`it ended:\n${printed}`)))
  look()
  return promise
}

function touch(path: string): void {
  const now = new Date()
  utimesSync(join(ROOT, path), now, now)
}

test('a change starts the node again with the same key and data, and an end ends all', async () => {
  const key = await next(/operator key until this ends: (\S+)\n/)
  const url = await next(/fairgrab serves (http:\S+)/)
  await next(/dev: started: serves after/)
  const api = new Api(url, key)
  const campaign = await api.post<Round>('/v1/campaigns', { name: 'Dev', currency: 'CNY', pack: PACK })
  const rules = { stock: 3, opens_at: '2020-01-01T00:00:00Z' }
  const { body: round } = await api.post<Round>(`/v1/campaigns/${campaign.body.id}/rounds`, rules)
  const claim = () => api.post<{ claim: object }>(`/v1/rounds/${round.id}/claims`, { user_id: 'ada' })
  const first = await claim()
  expect(first.status).toBe(201)
  for (const path of ['scripts/claim.lua', 'engine/base/limits.ts']) {
    touch(path)
    expect(await next(/dev: (\S+) changed: serves after/)).toBe(path)
    const again = await claim()
    expect([again.status, again.body.claim]).toEqual([200, first.body.claim])
  }
  const pids = treeOf(dev.pid as number).map(({ pid }) => pid)
  expect(pids.length).toBeGreaterThan(2)
  expect(existsSync(join(folder, 'redis.sock'))).toBe(true)
  // As npm does behind a terminal's Ctrl-C.
  dev.kill('SIGINT')
  setTimeout(() => dev.kill('SIGINT'), 5)
  expect((await once(dev, 'exit'))[0]).toBe(0)
  const lives = (pid: number) => {
    try {
      return process.kill(pid, 0)
    } catch {
      return false
    }
  }
  expect(pids.filter(lives)).toEqual([])
  // The Redis is nobody's child since the first node was killed; it takes its socket away when it ends in order.
  expect(existsSync(join(folder, 'redis.sock'))).toBe(false)
})
