/**
 * A process of viewers: many sockets that subscribe to a round's stock and remember every frame they are sent.
 *
 * The age of a frame is the moment it was received minus its `at`, both of the wall clock of one machine, and `at` has
 * milliseconds: a figure here is honest to about a millisecond, across machines it is the difference of two clocks.
 * All sockets of a process get the same bytes, so a frame is parsed once and recognised by its bytes after that.
 *
 * Sockets are opened a few at a time: a burst of a thousand handshakes would measure the listen queue.
 */

import { Frames } from '../audit/frames.ts'
import { Latency } from '../measure/latency.ts'
import { serveBench } from './member.ts'
import { monotonicUs } from './recorder.ts'
import { ViewerSocket } from './viewer-socket.ts'

export interface ViewerJob {
  readonly url: string
  readonly key: string
  readonly roundId: string
  readonly sockets: number
  readonly firstViewer: number
  readonly framesFile: string
  readonly from: string | undefined
}

export type ToViewers =
  | { readonly type: 'job'; readonly job: ViewerJob }
  | { readonly type: 'leave'; readonly version: number }

export interface ViewersReport {
  readonly ages: string
  readonly frames: number
  /** Sockets whose last frame was of the final version. */
  readonly current: number
  readonly closed: number
}

export type FromViewers = { readonly type: 'ready' } | { readonly type: 'done'; readonly report: ViewersReport }

interface StockFields {
  readonly op: string
  readonly epoch: string
  readonly version: number
  readonly total: number
  readonly granted: number
  readonly remaining: number
  readonly at: string
}

const OPENING_AT_ONCE = 50
/** How late frames are is measured of all of them; here only whether the last one ever came. */
const LAST_FRAME_WITHIN_MS = 30_000
const POLL_MS = 20

class Viewers {
  readonly #job: ViewerJob
  readonly #frames = new Frames(1 << 14)
  readonly #ages = new Latency()
  readonly #versions: number[] = []
  readonly #sockets: ViewerSocket[] = []
  #lastBytes: Buffer = Buffer.alloc(0)
  #lastWords: StockFields | undefined
  #closed = 0
  #leaving = false

  constructor(job: ViewerJob) {
    this.#job = job
  }

  async open(): Promise<void> {
    for (let first = 0; first < this.#job.sockets; first += OPENING_AT_ONCE) {
      const count = Math.min(OPENING_AT_ONCE, this.#job.sockets - first)
      await Promise.all(Array.from({ length: count }, (_, place) => this.#open(first + place)))
    }
  }

  /** Resolves with the snapshot, so that a viewer who is ready is really watching. */
  #open(viewer: number): Promise<void> {
    const { roundId } = this.#job
    return new Promise((resolve, reject) => {
      const socket = new ViewerSocket(this.#job, {
        opened: () => socket.send(JSON.stringify({ op: 'subscribe', id: 1, topics: [`stock:${roundId}`] })),
        received: frame => {
          if (this.#receive(viewer, frame)) resolve()
        },
        closed: why => {
          reject(why)
          if (!this.#leaving) this.#closed++
        },
      })
      this.#sockets.push(socket)
    })
  }

  #receive(viewer: number, data: Uint8Array): boolean {
    if (this.#lastBytes.compare(data) !== 0) {
      this.#lastBytes = Buffer.from(data)
      const words = JSON.parse(this.#lastBytes.toString('utf8')) as StockFields
      this.#lastWords = words.op === 'stock' ? words : undefined
    }
    const words = this.#lastWords
    if (words === undefined) return false
    const snapshot = this.#versions[viewer] === undefined
    // A snapshot is as old as the last change, which says nothing about its delivery.
    if (!snapshot) this.#ages.record((performance.timeOrigin + performance.now() - Date.parse(words.at)) * 1000)
    this.#versions[viewer] = words.version
    this.#frames.push({ ...words, received: monotonicUs(), viewer: this.#job.firstViewer + viewer })
    return true
  }

  /** Waits until everybody saw `version` or has had time to. */
  async leave(version: number): Promise<ViewersReport> {
    const current = () => this.#versions.filter(seen => seen === version).length
    const deadline = performance.now() + LAST_FRAME_WITHIN_MS
    while (current() + this.#closed < this.#job.sockets && performance.now() < deadline) {
      await new Promise(resolve => setTimeout(resolve, POLL_MS))
    }
    this.#leaving = true
    for (const socket of this.#sockets) socket.close()
    await this.#frames.save(this.#job.framesFile)
    return { ages: this.#ages.encode(), frames: this.#frames.length, current: current(), closed: this.#closed }
  }
}

let viewers: Viewers | undefined

const send: (message: FromViewers) => void = serveBench<ToViewers>(async message => {
  if (message.type === 'job') {
    viewers = new Viewers(message.job)
    await viewers.open()
    send({ type: 'ready' })
  } else if (viewers !== undefined) {
    send({ type: 'done', report: await viewers.leave(message.version) })
  }
})
