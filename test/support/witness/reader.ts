/**
 * A reader at one node: whether it is ready, each round's public state alone and in the list, on one connection; and the
 * frames of its stream, on another one that comes back when it is cut off. Each answer is kept with the time it came.
 */
import { ViewerSocket } from '../../../bench/load/viewer-socket.ts'
import { KEYS } from '../engine.ts'
import type { Door, Heard } from './door.ts'
import { nowMs, type StateSeen, type Testimony, type Told } from './testimony.ts'

const REOPEN_MS = 100
/** Every so many readings the list is read, too. */
const LIST_EACH = 4
const LIST_ROWS = 4

interface Counts {
  readonly total: number
  readonly granted: number
  readonly remaining: number
  readonly quarantined?: number
  readonly epoch: string
  readonly version: number
}

interface Shown {
  readonly id: string
  readonly state: string
  /** Of a damaged round: what is wrong, instead of a state of its own. */
  readonly problem?: string
  readonly stock?: Counts
}

let sockets = 0

export class Reader {
  readonly #testimony: Testimony
  readonly #door: Door
  #readings = 0
  #socket: ViewerSocket | undefined
  #closing = false

  constructor(testimony: Testimony, door: Door) {
    this.#testimony = testimony
    this.#door = door
  }

  /** Watches the stream from now on. */
  watch(): void {
    if (this.#closing) return
    const reader = `stream ${++sockets} of ${this.#door.node}`
    const socket = new ViewerSocket(
      { url: this.#door.url, key: KEYS.operator, from: undefined },
      {
        opened: () => {
          for (const { id } of this.#testimony.rounds)
            socket.send(JSON.stringify({ op: 'subscribe', id: 1, topics: [`stock:${id}`] }))
        },
        received: frame => this.#frame(reader, Buffer.from(frame).toString()),
        closed: () => {
          if (this.#socket !== socket) return
          this.#socket = undefined
          setTimeout(() => this.watch(), REOPEN_MS).unref()
        },
      },
    )
    this.#socket = socket
  }

  close(): void {
    this.#closing = true
    this.#socket?.close()
  }

  /** Reads everything once; whether the node is ready. */
  async read(list = ++this.#readings % LIST_EACH === 0): Promise<boolean> {
    const { node, sent, at, status } = await this.#door.get('/readyz')
    this.#testimony.ready.push({ node, sent, at, ready: status === 200 })
    for (const { id } of this.#testimony.rounds) {
      const answer = await this.#door.get(`/v1/rounds/${id}`)
      if (answer.outcome === 'done') this.#seen(JSON.parse(answer.text) as Shown, 'round', answer)
      if (answer.outcome === 'not_found') this.#testimony.missing.push({ ...answer, roundId: id })
    }
    if (!list) return status === 200
    const answer = await this.#door.get(`/v1/rounds?limit=${LIST_ROWS}`)
    if (answer.outcome !== 'done') return status === 200
    const rows = (JSON.parse(answer.text) as { data: Shown[] }).data
    for (const row of rows) if (this.#testimony.rounds.some(({ id }) => id === row.id)) this.#seen(row, 'list', answer)
    return status === 200
  }

  #seen({ id, state, problem, stock }: Shown, how: StateSeen['how'], { node, sent, at, connection }: Heard): void {
    if (stock && problem === undefined)
      this.#push({ node, sent, at }, { roundId: id, reader: `connection ${connection} of ${node}`, how, state }, stock)
  }

  #frame(reader: string, text: string): void {
    const frame = JSON.parse(text) as Counts & { op: string; round_id: string; state: string }
    if (frame.op !== 'stock') return
    const moment = nowMs()
    const told = { node: this.#door.node, sent: moment, at: moment }
    this.#push(told, { roundId: frame.round_id, reader, how: 'frame', state: frame.state }, frame)
  }

  #push(told: Told, seen: Pick<StateSeen, 'roundId' | 'reader' | 'how' | 'state'>, counts: Counts): void {
    const { total, granted, remaining, quarantined = 0, epoch, version } = counts
    this.#testimony.states.push({ ...told, ...seen, total, granted, remaining, quarantined, epoch, version })
  }
}
