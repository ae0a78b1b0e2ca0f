/**
 * A server that answers a client as it is told, the engine's own problems and what is nobody's, and keeps what was asked.
 *
 * It is a real server on a real socket, because what breaks off there looks different on each platform. Rejected: a `fetch` that
 * is made up. It would say what its author believes.
 */
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'
import { CODES, type Code } from '../../engine/base/codes.ts'
import { Fairgrab } from '../../engine/client/fairgrab.ts'
import { problem } from '../../engine/wire/problem.ts'

export const GRANT = {
  outcome: 'granted',
  claim: { id: 'clm_1_1', round_id: 'rnd_1', user_id: 'ada', pool: 'general', slot: 1, sequence: 1, granted_at: '' },
  vouchers: [],
}
/** Soon enough for a test, and still a wait that the engine asked for. */
export const SOON = { retry_after_ms: 20 }

export type Reply = (response: ServerResponse) => void

export const json =
  (status: number, body: object): Reply =>
  response =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
export const refuse = (code: Code, extra: object = SOON): Reply =>
  json(CODES[code].status, problem(code, undefined, { ...extra }))
export const grant = json(201, GRANT)
export const page =
  (status: number, headers: Readonly<Record<string, string>> = {}): Reply =>
  response =>
    response.writeHead(status, { 'content-type': 'text/html', ...headers }).end('<h1>A proxy</h1>')
export const breakOff: Reply = response => {
  response.writeHead(201, { 'content-length': '1000' })
  response.write('{"outcome":"granted"')
  setImmediate(() => response.destroy())
}
export const silence: Reply = () => {}

/** A server that gives these answers in turn, the last one for ever, and keeps what was asked. */
export async function answering(...replies: readonly Reply[]) {
  const asked: string[] = []
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    asked.push(`${request.method} ${request.url} ${request.headers.authorization} ${Buffer.concat(chunks)}`)
    replies[Math.min(asked.length, replies.length) - 1]?.(response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const fairgrab = new Fairgrab({ url, key: 'platform-key' })
  return { url, asked, fairgrab, claim: (more: object = {}) => fairgrab.claim('rnd_1', { user: 'ada', ...more }) }
}

/** The answer to a batch: for each claim what became of it; a grant is its user's. */
export const results = (...items: readonly (readonly [user: string, outcome: string])[]): Reply =>
  json(200, {
    results: items.map(([user_id, outcome]) =>
      outcome === 'granted' ? { ...GRANT, claim: { ...GRANT.claim, user_id } } : { outcome },
    ),
  })
