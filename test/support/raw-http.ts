/**
 * HTTP as bytes on a socket: for requests that no client would send, and for connections that stay.
 *
 * `sendRaw` writes what it is given and collects what comes back until the server closes, or until one whole answer is
 * there. It reads the head and the length itself, because a parser would mend or refuse just what a test wants to see.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { connect as connectTls, TLSSocket } from 'node:tls'

export interface RawAnswer {
  /** 0 when the server closed without a word. */
  readonly status: number
  readonly head: string
  readonly body: string
  /** Whether the server ended the connection. */
  readonly closed: boolean
}

function whole(text: string): { status: number; head: string; body: string } | undefined {
  const end = text.indexOf('\r\n\r\n')
  if (end < 0) return undefined
  const head = text.slice(0, end)
  const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0)
  const body = text.slice(end + 4)
  return body.length < length ? undefined : { status: Number(head.slice(9, 12)), head, body: body.slice(0, length) }
}

export class RawConnection {
  readonly #socket: Socket
  #text = ''
  #closed = false
  #look: () => void = () => undefined

  constructor(url: string) {
    const { hostname: host, port, protocol } = new URL(url)
    const there = { host, port: Number(port) }
    this.#socket = protocol === 'https:' ? connectTls(there) : connect(there)
    this.#socket.on('data', chunk => {
      this.#text += chunk.toString('latin1')
      this.#look()
    })
    this.#socket.on('error', () => undefined)
    this.#socket.once('close', () => {
      this.#closed = true
      this.#look()
    })
  }

  /** Writes bytes and waits for one answer, or for the end of the connection. */
  ask(bytes: string | Uint8Array): Promise<RawAnswer> {
    this.#text = ''
    this.#socket.write(bytes)
    return new Promise(resolve => {
      this.#look = () => {
        const answer = whole(this.#text)
        if (answer) resolve({ ...answer, closed: this.#closed })
        else if (this.#closed) resolve({ status: 0, head: '', body: '', closed: true })
      }
      this.#look()
    })
  }

  /** Writes bytes as a packet of their own; they are in the hands of this side's system then. */
  async send(bytes: string | Uint8Array): Promise<void> {
    this.#socket.setNoDelay(true)
    await new Promise(done => this.#socket.write(bytes, done))
  }

  /** Resolves when bytes that are written are in the hands of the other side's system, whether its process runs or not. */
  async open(): Promise<void> {
    if (this.#socket.connecting) await once(this.#socket, 'connect')
    if (this.#socket instanceof TLSSocket && !this.#socket.authorized) await once(this.#socket, 'secureConnect')
  }

  /** Resolves when the server has ended the connection. */
  async ended(): Promise<void> {
    if (!this.#closed) await once(this.#socket, 'close')
  }

  close(): void {
    this.#socket.destroy()
  }
}
