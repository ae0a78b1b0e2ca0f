/**
 * What stands in front of several nodes: each new connection goes to the next node that is in turn, and bytes pass as
 * they are. A node that is taken out keeps the connections it has, as with every balancer that looks at `readyz`.
 */
import { once } from 'node:events'
import { createConnection, createServer, type Socket } from 'node:net'

export class Balancer implements AsyncDisposable {
  readonly #server = createServer(client => this.#connect(client))
  readonly #sockets = new Set<Socket>()
  #turn: string[]

  private constructor(urls: readonly string[]) {
    this.#turn = [...urls]
  }

  static async open(urls: readonly string[]): Promise<Balancer> {
    const balancer = new Balancer(urls)
    balancer.#server.listen(0, '127.0.0.1')
    await once(balancer.#server, 'listening')
    return balancer
  }

  get url(): string {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the balancer does not listen')
    return `http://127.0.0.1:${address.port}`
  }

  /** New connections go elsewhere from now on. */
  takeOut(url: string): void {
    this.#turn = this.#turn.filter(each => each !== url)
  }

  putBack(url: string): void {
    this.#turn.push(url)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }

  #connect(client: Socket): void {
    const url = this.#turn.shift()
    if (url === undefined) return void client.destroy()
    this.#turn.push(url)
    const node = createConnection({ host: '127.0.0.1', port: Number(new URL(url).port) })
    for (const [socket, other] of [
      [client, node],
      [node, client],
    ] as const) {
      this.#sockets.add(socket)
      socket.on('error', () => other.destroy())
      socket.on('close', () => this.#sockets.delete(socket))
      socket.pipe(other)
    }
  }
}
