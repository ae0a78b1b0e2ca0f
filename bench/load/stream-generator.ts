/**
 * Claims over the stream: frames of many claims, several frames unanswered on each connection.
 *
 * A connection has a window of frames. A frame remembers the slots of its claims in a Uint32Array under its place in
 * the window, which is also its id on the wire, so an answer finds its claims without a table. When a connection is
 * lost its claims may have been executed: they are recorded as unanswered, and the people behind them ask again.
 *
 * Compression is off (ten digits do not compress), and nothing is queued here: a claim that has no room in a window
 * stays in the plan, where its lateness is visible.
 */

import { WebSocket } from 'ws'
import { CODES, type Code } from '../../engine/base/codes.ts'
import { NO_ANSWER } from '../audit/history.ts'
import type { ClaimFlow } from './claim-flow.ts'
import { ClaimsFrame, FrameScanner } from './claims-frame.ts'
import type { Transport, TransportSettings } from './transport.ts'

class StreamConnection {
  readonly #settings: TransportSettings
  readonly #flow: ClaimFlow
  readonly #number: number
  readonly #frame: ClaimsFrame
  readonly #scanner = new FrameScanner()
  readonly #slots: Uint32Array[]
  readonly #counts: number[]
  readonly #free: number[]
  #socket: WebSocket | undefined
  #closing = false
  lost = 0

  constructor(settings: TransportSettings, flow: ClaimFlow, number: number) {
    this.#settings = settings
    this.#number = number
    this.#flow = flow
    this.#frame = new ClaimsFrame(settings.target.roundId, settings.frame)
    this.#slots = Array.from({ length: settings.window }, () => new Uint32Array(settings.frame))
    this.#counts = new Array<number>(settings.window).fill(0)
    this.#free = Array.from({ length: settings.window }, (_, place) => settings.window - 1 - place)
  }

  open(): Promise<void> {
    const { url, key } = this.#settings.target
    const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/v1/stream`, ['fairgrab.msgpack.v1'], {
      headers: { authorization: `Bearer ${key}` },
      perMessageDeflate: false,
    })
    socket.on('message', (data: Buffer) => this.#receive(data))
    return new Promise((resolve, reject) => {
      socket.once('open', () => {
        this.#socket = socket
        resolve()
      })
      socket.on('error', reject)
      socket.once('close', code => {
        this.#disconnected()
        reject(new Error(`the stream closed with ${code}`))
      })
    })
  }

  /** Sends one frame of what is due, if the window has room; says whether it did. */
  sendFrame(): boolean {
    const place = this.#free.at(-1)
    if (place === undefined || this.#socket === undefined) return false
    const slots = this.#slots[place] as Uint32Array
    let count = 0
    while (count < this.#settings.frame) {
      const slot = this.#flow.take()
      if (slot < 0) break
      slots[count++] = slot
      this.#frame.add(this.#flow.flights.user[slot]!)
    }
    if (count === 0) return false
    this.#free.pop()
    this.#counts[place] = count
    this.#flow.sent(count)
    this.#socket.send(this.#frame.finish(place))
    return true
  }

  close(): void {
    this.#closing = true
    this.#socket?.close(1000)
  }

  #receive(data: Buffer): void {
    this.#flow.tick()
    if (this.#scanner.scan(data)) {
      const { id, count, codes, sequences } = this.#scanner.results
      if (count !== this.#counts[id])
        throw new Error(`frame ${id} asked ${this.#counts[id]} claims and was answered ${count}`)
      this.#settle(
        id,
        place => codes[place]!,
        place => sequences[place]!,
      )
      while (this.sendFrame());
    } else this.#receiveOther(data)
  }

  #receiveOther(data: Buffer): void {
    const frame = this.#scanner.read(data) as { readonly op?: unknown; readonly id?: unknown; readonly code?: unknown }
    if (frame.op !== 'error' || typeof frame.id !== 'number') return
    const code = CODES[String(frame.code) as Code]?.number ?? CODES.internal.number
    this.#settle(
      frame.id,
      () => code,
      () => 0,
    )
  }

  #settle(place: number, code: (place: number) => number, sequence: (place: number) => number): void {
    const slots = this.#slots[place]
    const count = this.#counts[place]
    if (slots === undefined || count === undefined || count === 0)
      throw new Error(`an answer to frame ${place}, which is not in flight`)
    this.#flow.from(this.#number)
    for (let claim = 0; claim < count; claim++) this.#flow.answer(slots[claim]!, code(claim), sequence(claim))
    this.#counts[place] = 0
    this.#free.push(place)
  }

  #disconnected(): void {
    if (this.#closing || this.#socket === undefined) return
    this.#socket = undefined
    this.lost++
    this.#flow.tick()
    for (const [place, count] of this.#counts.entries()) {
      if (count > 0)
        this.#settle(
          place,
          () => NO_ANSWER,
          () => 0,
        )
    }
    this.#reopen()
  }

  #reopen(): void {
    setTimeout(() => {
      if (!this.#closing)
        this.open().then(
          () => this.#resume(),
          () => this.#reopen(),
        )
    }, 100).unref()
  }

  #resume(): void {
    this.#flow.tick()
    while (this.sendFrame());
  }
}

export class StreamTransport implements Transport {
  readonly #connections: readonly StreamConnection[]

  constructor(settings: TransportSettings, flow: ClaimFlow) {
    this.#connections = Array.from(
      { length: settings.connections },
      (_, place) => new StreamConnection(settings, flow, settings.firstConnection + place),
    )
  }

  get lost(): number {
    return this.#connections.reduce((sum, connection) => sum + connection.lost, 0)
  }

  async open(): Promise<void> {
    await Promise.all(this.#connections.map(connection => connection.open()))
  }

  /** One frame a connection in turn, until nothing is due or no window has room. */
  pump(): void {
    let sent = true
    while (sent) {
      sent = false
      for (const connection of this.#connections) sent = connection.sendFrame() || sent
    }
  }

  close(): void {
    for (const connection of this.#connections) connection.close()
  }
}
