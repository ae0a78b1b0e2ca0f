/**
 * People who watch a round and come back when they are cut off: thousands of sockets, in processes of their own.
 *
 * A process of its own has its own open files, can be frozen as a whole, which is what dead clients look like to the
 * engine, and takes no time from the people who claim (crowd.ts) and are timed. `come`, `cut`, `saw` and `leave` resolve
 * when every viewer is there, is back with a new snapshot, has seen a version, or has gone.
 *
 * Rejected: the viewers of the bench, who come once, a few at a time, and measure ages.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { KEYS } from './engine.ts'

export interface AudienceJob {
  readonly url: string
  readonly key: string
  readonly roundId: string
  readonly sockets: number
  /** The last part of the addresses that the sockets come from. */
  readonly address: number
  /** Each comes, and comes back, at a moment of its own within this time. */
  readonly withinMs: number
}

export type AudienceQuestion = { readonly id: number } & (
  | { readonly ask: 'come'; readonly job: AudienceJob }
  | { readonly ask: 'cut' | 'leave' }
  | { readonly ask: 'saw'; readonly version: number }
)

export interface AudienceAnswer {
  readonly id: number
  /** Connections that ended or were refused, up to now. */
  readonly lost: number
}

type Ask<Question> = Question extends unknown ? Omit<Question, 'id'> : never

const PROGRAM = fileURLToPath(new URL('audience-member.ts', import.meta.url))
let addresses = 0

export class Audience implements AsyncDisposable {
  readonly sockets: number
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, PromiseWithResolvers<AudienceAnswer>>()
  #questions = 0

  constructor(sockets: number) {
    this.sockets = sockets
    this.#child = fork(PROGRAM, { execArgv: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.#child.on('message', (answer: AudienceAnswer) => {
      this.#waiting.get(answer.id)?.resolve(answer)
      this.#waiting.delete(answer.id)
    })
    this.#child.once('exit', code => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`an audience ended with ${code}`))
    })
  }

  /** Everybody connects and watches a round. */
  async come(url: string, roundId: string, withinMs = 1000): Promise<void> {
    const address = 1 + (addresses++ % 250)
    const job = { url, key: KEYS.operator, roundId, sockets: this.sockets, address, withinMs }
    await this.#ask({ ask: 'come', job })
  }

  /** Everybody is cut off and comes back. */
  async cut(): Promise<void> {
    await this.#ask({ ask: 'cut' })
  }

  /** Everybody has been told a version, or a later one, on his newest connection; with how many were ended up to now. */
  async saw(version: number): Promise<number> {
    return (await this.#ask({ ask: 'saw', version })).lost
  }

  async leave(): Promise<void> {
    await this.#ask({ ask: 'leave' })
  }

  /** Nobody reads or answers any more, and nobody has closed anything. */
  freeze(): void {
    this.#child.kill('SIGSTOP')
  }

  thaw(): void {
    this.#child.kill('SIGCONT')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exited
  }

  #ask(question: Ask<AudienceQuestion>): Promise<AudienceAnswer> {
    const id = ++this.#questions
    const answer = Promise.withResolvers<AudienceAnswer>()
    this.#waiting.set(id, answer)
    this.#child.send({ id, ...question })
    return answer.promise
  }
}
