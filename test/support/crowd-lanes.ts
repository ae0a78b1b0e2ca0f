/**
 * The lanes of a crowd: one connection each, over which people claim one by one or in frames of the stream. A connection
 * that ends is opened again, and what was under way over it has no answer.
 */
import { WebSocket } from 'ws'
import { GRANT, MEANINGS, NO_ANSWER } from '../../bench/audit/history.ts'
import { ClaimsFrame, FrameScanner } from '../../bench/load/claims-frame.ts'
import { HttpConnection } from '../../bench/load/http-connection.ts'
import { claimRequest, outcomeOf, sequenceOf, vouchersOf } from '../../bench/load/http-generator.ts'
import { monotonicUs } from '../../bench/load/recorder.ts'
import { writeDigits } from '../../bench/load/user-id.ts'
import { CODES, type Code } from '../../engine/base/codes.ts'
import { KEYS } from './engine.ts'

const REOPEN_MS = 20

export interface CrowdOptions {
  readonly url: string
  readonly roundId: string
  readonly people: number
  /** How many of them ask one by one over HTTP. */
  readonly singles?: number
  readonly singleLanes?: number
  readonly streams?: number
  readonly window?: number
  readonly frame?: number
  /** Between an answer and the next claim of a lane, milliseconds; none where it is left out. */
  readonly restMs?: number
  /** Gets each grant that is told over HTTP, as it came. */
  readonly heard?: (user: number, body: Buffer) => void
}

export type Settle = (user: number, outcome: number, sequence: number, vouchers: number) => void

/** Who is still to be asked for, by one kind of lane. */
export interface Work {
  take(): number
  settler(sentUs: number, connection: number): Settle
}

export interface Lane {
  open(): Promise<void>
  pump(): void
  close(): void
}

/** Lets a lane go on behind an answer. */
function goOn(lane: Lane, { restMs }: Required<CrowdOptions>): void {
  if (restMs === 0) lane.pump()
  else setTimeout(() => lane.pump(), restMs)
}

export class StreamLane implements Lane {
  readonly #options: Required<CrowdOptions>
  readonly #work: Work
  readonly #number: number
  readonly #frame: ClaimsFrame
  readonly #scanner = new FrameScanner()
  readonly #flying = new Map<number, { readonly users: readonly number[]; readonly sentUs: number }>()
  #socket: WebSocket | undefined
  #closing = false
  #frames = 0

  constructor(options: Required<CrowdOptions>, work: Work, number: number) {
    this.#options = options
    this.#work = work
    this.#number = number
    this.#frame = new ClaimsFrame(options.roundId, options.frame)
  }

  open(): Promise<void> {
    const socket = new WebSocket(`${this.#options.url.replace('http', 'ws')}/v1/stream`, ['fairgrab.msgpack.v1'], {
      headers: { authorization: `Bearer ${KEYS.operator}` },
      perMessageDeflate: false,
    })
    socket.on('error', () => {})
    socket.on('message', (data: Buffer) => this.#received(data))
    return new Promise(resolve => {
      socket.once('open', () => {
        this.#socket = socket
        resolve()
        this.pump()
      })
      socket.once('close', () => this.#lost(resolve))
    })
  }

  pump(): void {
    while (this.#socket && this.#flying.size < this.#options.window) {
      const users: number[] = []
      while (users.length < this.#options.frame) {
        const user = this.#work.take()
        if (user < 0) break
        users.push(user)
        this.#frame.add(user)
      }
      if (users.length === 0) return
      const id = ++this.#frames
      this.#flying.set(id, { users, sentUs: monotonicUs() })
      this.#socket.send(this.#frame.finish(id))
    }
  }

  close(): void {
    this.#closing = true
    this.#socket?.close(1000)
  }

  #received(data: Buffer): void {
    if (this.#scanner.scan(data)) {
      const { id, codes, sequences } = this.#scanner.results
      this.#settle(id, place => [codes[place] as number, sequences[place] as number])
      goOn(this, this.#options)
      return
    }
    const other = this.#scanner.read(data) as { readonly op: string; readonly id: number; readonly code: Code }
    if (other.op !== 'error') return
    this.#settle(other.id, () => [CODES[other.code].number, 0])
    goOn(this, this.#options)
  }

  #settle(id: number, answer: (place: number) => readonly [number, number]): void {
    const flying = this.#flying.get(id)
    if (!flying) throw new Error(`an answer to frame ${id}, which nobody waits for`)
    this.#flying.delete(id)
    const settle = this.#work.settler(flying.sentUs, this.#number)
    for (const [place, user] of flying.users.entries()) settle(user, ...answer(place), 0)
  }

  #lost(resolve: () => void): void {
    this.#socket = undefined
    for (const id of [...this.#flying.keys()]) this.#settle(id, () => [NO_ANSWER, 0])
    if (this.#closing) resolve()
    else setTimeout(() => this.open().then(resolve), REOPEN_MS)
  }
}

export class SingleLane implements Lane {
  readonly #connection: HttpConnection
  readonly #work: Work
  readonly #number: number
  readonly #request: ReturnType<typeof claimRequest>
  #user = -1
  #sentUs = 0

  constructor(options: Required<CrowdOptions>, work: Work, number: number) {
    const { url, roundId, heard } = options
    this.#work = work
    this.#number = number
    this.#request = claimRequest({ url, roundId, key: KEYS.operator })
    this.#connection = new HttpConnection(url, {
      answered: (status, body) => {
        const outcome = outcomeOf(status, body)
        const granted = MEANINGS[outcome] === GRANT
        if (granted) heard(this.#user, body)
        this.#settle(outcome, granted ? sequenceOf(body) : 0, granted ? vouchersOf(body) : 0)
        goOn(this, options)
      },
      broken: outstanding => {
        if (outstanding) this.#settle(NO_ANSWER, 0, 0)
      },
      reopened: () => this.pump(),
    })
  }

  open(): Promise<void> {
    return this.#connection.open()
  }

  pump(): void {
    if (!this.#connection.free) return
    this.#user = this.#work.take()
    if (this.#user < 0) return
    writeDigits(this.#request.bytes, this.#request.digitsAt, this.#user)
    this.#sentUs = monotonicUs()
    this.#connection.send(this.#request.bytes)
  }

  close(): void {
    this.#connection.close()
  }

  #settle(outcome: number, sequence: number, vouchers: number): void {
    this.#work.settler(this.#sentUs, this.#number)(this.#user, outcome, sequence, vouchers)
  }
}
