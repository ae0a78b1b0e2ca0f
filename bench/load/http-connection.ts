/**
 * One keep-alive connection with at most one request on it: bytes out, status and body in.
 *
 * It reads into one buffer of its own and opens itself again when it breaks, telling its owner that the answer to the
 * outstanding request will not come. A connection on which nothing came for a while is replaced before the engine closes
 * it, so that no request meets a closing one: that would be an answer lost by the bench and not by the engine. What a request means is the owner's business, so claims and redemptions share it.
 */

import { connect, type Socket } from 'node:net'
import { ResponseReader } from './http-response.ts'

const INPUT_BYTES = 64 * 1024
const REOPEN_MS = 100
/** The engine keeps an idle connection for eight seconds at least (`Keep-Alive: timeout=8`). */
const IDLE_MS = 7000

export interface HttpOwner {
  answered(status: number, body: Buffer): void
  /** The connection broke; `outstanding` says whether a request was on it. */
  broken(outstanding: boolean): void
  reopened(): void
}

export class HttpConnection {
  readonly #host: string
  readonly #port: number
  readonly #owner: HttpOwner
  readonly #reader = new ResponseReader()
  readonly #input = Buffer.allocUnsafe(INPUT_BYTES)
  #socket: Socket | undefined
  readonly #idleMs: number
  /** Asked for while there was no socket. */
  #unsent: Uint8Array | undefined
  #outstanding = false
  #closing = false
  lost = 0

  constructor(url: string, owner: HttpOwner, idleMs = IDLE_MS) {
    this.#idleMs = idleMs
    const { hostname, port } = new URL(url)
    this.#host = hostname
    this.#port = Number(port || 80)
    this.#owner = owner
  }

  get free(): boolean {
    return !this.#outstanding && this.#socket !== undefined
  }

  open(): Promise<void> {
    const socket = connect({
      host: this.#host,
      port: this.#port,
      noDelay: true,
      // Reading into one buffer of ours leaves out the stream machinery, a fifth of the cost of a request.
      onread: {
        buffer: this.#input,
        callback: length => {
          this.#receive(this.#input.subarray(0, length))
          return true
        },
      },
    })
    return new Promise((resolve, reject) => {
      socket.once('connect', () => {
        this.#socket = socket
        if (this.#unsent !== undefined) socket.write(this.#unsent)
        this.#unsent = undefined
        resolve()
      })
      socket.setTimeout(this.#idleMs, () => this.#replace(socket))
      socket.on('error', reject)
      socket.once('close', () => {
        if (this.#socket === socket) this.#disconnected()
        reject(new Error('the connection closed'))
      })
    })
  }

  send(request: Uint8Array): void {
    this.#outstanding = true
    if (this.#socket === undefined) this.#unsent = request
    else this.#socket.write(request)
  }

  close(): void {
    this.#closing = true
    this.#socket?.destroy()
  }

  #receive(chunk: Buffer): void {
    if (!this.#reader.push(chunk)) return
    this.#outstanding = false
    this.#owner.answered(this.#reader.status, this.#reader.body)
  }

  /** Opens another connection in place of one that was idle; its owner need not know. */
  #replace(socket: Socket): void {
    if (this.#outstanding || this.#closing || this.#socket !== socket) return
    this.#socket = undefined
    socket.destroy()
    this.open().catch(() => this.#reopen())
  }

  #disconnected(): void {
    this.#socket = undefined
    if (this.#closing) return
    const outstanding = this.#outstanding
    this.#outstanding = false
    this.#reader.reset()
    this.lost++
    this.#owner.broken(outstanding)
    this.#reopen()
  }

  #reopen(): void {
    setTimeout(() => {
      if (!this.#closing)
        this.open().then(
          () => this.#owner.reopened(),
          () => this.#reopen(),
        )
    }, REOPEN_MS).unref()
  }
}
