/**
 * One forked process of the bench and the messages it has sent: each can be awaited by its type, before or after it came.
 *
 * A member that says `failed`, or that ends before it said what is awaited, fails whoever waits: half a load is no
 * measurement. Messages are plain objects with a `type`; what follows the type is between the two sides.
 */

import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export interface Message {
  readonly type: string
}

export type Failed = { readonly type: 'failed'; readonly reason: string }

export class Member<In extends Message, Out extends Message> {
  readonly #child: ChildProcess
  readonly #latest = new Map<string, Out>()
  readonly #waiting = new Map<string, PromiseWithResolvers<Out>>()
  #failure: Error | undefined

  /** `program` is a file beside this one. */
  constructor(program: string) {
    const path = fileURLToPath(new URL(program, import.meta.url))
    this.#child = fork(path, { serialization: 'advanced', stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.#child.on('message', (message: Out | Failed) => this.#receive(message))
    this.#child.on('exit', code => this.#fail(new Error(`${program} ended with code ${code} before it had reported`)))
  }

  send(message: In): void {
    if (this.#child.connected) this.#child.send(message)
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  /** The last message of a type, if one came. */
  latest<T extends Out['type']>(type: T): Extract<Out, { readonly type: T }> | undefined {
    return this.#latest.get(type) as Extract<Out, { readonly type: T }> | undefined
  }

  async wait<T extends Out['type']>(type: T): Promise<Extract<Out, { readonly type: T }>> {
    const arrived = this.latest(type)
    if (arrived !== undefined) return arrived
    if (this.#failure !== undefined) throw this.#failure
    const waiting = this.#waiting.get(type) ?? Promise.withResolvers<Out>()
    this.#waiting.set(type, waiting)
    return (await waiting.promise) as Extract<Out, { readonly type: T }>
  }

  #receive(message: Out | Failed): void {
    if (message.type === 'failed') return void this.#fail(new Error((message as Failed).reason))
    this.#latest.set(message.type, message as Out)
    this.#waiting.get(message.type)?.resolve(message as Out)
  }

  #fail(error: Error): void {
    this.#failure ??= error
    for (const waiting of this.#waiting.values()) waiting.reject(this.#failure)
  }
}

/** The other side: runs `receive` for each message, reports what goes wrong, and ends with the bench. */
export function serveBench<In extends Message>(
  receive: (message: In) => Promise<void> | void,
): (message: Message) => void {
  const send = (message: Message): void => void process.send?.(message)
  const fail = (error: unknown): void => {
    const reason = error instanceof Error ? (error.stack ?? error.message) : String(error)
    process.send?.({ type: 'failed', reason } satisfies Failed, () => process.exit(1))
  }
  process.on('message', (message: In) => void Promise.resolve(message).then(receive).catch(fail))
  process.on('uncaughtException', fail)
  process.on('unhandledRejection', fail)
  // The bench decides when a run ends; the terminal's signal reaches the whole group.
  process.on('SIGINT', () => undefined)
  process.on('disconnect', () => process.exit())
  return send
}
