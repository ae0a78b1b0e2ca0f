/**
 * The connections of the load, against a server that closes what is idle, as the engine does.
 *
 * No request may meet a closing connection: its answer would be lost by the bench, and the record would not know whether
 * it was executed.
 */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { HttpConnection } from '../../bench/load/http-connection.ts'

const REQUEST = Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
/** An answer fits into it many times, on any machine. */
const IDLE_MS = 300

async function serving(): Promise<{ server: Server; url: string }> {
  const server = createServer((_, response) => response.end('{}')).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

function connecting(url: string) {
  const heard = { answered: Promise.withResolvers<number>(), broken: [] as boolean[], reopened: 0 }
  const owner = {
    answered: (status: number) => heard.answered.resolve(status),
    broken: (outstanding: boolean) => void heard.broken.push(outstanding),
    reopened: () => void heard.reopened++,
  }
  const connection = new HttpConnection(url, owner, IDLE_MS)
  onTestFinished(() => connection.close())
  return { connection, heard }
}

test('an idle connection is replaced before its server closes it, and nobody counts it as lost', async () => {
  const { server, url } = await serving()
  const { connection, heard } = connecting(url)
  const [[first]] = (await Promise.all([once(server, 'connection'), connection.open()])) as [[Socket], undefined]
  const [ended] = await Promise.all([once(first, 'close'), once(server, 'connection')])
  expect(ended).toBeDefined()
  connection.send(REQUEST)
  expect(await heard.answered.promise).toBe(200)
  expect([connection.lost, heard.broken, heard.reopened]).toEqual([0, [], 0])
})

test('what is sent while another connection is being opened goes out on that one', async () => {
  const { server, url } = await serving()
  const { connection, heard } = connecting(url)
  connection.send(REQUEST)
  await Promise.all([once(server, 'connection'), connection.open()])
  expect(await heard.answered.promise).toBe(200)
})
