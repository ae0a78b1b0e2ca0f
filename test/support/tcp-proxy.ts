/**
 * A TCP proxy in front of a server (Redis, in these tests) that breaks connections where a test says.
 *
 * `cutAt` breaks at an exact byte: of everything that flows in one direction from now on, the connection that carries
 * byte n passes the bytes before it and is cut on both sides there. So a cut falls inside a frame of the protocol and
 * under load always comes. `mode` drops requests, replies or both in silence, as a dead host or a firewall does; when
 * it goes back to `pass`, connections that lost bytes are reset, because what is left of their streams is garbage.
 * `delayMs` slows both directions of the connections that are made while it is set.
 *
 * Rejected: toxiproxy, a second program that knows no byte positions; netem, which needs root.
 */

import { once } from 'node:events'
import {
  type AddressInfo,
  createServer,
  connect as dial,
  type NetConnectOpts,
  type Server,
  type Socket,
} from 'node:net'

export type Mode = 'pass' | 'drop-requests' | 'drop-replies' | 'black-hole'
export type Direction = 'request' | 'reply'

interface Cut {
  left: number
  readonly done: () => void
}

interface Pair {
  readonly client: Socket
  readonly upstream: Socket
  lostBytes: boolean
}

const DROPS: Readonly<Record<Mode, readonly Direction[]>> = {
  pass: [],
  'drop-requests': ['request'],
  'drop-replies': ['reply'],
  'black-hole': ['request', 'reply'],
}

export class TcpProxy implements AsyncDisposable {
  readonly port: number
  /** Delay of what passes, for connections that are made from now on. */
  delayMs = 0
  /** Connections that were made. */
  accepted = 0
  readonly #server: Server
  readonly #upstream: NetConnectOpts
  readonly #pairs = new Set<Pair>()
  readonly #cuts: { request: Cut | undefined; reply: Cut | undefined } = { request: undefined, reply: undefined }
  #mode: Mode = 'pass'

  constructor(server: Server, upstream: NetConnectOpts) {
    this.#server = server
    this.#upstream = upstream
    this.port = (server.address() as AddressInfo).port
    server.on('connection', client => this.#connected(client))
  }

  /** As an address of Redis. */
  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  get mode(): Mode {
    return this.#mode
  }

  set mode(mode: Mode) {
    this.#mode = mode
    if (mode !== 'pass') return
    for (const pair of this.#pairs) if (pair.lostBytes) this.#reset(pair)
  }

  /** Cuts before byte `bytes` of what flows in that direction from now on; resolves when it has cut. */
  cutAt(direction: Direction, bytes: number): Promise<void> {
    return new Promise(done => {
      this.#cuts[direction] = { left: bytes, done }
    })
  }

  /** Resets every connection now. */
  cutAll(): void {
    for (const pair of this.#pairs) this.#reset(pair)
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.cutAll()
    await closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #connected(client: Socket): void {
    this.accepted++
    const upstream = dial(this.#upstream)
    const pair: Pair = { client, upstream, lostBytes: false }
    this.#pairs.add(pair)
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true)
      socket.on('error', () => {})
      socket.once('close', () => this.#reset(pair))
    }
    const { delayMs } = this
    const carry = (direction: Direction) => (chunk: Buffer) => {
      if (delayMs === 0) this.#pass(pair, direction, chunk)
      else setTimeout(() => this.#pass(pair, direction, chunk), delayMs)
    }
    client.on('data', carry('request'))
    upstream.on('data', carry('reply'))
  }

  #pass(pair: Pair, direction: Direction, chunk: Buffer): void {
    if (!this.#pairs.has(pair)) return
    if (DROPS[this.#mode].includes(direction)) {
      pair.lostBytes = true
      return
    }
    const to = direction === 'request' ? pair.upstream : pair.client
    const cut = this.#cuts[direction]
    if (!cut || cut.left >= chunk.length) {
      if (cut) cut.left -= chunk.length
      to.write(chunk)
      return
    }
    this.#cuts[direction] = undefined
    this.#pairs.delete(pair)
    to.end(chunk.subarray(0, cut.left))
    const other = to === pair.client ? pair.upstream : pair.client
    other.destroy()
    cut.done()
  }

  #reset(pair: Pair): void {
    if (!this.#pairs.delete(pair)) return
    pair.client.destroy()
    pair.upstream.destroy()
  }
}

/** A proxy on a free port of 127.0.0.1 in front of a unix socket or a port. */
export async function startTcpProxy(
  upstream: { readonly path: string } | { readonly port: number },
): Promise<TcpProxy> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return new TcpProxy(server, 'path' in upstream ? upstream : { ...upstream, host: '127.0.0.1' })
}
