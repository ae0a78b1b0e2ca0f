/**
 * The Redis that tests are given: it is ready when it says so, keeps its data over a kill, and outlives nobody.
 *
 * Commands go over the plain socket as inline text, so that nothing of the engine stands between this test and the
 * server. The last test kills a process that holds a server, as a crashed test would, and waits for the server's end
 * by the end of its connection: an event, and the only sign that cannot come too early.
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, onTestFinished, test } from 'vitest'
import { chooseRedis, startLocalRedis, startRedis } from '../support/redis.ts'
import { ROOT } from './tree.ts'

async function ask(socketPath: string | undefined, command: string): Promise<string> {
  const socket = createConnection(socketPath ?? '')
  socket.write(`${command}\r\n`)
  const [answer] = await once(socket, 'data')
  socket.destroy()
  return String(answer).trim()
}

test('a killed server has its data and its address after a restart', async () => {
  const redis = await startLocalRedis()
  onTestFinished(() => redis.stop())
  const { url, pid } = redis
  expect(url).toBe(`unix://${redis.socketPath}`)
  expect(await ask(redis.socketPath, 'SET place 1')).toBe('+OK')
  await redis.kill()
  expect(() => process.kill(pid, 0)).toThrow()
  await redis.restart()
  expect(redis.url).toBe(url)
  expect(redis.pid).not.toBe(pid)
  expect(await ask(redis.socketPath, 'GET place')).toBe('$1\r\n1')
})

test('a frozen server answers when it thaws, and can be stopped while it is frozen', async () => {
  const redis = await startLocalRedis({ appendfsync: 'no' })
  await redis.kill('SIGSTOP')
  const answer = ask(redis.socketPath, 'PING')
  await redis.kill('SIGCONT')
  expect(await answer).toBe('+PONG')
  await redis.kill('SIGSTOP')
  await redis.stop()
  expect(existsSync(redis.dir)).toBe(false)
})

test('settings reach the server, and a folder that was given stays', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'redis-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  const redis = await startLocalRedis({ dir, appendfsync: 'everysec', args: ['--maxmemory', '64mb'] })
  expect(await ask(redis.socketPath, 'CONFIG GET appendfsync')).toContain('everysec')
  expect(await ask(redis.socketPath, 'CONFIG GET maxmemory')).toContain('67108864')
  expect(await ask(redis.socketPath, 'CONFIG GET maxmemory-policy')).toContain('noeviction')
  await redis.stop()
  expect(existsSync(join(dir, 'appendonlydir'))).toBe(true)
})

test('a server that cannot start says why', async () => {
  await expect(startLocalRedis({ args: ['--no-such-setting', 'yes'] })).rejects.toThrow('redis-server ended with 1')
})

test('the choice for this run was made before it, and gives a server', async () => {
  expect(await chooseRedis()).toBe(process.env.TEST_REDIS)
  const redis = await startRedis()
  expect(redis.url).toMatch(/^(redis|rediss|unix):\/\//)
  await redis.stop()
})

test('a server ends with the process that started it, even when that is killed', async () => {
  const program = `
    import { startLocalRedis } from './test/support/redis.ts'
    console.log((await startLocalRedis()).dir)
  `
  const holder = spawn(process.execPath, ['--input-type=module', '-e', program], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [dir] = await once(createInterface({ input: holder.stdout }), 'line')
  const connection = createConnection(join(String(dir), 'redis.sock'))
  await once(connection, 'connect')
  // Whether the end is told as a reset is the kernel's business; `close` comes behind it.
  connection.resume().on('error', () => {})
  const ended = new Promise<void>(resume => connection.on('close', () => resume()))
  holder.kill('SIGKILL')
  await ended
  expect(connection.destroyed).toBe(true)
})
