/**
 * Secrets in files as the processes of a node have them: they are read once, by the supervisor, so that all of its workers have the
 * same ones, also one that comes when a file has changed or is gone. A worker that cannot use its settings ends the start.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { ENDS_WITHIN_MS, upEnds } from '../support/ended-start.ts'
import { JWT_SECRET, KEYS } from '../support/engine.ts'
import { startNodeProcess } from '../support/node-process.ts'
import { userToken } from '../support/user-token.ts'

const soon = { timeout: 20_000, interval: 50 }

/** What a credential is answered; 0 while nobody listens. */
const statusOf = (url: string, credential: string): Promise<number> =>
  fetch(`${url}/v1/rounds?limit=1`, { headers: { authorization: `Bearer ${credential}`, connection: 'close' } }).then(
    ({ status }) => status,
    () => 0,
  )

test('a worker that comes later has the secrets of its node, whatever their files have by then', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'fg-secret-files-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'jwt')
  writeFileSync(file, `${JWT_SECRET}\n`)
  // Alone, so that nobody else answers for it.
  await using node = await startNodeProcess({ FAIRGRAB_JWT_SECRET_FILE: file, FAIRGRAB_DURABILITY: 'memory' })
  const asked = async () => [await statusOf(node.url, userToken('u1')), await statusOf(node.url, KEYS.operator)]
  expect(await asked()).toEqual([200, 200])
  for (const change of [() => writeFileSync(file, 'another secret, of 32 bytes or more'), () => rmSync(file)]) {
    change()
    node.forgetWords()
    node.killWorker()
    await node.says(/a worker ended/)
    await expect.poll(asked, soon).toEqual([200, 200])
  }
})

/** Gives workers, and nobody else, a variable that is no setting. */
const MISSPELT = `if (process.argv[1]?.endsWith('worker.ts')) process.env.FAIRGRAB_SOKETS = '1'`

test('a start whose workers cannot use their settings ends with the reason and exit code 2', async () => {
  const misspelt = `--import=data:text/javascript,${encodeURIComponent(MISSPELT)}`
  const { code, words, ms } = await upEnds({
    ...{ REDIS_URL: 'redis://127.0.0.1:1', NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} ${misspelt}` },
  })
  expect([code, words]).toEqual([2, expect.stringContaining('did you mean FAIRGRAB_SOCKETS?')])
  expect(ms).toBeLessThan(ENDS_WITHIN_MS)
})
