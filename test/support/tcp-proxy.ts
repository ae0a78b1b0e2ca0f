/**
 * A network between the engine and its Redis that a test can break: pass, drop what is asked, drop what is answered,
 * cut after a number of bytes, swallow everything, delay.
 *
 * TCP never loses bytes in the middle of a stream: so connections from which bytes were dropped are ended when the way
 * is open again, else an answer could pass for that of another question.
 *
 * It runs in the process of the test and forwards bytes without knowing their protocol. What was asked is kept by
 * connection, so a test can see that a request was sent again with the same bytes. `forwarded` resolves when bytes of
 * a kind have passed or were dropped: tests wait for that event, never for a time. `keepBack` stops one request on its
 * way until it is let go. A delay is the one thing here that takes time, because it is what it models.
 */
import { once } from 'node:events'
import { createConnection, createServer, type NetConnectOpts, type Server, type Socket } from 'node:net'

export type Way = 'pass' | 'drop requests' | 'drop replies' | 'black hole'
export type Direction = 'request' | 'reply'

interface Waiter {
  readonly direction: Direction
  readonly match: (bytes: Buffer) => boolean
  readonly resolve: () => void
}

export class TcpProxy implements AsyncDisposable {
  delayMs = 0
  /** What each connection asked, oldest connection first; dropped bytes included. */
  get asked(): Buffer[] {
    return this.#asked.map(chunks => Buffer.concat(chunks))
  }
  readonly #asked: Buffer[][] = []
  /** Where new connections go; a test moves them to another server, as a name in DNS would. */
  upstream: NetConnectOpts
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #waiters = new Set<Waiter>()
  readonly #lossy = new Set<Socket>()
  #cut: { readonly direction: Direction; left: number; readonly done: () => void } | undefined
  #way: Way = 'pass'
  #keeping: ((bytes: Buffer) => boolean) | undefined
  /** What is kept back, by the socket that it is for. */
  readonly #kept = new Map<Socket, Buffer[]>()

  readonly #remembers: boolean

  private constructor(upstream: NetConnectOpts, remembers: boolean) {
    this.upstream = upstream
    this.#remembers = remembers
    this.#server = createServer(client => this.#connect(client))
  }

  /** A proxy on a free port of 127.0.0.1; one through which gigabytes go need not remember what was asked. */
  static async open(upstream: NetConnectOpts, { remembers = true } = {}): Promise<TcpProxy> {
    const proxy = new TcpProxy(upstream, remembers)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get url(): string {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the proxy does not listen')
    return `redis://127.0.0.1:${address.port}`
  }

  get way(): Way {
    return this.#way
  }

  set way(way: Way) {
    this.#way = way
    if (way !== 'pass') return
    for (const socket of this.#lossy) socket.destroy()
    this.#lossy.clear()
  }

  /** Ends the connection after `bytes` more of a direction; what comes after them is lost. Once; resolves when it did. */
  cutAfter(direction: Direction, bytes: number): Promise<void> {
    return new Promise(done => {
      this.#cut = { direction, left: bytes, done }
    })
  }

  /** Resolves when bytes of a direction that match came by, whether they were let through or not. */
  forwarded(direction: Direction, match: (bytes: Buffer) => boolean = () => true): Promise<void> {
    return new Promise(resolve => this.#waiters.add({ direction, match, resolve }))
  }

  /** Keeps the next request that matches, and all behind it on its connection; resolves when it is there. */
  keepBack(match: (bytes: Buffer) => boolean): Promise<void> {
    return new Promise(resolve => {
      this.#keeping = bytes => {
        if (!match(bytes)) return false
        resolve()
        return true
      }
    })
  }

  /** Lets go of what was kept back. */
  letGo(): void {
    this.#keeping = undefined
    for (const [to, chunks] of this.#kept) for (const bytes of chunks) to.write(bytes)
    this.#kept.clear()
  }

  /** Ends every connection. */
  disconnect(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.disconnect()
    await closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #connect(client: Socket): void {
    const upstream = createConnection(this.upstream)
    const asked: Buffer[] = []
    this.#asked.push(asked)
    for (const [from, to, direction] of [
      [client, upstream, 'request'],
      [upstream, client, 'reply'],
    ] as const) {
      this.#sockets.add(from)
      from.setNoDelay(true)
      from.on('error', () => {})
      from.on('close', () => {
        this.#sockets.delete(from)
        to.destroy()
      })
      from.on('data', bytes => {
        if (this.#remembers && direction === 'request') asked.push(bytes)
        if (direction === 'request' && this.#keeps(bytes, to)) return
        this.#pass(bytes, { to, from, direction })
      })
    }
  }

  #keeps(bytes: Buffer, to: Socket): boolean {
    const kept = this.#kept.get(to)
    if (kept) kept.push(bytes)
    else if (this.#keeping?.(bytes)) {
      this.#keeping = undefined
      this.#kept.set(to, [bytes])
    }
    return this.#kept.has(to)
  }

  #pass(bytes: Buffer, { to, from, direction }: { to: Socket; from: Socket; direction: Direction }): void {
    if (this.#isOpen(direction)) {
      const cut = this.#cut?.direction === direction ? this.#cut : undefined
      if (cut && bytes.length >= cut.left) {
        this.#cut = undefined
        to.end(bytes.subarray(0, cut.left), () => to.destroy())
        from.destroy()
        cut.done()
      } else {
        if (cut) cut.left -= bytes.length
        if (this.delayMs > 0) setTimeout(() => to.writable && to.write(bytes), this.delayMs)
        else to.write(bytes)
      }
    } else this.#lossy.add(from)
    for (const waiter of this.#waiters) {
      if (waiter.direction !== direction || !waiter.match(bytes)) continue
      this.#waiters.delete(waiter)
      waiter.resolve()
    }
  }

  #isOpen(direction: Direction): boolean {
    if (this.way === 'black hole') return false
    return this.way !== (direction === 'request' ? 'drop requests' : 'drop replies')
  }
}
