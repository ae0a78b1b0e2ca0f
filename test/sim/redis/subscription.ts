/**
 * A node's subscription to stock events on a simulated server: events travel, wait where the network is blocked, may be lost
 * with their connection, and after each (re)connection the listener is told that there may be a gap.
 *
 * It looks after itself as the engine's own listener does with the library's help: it connects to whatever its address
 * means, notices an ended server at once and a moved address only when its connection ends, and tries again.
 */
import type { Clock } from '../../../engine/base/clock.ts'
import { type EventListener, receive } from '../../../engine/store/connection/events.ts'
import { channelRound } from '../../../engine/store/connection/keys.ts'
import type { Network } from './network.ts'
import type { Server } from './server.ts'

const LOOK_MS = 150

export interface SubscriptionOptions {
  readonly clock: Clock & { readonly within: (run: () => void) => void }
  readonly network: Network
  readonly name: string
  readonly resolve: () => Server
  readonly listener: EventListener
}

export class Subscription {
  readonly listener: EventListener
  readonly #options: SubscriptionOptions
  #server: Server | undefined
  #life = 0
  #closed = false

  constructor(options: SubscriptionOptions) {
    this.#options = options
    this.listener = options.listener
    this.#look()
  }

  close(): void {
    this.#closed = true
  }

  /** A server published. */
  heard(server: Server, channel: string, text: string): void {
    const { network, name, clock } = this.#options
    if (server !== this.#server || server.life !== this.#life || this.#closed) return
    network.timeline.after(network.delay(), () =>
      network.pass(server.name, name, () => clock.within(() => receive(this.listener, channelRound(channel), text))),
    )
  }

  /** Connects when it is not connected; a connection lasts as long as the server's life. */
  #look(): void {
    if (this.#closed) return
    const server = this.#options.resolve()
    const lost = !this.#server || this.#server.state === 'down' || this.#server.life !== this.#life
    if (lost && server.state === 'up' && this.#options.network.reaches(server.name, this.#options.name)) {
      this.#server = server
      this.#life = server.life
      this.listener.gap()
    }
    this.#options.clock.after(LOOK_MS, () => this.#look())
  }
}
