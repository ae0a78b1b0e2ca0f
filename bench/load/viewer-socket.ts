/**
 * One viewer's WebSocket, as thin as it can be: tens of thousands of them share two cores with what they watch.
 *
 * It speaks as much of RFC 6455 as a viewer needs: the handshake, one masked text frame to subscribe, whole unmasked
 * frames of the server, and pongs. All sockets of a process read into one buffer, so a frame is a view that is gone
 * when the callback returns.
 * The library `ws` was rejected here: with it a viewer costs three times as much as the engine's side of the frame.
 */

import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'

const input = Buffer.allocUnsafe(64 * 1024)
const HEAD_END = Buffer.from('\r\n\r\n')
const CLOSE = 0x88
const PING = 0x89
const PONG = Buffer.from([0x8a, 0x80, 0, 0, 0, 0])
const LENGTH_16 = 126

export interface ViewerAddress {
  readonly url: string
  readonly key: string
  /** The address to come from: one address has some 28,000 ports for one server. */
  readonly from: string | undefined
}

export interface ViewerOwner {
  opened(): void
  /** One frame's payload; valid during the call only. */
  received(frame: Uint8Array): void
  closed(why: Error): void
}

export class ViewerSocket {
  readonly #socket: Socket
  readonly #owner: ViewerOwner
  #open = false
  /** What came of a frame whose end is still to come; nearly always nothing. */
  #rest: Buffer = Buffer.alloc(0)

  constructor({ url, key, from }: ViewerAddress, owner: ViewerOwner) {
    const { hostname, port, host } = new URL(url)
    this.#owner = owner
    const callback = (length: number) => {
      this.#receive(input.subarray(0, length))
      return true
    }
    const to = {
      host: hostname,
      port: Number(port),
      noDelay: true,
      ...(from === undefined ? {} : { localAddress: from }),
    }
    this.#socket = connect({ ...to, onread: { buffer: input, callback } })
    const lines = [
      'GET /v1/stream HTTP/1.1',
      `Host: ${host}`,
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`,
      'Sec-WebSocket-Protocol: fairgrab.json.v1',
      `Authorization: Bearer ${key}`,
    ]
    this.#socket.once('connect', () => this.#socket.write(`${lines.join('\r\n')}\r\n\r\n`))
    this.#socket.once('error', why => owner.closed(why))
    this.#socket.once('close', () => owner.closed(new Error('the engine closed the socket')))
  }

  /** Sends one short text frame; the mask is zero, which leaves the bytes as they are. */
  send(text: string): void {
    const payload = Buffer.from(text)
    if (payload.length >= LENGTH_16) throw new Error(`a viewer's frame of ${payload.length} bytes is too long`)
    this.#socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | payload.length, 0, 0, 0, 0]), payload]))
  }

  close(): void {
    this.#socket.destroy()
  }

  #receive(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const used = this.#open ? this.#frames(bytes, 0) : this.#handshake(bytes)
    this.#rest = used === bytes.length ? Buffer.alloc(0) : Buffer.from(bytes.subarray(used))
  }

  #handshake(bytes: Buffer): number {
    const end = bytes.indexOf(HEAD_END)
    if (end < 0) return 0
    const status = bytes.toString('latin1', 9, 12)
    if (status !== '101') {
      this.#socket.destroy(new Error(`a viewer was refused with ${status}`))
      return bytes.length
    }
    this.#open = true
    this.#owner.opened()
    return this.#frames(bytes, end + HEAD_END.length)
  }

  /** Hands out the whole frames from `at` on; returns where the first that is not whole begins. */
  #frames(bytes: Buffer, from: number): number {
    let at = from
    while (at + 4 <= bytes.length) {
      const short = bytes[at + 1] as number
      const head = short < LENGTH_16 ? 2 : 4
      const length = short < LENGTH_16 ? short : bytes.readUInt16BE(at + 2)
      const end = at + head + length
      if (end > bytes.length) return at
      if (bytes[at] === CLOSE) this.#socket.destroy()
      else if (bytes[at] === PING) this.#socket.write(PONG)
      else this.#owner.received(bytes.subarray(at + head, end))
      at = end
    }
    return at
  }
}
