/**
 * Starts the floor: a bare uWebSockets.js POST that reads the body and answers a constant at once.
 *
 * No claim server on this library can cost less a request, so it says how much of the engine's CPU is HTTP itself.
 * It does not parse, check a key, know a user or ask Redis; it is not a rival. The size of the answer is given:
 * about 800 bytes are a grant with five vouchers, about 120 a refusal.
 */
import { join } from 'node:path'
import { freePort } from '../../stage/free-port.ts'
import type { StartPeer } from '../target.ts'

export function floor(answer: { readonly status: number; readonly bytes: number }): StartPeer {
  return async room => {
    const port = await freePort()
    const pid = await room.run({
      program: process.execPath,
      args: [join(import.meta.dirname, 'server.ts'), `${port}`, `${answer.status}`, `${answer.bytes}`],
      ready: /listening/,
    })
    return { url: `http://127.0.0.1:${port}/claims`, headers: {}, pids: [pid], granted: null }
  }
}
