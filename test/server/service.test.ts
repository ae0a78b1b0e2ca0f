/**
 * The unit of deploy/systemd as its service manager would run it: its own command line with its own environment, the folders of
 * the test in the place of the system's. It serves with the key of its file, takes another key by its reload, and ends with 0.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { ROOT, textOf } from '../repo/tree.ts'
import { readUnit } from '../repo/unit-file.ts'
import { Api } from '../support/api.ts'
import { bareEnv } from '../support/bare-env.ts'
import { watch } from '../support/engine.ts'
import { freePort } from '../support/node-process.ts'
import { untilHolds } from '../support/polled.ts'

test('the command line of the unit serves, takes other keys by its reload, and ends when it is asked to', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'fg-service-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  for (const name of ['etc', 'state']) mkdirSync(join(folder, name))
  const place = (text: string) =>
    text
      .replaceAll('/opt/fairgrab', ROOT)
      .replaceAll('/etc/fairgrab', join(folder, 'etc'))
      .replaceAll('/var/lib/fairgrab', join(folder, 'state'))
  const { command, environment, one } = readUnit(place(textOf('deploy/systemd/fairgrab.service')))
  const writeKey = (key: string) => writeFileSync(join(folder, 'etc/keys'), `operator:${key}\n`)
  writeKey('the-first-key')
  const port = String(await freePort())
  const [program = '', ...args] = command
  const child = spawn(program, args, {
    cwd: one('WorkingDirectory'),
    env: bareEnv({ ...environment, HOST: '127.0.0.1', PORT: port, FAIRGRAB_WORKERS: '1' }),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const watcher = watch(child.pid as number)
  onTestFinished(() => void watcher.kill('SIGKILL'))
  const ended = once(child, 'exit')
  for await (const line of child.stdout) if (String(line).includes('fairgrab serves')) break
  child.stdout.resume()
  const url = `http://127.0.0.1:${port}`
  const status = async (key: string) => (await new Api(url, key).get('/v1/audit')).status
  expect([await status('the-first-key'), await status('another-key')]).toEqual([200, 401])
  writeKey('another-key')
  const reload = one('ExecReload').replace('$MAINPID', String(child.pid)).split(' ')
  expect(spawnSync(reload[0] as string, reload.slice(1)).status).toBe(0)
  await untilHolds(async () => (await status('another-key')) === 200)
  child.kill('SIGTERM')
  expect(await ended).toEqual([0, null])
})
