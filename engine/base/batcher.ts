/**
 * Group commit for what a script does many times in one call: what is asked while a call is under way waits and leaves
 * together as the next one, so one command, one write of the log and one sync serve all of it. No timer: alone, a
 * request leaves at the end of this turn of the event loop. Claims have a queue of their own (campaign/claim/claim-queue.ts),
 * which packs bytes and answers in columns; this one is for requests that are a thousand times rarer and larger.
 *
 * A call that ends without an answer fails for everyone in it with the same fault: the link has asked until it was certain
 * or ran out of time, and nothing here asks again.
 */
import type { Clock } from './clock.ts'

interface Waiting<Ask, Answer> {
  readonly ask: Ask
  readonly resolve: (answer: Answer) => void
  readonly reject: (cause: unknown) => void
}

export interface BatcherOptions<Ask, Answer> {
  /** The most that one call carries, and the calls of one name under way at once. */
  readonly most: number
  readonly inFlight: number
  readonly send: (name: string, asks: readonly Ask[]) => Promise<readonly Answer[]>
  /** Calls back at the end of this turn of the event loop. */
  readonly soon: Clock['soon']
}

interface Queue<Ask, Answer> {
  waiting: Waiting<Ask, Answer>[]
  inFlight: number
  scheduled: boolean
}

export class Batcher<Ask, Answer> {
  readonly #options: BatcherOptions<Ask, Answer>
  readonly #queues = new Map<string, Queue<Ask, Answer>>()

  constructor(options: BatcherOptions<Ask, Answer>) {
    this.#options = options
  }

  /** Asks with others of the same name. */
  ask(name: string, ask: Ask): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const queue = this.#queues.get(name) ?? { waiting: [], inFlight: 0, scheduled: false }
      this.#queues.set(name, queue)
      queue.waiting.push({ ask, resolve, reject })
      this.#schedule(name, queue)
    })
  }

  #schedule(name: string, queue: Queue<Ask, Answer>): void {
    if (queue.scheduled || !this.#worthSending(queue)) return
    queue.scheduled = true
    this.#options.soon(() => {
      queue.scheduled = false
      while (this.#worthSending(queue)) this.#send(name, queue)
    })
  }

  #worthSending({ waiting, inFlight }: Queue<Ask, Answer>): boolean {
    if (waiting.length === 0 || inFlight >= this.#options.inFlight) return false
    return inFlight === 0 || waiting.length >= this.#options.most / 2
  }

  #send(name: string, queue: Queue<Ask, Answer>): void {
    const batch = queue.waiting.splice(0, this.#options.most)
    queue.inFlight++
    const settle = () => {
      queue.inFlight--
      if (queue.inFlight === 0 && queue.waiting.length === 0) this.#queues.delete(name)
      else this.#schedule(name, queue)
    }
    this.#options
      .send(
        name,
        batch.map(({ ask }) => ask),
      )
      .then(
        answers => {
          for (const [i, { resolve }] of batch.entries()) resolve(answers[i] as Answer)
          settle()
        },
        cause => {
          for (const { reject } of batch) reject(cause)
          settle()
        },
      )
  }
}
