/**
 * A client of the live stream for tests: real sockets, frames in the order in which they came.
 *
 * `next` waits for the first frame that fits and takes it off the list, so a test reads answers in any order and
 * never sleeps; a socket that ends makes whoever waits fail with its close code. `pause` stops reading from the
 * connection itself, which is what a slow reader looks like to the engine.
 */
import { once } from 'node:events'
import type { IncomingHttpHeaders } from 'node:http'
import { type ClientOptions, type RawData, WebSocket } from 'ws'
import { type Fields, pack, unpack } from './api.ts'
import { servername } from './certificates.ts'

export const SUBPROTOCOLS = { json: 'fairgrab.json.v1', msgpack: 'fairgrab.msgpack.v1' } as const

interface Waiting {
  readonly fits: (frame: Fields) => boolean
  readonly resolve: (frame: Fields) => void
  readonly reject: (cause: Error) => void
}

export interface StreamOptions {
  readonly credential?: string
  readonly protocols?: readonly string[]
  readonly headers?: Readonly<Record<string, string>>
  /** Behind the path, such as `?access_token=…`. */
  readonly query?: string
}

export class StreamClient {
  readonly socket: WebSocket
  /** Resolves with the close code. */
  readonly closed: Promise<number>
  /** What came and was not taken yet. */
  readonly frames: Fields[] = []
  #waiting: Waiting[] = []

  constructor(url: string, { credential, protocols = [], headers = {}, query = '' }: StreamOptions = {}) {
    const options: ClientOptions = {
      ...(url.startsWith('https:') ? { servername } : {}),
      headers: { ...headers, ...(credential === undefined ? {} : { authorization: `Bearer ${credential}` }) },
    }
    this.socket = new WebSocket(`${url.replace(/^http/, 'ws')}/v1/stream${query}`, [...protocols], options)
    this.socket.on('message', (data, binary) => this.#take(data, binary))
    this.socket.on('error', () => undefined)
    this.closed = new Promise(resolve => {
      this.socket.once('close', code => {
        for (const { reject } of this.#waiting) reject(new Error(`the socket closed with ${code}`))
        this.#waiting = []
        resolve(code)
      })
    })
  }

  /** The next frame of an op, or the next one that fits; taken off the list. */
  next(wanted: string | ((frame: Fields) => boolean)): Promise<Fields> {
    const fits = typeof wanted === 'string' ? (frame: Fields) => frame.op === wanted : wanted
    const at = this.frames.findIndex(fits)
    if (at >= 0) return Promise.resolve(this.frames.splice(at, 1)[0] as Fields)
    if (this.socket.readyState === WebSocket.CLOSED) return Promise.reject(new Error('the socket is closed'))
    return new Promise((resolve, reject) => this.#waiting.push({ fits, resolve, reject }))
  }

  /** Sends a frame in the encoding of the subprotocol; text and bytes go out as they are. */
  send(frame: object | string): void {
    if (typeof frame === 'string' || frame instanceof Uint8Array) this.socket.send(frame)
    else this.socket.send(this.socket.protocol === SUBPROTOCOLS.msgpack ? pack(frame) : JSON.stringify(frame))
  }

  /** Sends a frame and waits for what comes back with its id. */
  ask(frame: Fields): Promise<Fields> {
    this.send(frame)
    return this.next(answer => answer.id === frame.id)
  }

  /** The same, and again while the engine sheds it, which a busy machine makes it do: that is certainly not executed. */
  async askUntilTaken(frame: Fields): Promise<Fields> {
    for (;;) {
      const answer = await this.ask(frame)
      if (answer.code !== 'overloaded') return answer
    }
  }

  pause(): void {
    this.socket.pause()
  }

  resume(): void {
    this.socket.resume()
  }

  async close(): Promise<void> {
    this.socket.close()
    await this.closed
  }

  #take(data: RawData, binary: boolean): void {
    const bytes = data as Buffer
    const frame = (binary ? unpack(bytes) : JSON.parse(bytes.toString())) as Fields
    const at = this.#waiting.findIndex(({ fits }) => fits(frame))
    if (at < 0) this.frames.push(frame)
    else this.#waiting.splice(at, 1)[0]?.resolve(frame)
  }
}

/** A socket that is open; the welcome will be the first frame on its list. */
export async function openStream(url: string, options: StreamOptions = {}): Promise<StreamClient> {
  const client = new StreamClient(url, options)
  await once(client.socket, 'open')
  return client
}

/** The status of HTTP that an upgrade got: 101, or the one that refused it. */
export const upgradeStatus = async (url: string, options: StreamOptions = {}): Promise<number> =>
  (await upgradeAnswer(url, options)).status

/** What an upgrade is answered with: 101 where it opens. */
export async function upgradeAnswer(
  url: string,
  options: StreamOptions = {},
): Promise<{ readonly status: number; readonly headers: IncomingHttpHeaders }> {
  const { socket } = new StreamClient(url, options)
  const { promise, resolve } = Promise.withResolvers<{ status: number; headers: IncomingHttpHeaders }>()
  socket.once('open', () => resolve({ status: 101, headers: {} }))
  socket.once('unexpected-response', (_request, { statusCode: status = 0, headers }) => resolve({ status, headers }))
  const answer = await promise
  socket.terminate()
  return answer
}
