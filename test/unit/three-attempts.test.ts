/**
 * Requests of our own programs to an engine, against real sockets that close when it hurts.
 *
 * What broke off is asked again, at once and three times at most, always in the same words and a change under one key; an error
 * says what lies behind it.
 */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Operator } from '../../bench/stage/operator.ts'
import { causesText } from '../../engine/base/causes.ts'
import { askJson } from '../../engine/cli/engine-call.ts'
import { askThrice, isBrokenOff } from '../../engine/client/three-attempts.ts'
import { isDone, Transport } from '../../engine/client/transport.ts'

const page = (await import(join(import.meta.dirname, '../../engine/dashboard/base/engine-api.js'))) as {
  readonly ask: (method: string, path: string, asked?: { readonly body?: unknown }) => Promise<unknown>
}

interface Closing {
  readonly url: string
  /** What was asked, in order: method, key and body. */
  readonly asked: string[]
}

/** A server that closes the connection of the first `times` requests, after so many bytes of the answer. */
async function closing(times: number, bytes = 0): Promise<Closing> {
  const asked: string[] = []
  const server: Server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const words = [request.method, request.headers['idempotency-key'], Buffer.concat(chunks).toString()]
    asked.push(words.filter(Boolean).join(' ').trim())
    if (asked.length > times) return void response.end('{"all":"well"}')
    if (bytes > 0) request.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n${'x'.repeat(bytes)}`)
    request.socket.end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked }
}

const thrice = (url: string, asked = {}) => askThrice(new Transport({ url, key: 'key' }), { path: '/', ...asked })

test('what breaks off is asked again, and one that always does is an answer with its cause after three', async () => {
  for (const bytes of [0, 5]) {
    const { url, asked } = await closing(2, bytes)
    const answer = await thrice(url)
    expect([isDone(answer), answer.body]).toEqual([true, { all: 'well' }])
    expect(asked).toEqual(['GET', 'GET', 'GET'])
  }
  const always = await closing(9)
  const { status, cause } = await thrice(always.url)
  expect([status, isBrokenOff(cause), always.asked.length]).toEqual([0, true, 3])
})

test('a change is asked again in the same words under the same key', async () => {
  const { url, asked } = await closing(1)
  expect(isDone(await thrice(url, { method: 'POST', key: 'k', body: { add: 5 } }))).toBe(true)
  expect(asked).toEqual(['POST k {"add":5}', 'POST k {"add":5}'])
})

test('an engine that refuses connections is not asked again', async () => {
  let attempts = 0
  const counting: typeof fetch = (...asked) => {
    attempts++
    return fetch(...asked)
  }
  const transport = new Transport({ url: 'http://127.0.0.1:2', fetch: counting })
  const { status, cause } = await askThrice(transport, { path: '/' })
  expect([status, attempts, isBrokenOff(cause), causesText(cause)]).toEqual([
    0,
    1,
    false,
    'fetch failed: connect ECONNREFUSED 127.0.0.1:2',
  ])
})

test('a page asks again for what it reads, and for a change under the same key', async () => {
  const reading = await closing(1)
  expect(await page.ask('GET', reading.url)).toMatchObject({ status: 200, body: { all: 'well' } })
  expect(reading.asked).toEqual(['GET', 'GET'])
  const changing = await closing(1)
  const change = () => page.ask('POST', changing.url, { body: {} })
  expect(await change()).toMatchObject({ status: 200 })
  const [first, second] = changing.asked
  expect([first, second]).toEqual([second, expect.stringMatching(/^POST page-[0-9a-f]{32} \{\}$/)])
  await change()
  expect(changing.asked.at(-1)).not.toBe(first)
  const away = await closing(2)
  expect(await page.ask('POST', away.url, { body: {} })).toMatchObject({ status: 0, body: { code: 'unknown' } })
  expect(away.asked).toHaveLength(2)
})

test('the bench as an operator asks again, a change under a key of its own', async () => {
  const asking = async (call: (operator: Operator) => Promise<unknown>) => {
    const { url, asked } = await closing(1)
    await call(new Operator(url, 'key'))
    expect(asked[1]).toBe(asked[0])
    return asked
  }
  expect(await asking(operator => operator.round('rnd_1'))).toEqual(['GET', 'GET'])
  const claims = await asking(operator => operator.askAgain('rnd_1', ['u1']))
  expect(claims).toEqual(Array(2).fill('POST {"claims":[{"user_id":"u1"}]}'))
  const [opened] = await asking(operator => operator.open('rnd_1'))
  expect(opened).toMatch(/^POST bench-[\w-]{36}$/)
})

test('the command line asks again: readings, claims, and every other change under one key', async () => {
  const asking = async (path: string, asked: Parameters<typeof askJson>[2], once?: string) => {
    const { url, asked: came } = await closing(1)
    await askJson({ url, key: 'key', once }, path, asked)
    expect(came).toHaveLength(2)
    expect(came[1]).toBe(came[0])
    return came[0]
  }
  expect(await asking('/v1/rounds', {})).toBe('GET')
  expect(await asking('/v1/rounds/rnd_1/claims', { method: 'POST', body: {} })).toBe('POST {}')
  expect(await asking('/v1/redemptions', { method: 'POST', key: 'k' })).toBe('POST k')
  expect(await asking('/v1/merchants', { method: 'PUT', lines: [1, 2] })).toMatch(/^PUT cli-\S{36} 1\n2$/)
  const stock = { method: 'POST', body: { add: 5 } } as const
  expect(await asking('/v1/rounds/rnd_1/stock', stock)).toMatch(/^POST cli-\S{36} \{"add":5\}$/)
  expect(await asking('/v1/rounds/rnd_1/stock', stock, 'mine')).toBe('POST mine {"add":5}')
})

test('a command whose answer never comes says that it may have been executed, and how to ask again', async () => {
  const { url } = await closing(9)
  const change = { method: 'POST', body: { add: 5 } } as const
  const failed = askJson({ url, key: 'key', once: 'mine' }, '/v1/rounds/rnd_1/stock', change)
  await expect(failed).rejects.toThrow(
    /^no answer from http:\S+, and it may have been executed: .*; ask again with --idempotency-key mine: it is done once$/,
  )
})

test('an export that breaks off is read again from its beginning', async () => {
  const { url, asked } = await closing(1, 5)
  const operator = new Operator(url, 'key')
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
  expect([whole, texts, asked]).toEqual(['{"all":"well"}', ['xxxxx', '{"all":"well"}'], ['GET', 'GET']])
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
