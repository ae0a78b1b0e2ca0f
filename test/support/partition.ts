/**
 * A network between the servers of a cluster that can be cut in two. Each server is reached through doors of its own (the ports
 * that it announces) and calls from an address of its own below 127, so a door knows who calls. What crosses the cut
 * goes nowhere, in both directions and on old connections, too, as where a switch died; those connections end when it heals.
 *
 * Who calls from another address, as engines and tests do, reaches both sides: that is what makes a deposed primary dangerous.
 */
import { once } from 'node:events'
import { createConnection, createServer, type Server, type Socket } from 'node:net'

interface Pipe {
  readonly from: string
  readonly to: string
  readonly ends: readonly Socket[]
}

export class Partition implements AsyncDisposable {
  readonly #doors: Server[] = []
  readonly #pipes = new Set<Pipe>()
  #named = 0
  #isolated: ReadonlySet<string> = new Set()

  /** An address for one more server to call from. */
  name(): string {
    return `127.77.0.${++this.#named}`
  }

  /** The port of a new door to a port of the server with this name. */
  async door(to: string, port: number): Promise<number> {
    const door = createServer(caller => this.#let(caller, to, port))
    this.#doors.push(door)
    door.listen(0, '127.0.0.1')
    await once(door, 'listening')
    return (door.address() as { port: number }).port
  }

  /** Cuts these servers off from all others. */
  cut(...names: readonly string[]): void {
    this.#isolated = new Set(names)
  }

  heal(): void {
    const torn = [...this.#pipes].filter(pipe => this.#isCut(pipe))
    this.#isolated = new Set()
    for (const { ends } of torn) for (const end of ends) end.destroy()
  }

  async close(): Promise<void> {
    for (const { ends } of this.#pipes) for (const end of ends) end.destroy()
    await Promise.all(
      this.#doors.map(door => {
        const closed = once(door, 'close')
        door.close()
        return closed
      }),
    )
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #isCut({ from, to }: Pipe): boolean {
    return from.startsWith('127.77.') && this.#isolated.has(from) !== this.#isolated.has(to)
  }

  #let(caller: Socket, to: string, port: number): void {
    const server = createConnection({ host: '127.0.0.1', port })
    const pipe: Pipe = { from: caller.remoteAddress ?? '', to, ends: [caller, server] }
    this.#pipes.add(pipe)
    for (const [from, into] of [pipe.ends, pipe.ends.toReversed()] as [Socket, Socket][]) {
      from.setNoDelay(true)
      from.on('error', () => {})
      from.on('data', bytes => void (this.#isCut(pipe) || into.write(bytes)))
      from.on('close', () => {
        this.#pipes.delete(pipe)
        into.destroy()
      })
    }
  }
}
