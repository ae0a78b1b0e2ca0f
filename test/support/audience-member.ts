/**
 * One process of an audience (audience.ts): sockets that watch a round's stock, and come back whenever they are closed.
 *
 * Each comes back at a moment of its own within the second that follows, as clients with jitter do, and tries again in
 * the same way when it was refused. What a viewer saw counts from his newest connection on: a frame before it says
 * nothing about whether the engine told him again. The sockets are the bench's, which cost a third of a library's.
 *
 * A question is answered when it has become true, so the test awaits an answer and never a time.
 */
import { ViewerSocket } from '../../bench/load/viewer-socket.ts'
import type { AudienceAnswer, AudienceJob, AudienceQuestion } from './audience.ts'
import { random } from './seed.ts'

const LOOK_MS = 10
/** How long a try to connect may be without a snapshot before it counts as lost: a SYN may have been dropped. */
const PATIENCE_MS = 10_000

class Viewer {
  /** The newest version of its newest connection; -1 while it watches nothing. */
  version = -1
  readonly #job: AudienceJob
  readonly #from: string
  readonly #read: (frame: Uint8Array) => number
  #socket: ViewerSocket | undefined
  #leaving = false

  constructor(job: AudienceJob, place: number, read: (frame: Uint8Array) => number) {
    this.#job = job
    this.#read = read
    // One address has some 28,000 ports for one server, and a closed connection keeps its own for a minute.
    this.#from = `127.0.${1 + (place % 50)}.${job.address}`
    this.#later()
  }

  /** Ends the connection from this side, without a word. */
  cut(): void {
    this.version = -1
    this.#socket?.close()
  }

  leave(): void {
    this.#leaving = true
    this.cut()
  }

  get gone(): boolean {
    return this.#leaving && this.#socket === undefined
  }

  #later(): void {
    this.#socket = undefined
    if (!this.#leaving) setTimeout(() => this.#open(), next() * this.#job.withinMs)
  }

  #open(): void {
    if (this.#leaving) return
    const { url, key, roundId } = this.#job
    let isOver = false
    const socket: ViewerSocket = new ViewerSocket(
      { url, key, from: this.#from },
      {
        opened: () => socket.send(JSON.stringify({ op: 'subscribe', id: 1, topics: [`stock:${roundId}`] })),
        received: frame => {
          if (!isOver) this.version = Math.max(this.version, this.#read(frame))
        },
        closed: () => {
          if (isOver) return
          isOver = true
          clearTimeout(patience)
          counts.lost++
          this.version = -1
          this.#later()
        },
      },
    )
    const patience = setTimeout(() => this.version < 0 && socket.close(), PATIENCE_MS)
    this.#socket = socket
  }
}

const next = random(6)
const counts = { lost: 0 }
let viewers: Viewer[] = []
const waiting = new Set<{ readonly question: AudienceQuestion; readonly holds: () => boolean }>()

/** The version of a stock frame; all sockets get the same bytes, so they are parsed once. */
function reader(): (frame: Uint8Array) => number {
  let bytes = Buffer.alloc(0)
  let version = -1
  return frame => {
    if (bytes.compare(frame) === 0) return version
    bytes = Buffer.from(frame)
    const words = JSON.parse(bytes.toString()) as { readonly op: string; readonly version?: number }
    version = words.op === 'stock' ? (words.version ?? -1) : -1
    return version
  }
}

function begin(question: AudienceQuestion): () => boolean {
  switch (question.ask) {
    case 'come': {
      const read = reader()
      viewers = Array.from({ length: question.job.sockets }, (_, place) => new Viewer(question.job, place, read))
      return () => viewers.every(({ version }) => version >= 0)
    }
    case 'cut':
      for (const viewer of viewers) viewer.cut()
      return () => viewers.every(({ version }) => version >= 0)
    case 'saw':
      return () => viewers.every(({ version }) => version >= question.version)
    case 'leave':
      for (const viewer of viewers) viewer.leave()
      return () => viewers.every(({ gone }) => gone)
  }
}

function look(): void {
  for (const one of waiting) {
    if (!one.holds()) continue
    waiting.delete(one)
    process.send?.({ id: one.question.id, lost: counts.lost } satisfies AudienceAnswer)
  }
}

process.on('message', (question: AudienceQuestion) => {
  waiting.add({ question, holds: begin(question) })
})
process.on('disconnect', () => process.exit())
setInterval(look, LOOK_MS)
