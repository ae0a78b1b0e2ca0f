/**
 * A node's client for the stock events of one server of a simulated cluster: what the engine's ShardEvents takes for an ioredis client
 * that subscribes to sharded channels, connects by itself and again behind each end, and is told when a slot was given away.
 *
 * A server takes a subscription only for slots that it has, forgets all of them with its life, and those of a slot that it gives
 * away. Rejected: the simulated client of requests; what comes here was never asked for.
 */
import type { Redis } from 'ioredis'
import type { Clock } from '../../../engine/base/clock.ts'
import type { Subscriber } from '../cluster.ts'
import type { Network } from '../redis/network.ts'
import type { Server } from '../redis/server.ts'

const LOOK_MS = 150

interface ShardSubscriberOptions {
  readonly clock: Clock & { readonly within: (run: () => void) => void }
  readonly network: Network
  readonly name: string
  readonly server: Server
  /** Whether the server has a channel's slot, as it believes. */
  readonly serves: (channel: string) => boolean
}

type Event = 'error' | 'close' | 'ready' | 'moved' | 'smessage' | 'end'

export class ShardSubscriber implements Subscriber {
  status = 'connecting'
  readonly #options: ShardSubscriberOptions
  readonly #heard = new Map<Event, (...words: readonly string[]) => void>()
  readonly #channels = new Set<string>()
  #life = 0

  constructor(options: ShardSubscriberOptions) {
    this.#options = options
    options.clock.after(0, () => this.#look())
  }

  on(event: Event, run: (...words: readonly string[]) => void): void {
    this.#heard.set(event, run)
  }

  async ssubscribe(channel: string): Promise<void> {
    const isTaken = await this.#asks(() => {
      const isServed = this.#options.serves(channel)
      if (isServed) this.#channels.add(channel)
      return isServed
    })
    if (isTaken) return
    throw Object.assign(new Error('MOVED 0 elsewhere'), { name: 'ReplyError' })
  }

  async sunsubscribe(channel: string): Promise<void> {
    await this.#asks(() => this.#channels.delete(channel))
  }

  disconnect(): void {
    this.status = 'end'
    this.#emit('end')
  }

  close(): void {
    this.status = 'end'
  }

  /** The server published. */
  heard(server: Server, channel: string, text: string): void {
    if (server === this.#options.server && this.#isOn && this.#channels.has(channel))
      this.#arrives(() => this.#emit('smessage', channel, text))
  }

  /** The server has given slots away. */
  left(server: Server): void {
    if (server !== this.#options.server || !this.#isOn) return
    const gone = [...this.#channels].filter(channel => !this.#options.serves(channel))
    for (const channel of gone) this.#channels.delete(channel)
    if (gone.length > 0) this.#arrives(() => this.#emit('moved'))
  }

  get #isOn(): boolean {
    const { server } = this.#options
    return this.status === 'ready' && server.state !== 'down' && server.life === this.#life
  }

  /** Asks the server something, and has its answer a way there and back later. */
  #asks(run: () => boolean): Promise<boolean> {
    return new Promise(resolve => {
      const back = (answer: boolean) => this.#arrives(() => resolve(answer))
      this.#arrives(() => {
        if (this.#isOn) back(run())
      })
    })
  }

  #arrives(run: () => void): void {
    const { network, server, name, clock } = this.#options
    network.timeline.after(network.delay(), () =>
      network.pass(server.name, name, () =>
        clock.within(() => {
          if (this.status !== 'end') run()
        }),
      ),
    )
  }

  #emit(event: Event, ...words: readonly string[]): void {
    this.#heard.get(event)?.(...words)
  }

  /** Connects when it is not connected; a connection lasts as long as the server's life. */
  #look(): void {
    const { server, network, name, clock } = this.#options
    if (this.status === 'end') return
    if (this.status === 'ready' && !this.#isOn) {
      this.status = 'connecting'
      this.#channels.clear()
      this.#emit('close')
    }
    if (this.status === 'connecting' && server.state === 'up' && network.reaches(server.name, name)) {
      this.status = 'ready'
      this.#life = server.life
      this.#emit('ready')
    }
    clock.after(LOOK_MS, () => this.#look())
  }
}

/** The client as the engine's ShardEvents wants it. */
export const asRedisOf = (subscriber: ShardSubscriber): Redis => subscriber as unknown as Redis
