/**
 * Requests of our own programs to an engine, against real sockets that close when it hurts.
 *
 * What is safe to ask twice is asked again on another connection, a change never is, no connection is ever used twice, and
 * an error says what lies behind it.
 */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Operator } from '../../bench/stage/operator.ts'
import { causesText } from '../../engine/base/causes.ts'
import { askJson } from '../../engine/cli/engine-call.ts'
import { ask, askStreaming } from '../../engine/client/fresh-request.ts'

const page = (await import(join(import.meta.dirname, '../../engine/dashboard/base/engine-api.js'))) as {
  readonly ask: (method: string, path: string, asked?: { readonly body?: unknown }) => Promise<unknown>
}

interface Closing {
  readonly url: string
  /** What was asked, in order: method, and the number of the connection that it came on. */
  readonly asked: string[]
  /** Their Idempotency-Keys. */
  readonly keys: (string | undefined)[]
}

/** A server that closes the connection of the first `times` requests, after so many bytes of the answer. */
async function closing(times: number, bytes = 0): Promise<Closing> {
  const connections = new Map<Socket, number>()
  const asked: string[] = []
  const keys: (string | undefined)[] = []
  const server: Server = createServer((request, response) => {
    asked.push(`${request.method} ${connections.get(request.socket)}`)
    keys.push(request.headers['idempotency-key'] as string | undefined)
    if (asked.length > times) return void response.end('{"all":"well"}')
    if (bytes > 0) request.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n${'x'.repeat(bytes)}`)
    request.socket.end()
  })
  server.on('connection', socket => connections.set(socket, connections.size + 1))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, asked, keys }
}

test('a GET whose connection closes is asked again on another one', async () => {
  for (const bytes of [0, 5]) {
    const { url, asked } = await closing(2, bytes)
    const { status, body } = await ask({ url })
    expect([status, body.toString('utf8')]).toEqual([200, '{"all":"well"}'])
    expect(asked).toEqual(['GET 1', 'GET 2', 'GET 3'])
  }
})

test('a page asks again for what it reads, and for a change under the same key', async () => {
  const reading = await closing(1)
  expect(await page.ask('GET', reading.url)).toEqual({ status: 200, body: { all: 'well' } })
  expect([reading.asked.length, reading.keys]).toEqual([2, [undefined, undefined]])
  const changing = await closing(1)
  expect(await page.ask('POST', changing.url, { body: {} })).toMatchObject({ status: 200 })
  const [first, second] = changing.keys
  expect([changing.asked.length, second]).toEqual([2, first])
  expect(first).toMatch(/^page-[0-9a-f]{32}$/)
  await page.ask('POST', changing.url, { body: {} })
  expect(changing.keys.at(-1)).not.toBe(first)
  const away = await closing(2)
  expect(await page.ask('POST', away.url, { body: {} })).toMatchObject({ status: 0, body: { code: 'unknown' } })
  expect(away.asked).toHaveLength(2)
})

test('the bench as an operator keeps no connection, and asks again for claims and readings only', async () => {
  const reading = await closing(1)
  await new Operator(reading.url.slice(0, -1), 'key').round('rnd_1')
  expect(reading.asked).toEqual(['GET 1', 'GET 2'])
  const claims = await closing(1)
  await new Operator(claims.url.slice(0, -1), 'key').askAgain('rnd_1', ['u1'])
  expect(claims.asked).toEqual(['POST 1', 'POST 2'])
  const changing = await closing(1)
  await expect(new Operator(changing.url.slice(0, -1), 'key').open('rnd_1')).rejects.toThrow('may have been executed')
  expect(changing.asked).toEqual(['POST 1'])
})

test('the command line asks again, for a change under the same key', async () => {
  const asking = async (path: string, asked: Parameters<typeof askJson>[2], once?: string) => {
    const { url, keys } = await closing(1)
    await askJson({ url, key: 'key', once }, path, asked)
    return keys
  }
  expect(await asking('/v1/rounds', {})).toEqual([undefined, undefined])
  const keyed = { method: 'POST', headers: { 'idempotency-key': 'k' } } as const
  expect(await asking('/v1/redemptions', keyed)).toEqual(['k', 'k'])
  const stock = { method: 'POST', body: { add: 5 } } as const
  expect(await asking('/v1/rounds/rnd_1/stock', stock, 'mine')).toEqual(['mine', 'mine'])
  const [first, second] = await asking('/v1/rounds/rnd_1/stock', stock)
  expect([first, second]).toEqual([second, expect.stringMatching(/^cli-[0-9a-f-]{36}$/)])
  const never = await closing(9)
  await expect(askJson({ url: never.url, key: 'key', once: 'mine' }, '/v1/rounds/rnd_1/stock', stock)).rejects.toThrow(
    'may have been executed: socket hang up (ECONNRESET); ask again with --idempotency-key mine: it is done once',
  )
})

test('an export that breaks off is read again from its beginning', async () => {
  const { url, asked } = await closing(1, 5)
  const operator = new Operator(url.slice(0, -1), 'key')
  const texts: string[] = []
  const whole = await operator.whole(
    () => operator.grants('rnd_1'),
    async chunks => {
      let text = ''
      for await (const chunk of chunks) {
        text += String(Buffer.from(chunk))
        texts.push(text)
      }
      return text
    },
  )
  expect([whole, texts, asked]).toEqual(['{"all":"well"}', ['xxxxx', '{"all":"well"}'], ['GET 1', 'GET 2']])
})

test('a change is sent once, and the error says that it may have been executed, and why nobody knows', async () => {
  const { url, asked } = await closing(2)
  const error = await ask({ url, method: 'POST', body: '{}' }).catch((cause: unknown) => cause)
  expect(asked).toEqual(['POST 1'])
  expect(causesText(error)).toBe(`no answer to POST ${url}, and it may have been executed: socket hang up (ECONNRESET)`)
})

test('a claim, which is the same claim when it is asked again, is', async () => {
  const { url, asked } = await closing(1)
  expect((await ask({ url, method: 'POST', body: '{}', repeatable: true })).ok).toBe(true)
  expect(asked).toEqual(['POST 1', 'POST 2'])
})

test('no connection is used twice, so none is stale', async () => {
  const { url, asked } = await closing(0)
  await ask({ url })
  for await (const _ of (await askStreaming({ url })).body);
  await ask({ url, method: 'POST' })
  expect(asked).toEqual(['GET 1', 'GET 2', 'POST 3'])
})

test('a body that breaks off is an error where it is read, and a server that always closes is one after three', async () => {
  const broken = await closing(1, 5)
  const { body } = await askStreaming({ url: broken.url })
  await expect(
    (async () => {
      for await (const _ of body);
    })(),
  ).rejects.toThrow('aborted')
  const always = await closing(9)
  await expect(ask({ url: always.url })).rejects.toThrow(`no answer to GET ${always.url}`)
  expect(always.asked).toHaveLength(3)
})

test('the causes of an error are one line, each said once', () => {
  const refused = Object.assign(new Error('connect ECONNREFUSED ::1:1'), { code: 'ECONNREFUSED' })
  const both = new AggregateError([refused, new Error('the other')], '')
  expect(causesText(new TypeError('fetch failed', { cause: both }))).toBe(
    'fetch failed: connect ECONNREFUSED ::1:1: the other',
  )
  expect(causesText(new Error('failed: deep', { cause: new Error('deep') }))).toBe('failed: deep')
  const tail = new Error('a')
  tail.cause = new Error('b', { cause: tail })
  expect(causesText(tail)).toBe('a: b')
  expect(causesText('only words')).toBe('only words')
})
