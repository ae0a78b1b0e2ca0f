/**
 * Stock events: the notices that every round script publishes, on a connection of their own. They make other workers
 * quick, never correct: each is absolute, and after a gap (a reconnect) the listener has to read again. The same
 * channel carries the calls for marks of a strict round (scripts/lib/order.lua): who misses one is waited for 50 ms.
 * The node's name is a channel that each of its workers listens to: which nodes there are is which channels have listeners,
 * true at every moment and without a registry that could be wrong. A message that is no notice (another version's, a
 * person's) is a reason to read, and never the end of a worker.
 */
import { Redis } from 'ioredis'
import type { Random } from '../../base/random.ts'
import { type Notice, readNotice } from '../data/notice.ts'
import { redisOptions } from './address.ts'
import { allChannels, channelRound, nodeChannel } from './keys.ts'
import type { TlsFiles } from './tls-files.ts'

export interface EventListener {
  readonly received: (roundId: string, notice: Notice) => void
  /** A claim of a strict round waits for this worker's mark; its stamp in microseconds since 1970. */
  readonly awaited: (roundId: string, stamp: number) => void
  /** Events may have been missed, of one round or of all: read the state again. */
  readonly gap: (roundId?: string) => void
}

const AWAITS = 'awaits '

/** When a connection for events is tried again, milliseconds. */
export const retryOf = (random: Random) => (attempt: number) =>
  Math.min(1000, 20 * 2 ** Math.min(attempt, 6)) * (0.5 + random.float() / 2)

/** Hands a listener what came on a round's channel. */
export function receive(listener: EventListener, roundId: string, message: string): void {
  if (message.startsWith(AWAITS)) {
    const stamp = Number(message.slice(AWAITS.length))
    if (Number.isSafeInteger(stamp)) listener.awaited(roundId, stamp)
    return
  }
  const notice = readNotice(message)
  if (notice) listener.received(roundId, notice)
  else listener.gap(roundId)
}

export interface Listening {
  /** The name of the node that this is a worker of. */
  readonly node: string
  readonly listener: EventListener
  readonly random: Random
  readonly tls?: TlsFiles | undefined
  /** Gets Redis's words when it refuses a subscription, and nothing when it takes one. */
  readonly refused?: ((why?: string) => void) | undefined
}

/** Passes on that a subscription was refused; one whose connection ended is made again. */
export function refusedBy(cause: Error, { refused }: Pick<Listening, 'refused'>): void {
  if (cause.name === 'ReplyError') refused?.(cause.message)
}

/** Subscribes to the stock of all rounds, as a worker of a node; the returned function ends it. */
export function listenToStock(url: string, listening: Listening): () => void {
  const { node, listener, random, tls } = listening
  const client = new Redis({
    ...redisOptions(url, tls),
    maxRetriesPerRequest: null,
    // It subscribes below, where a refusal (NOPERM) is caught; the library's own try would end the process.
    autoResubscribe: false,
    retryStrategy: retryOf(random),
  })
  client.on('error', () => {})
  client.on('ready', () => {
    client.psubscribe(allChannels()).then(
      () => {
        listening.refused?.()
        listener.gap()
      },
      (cause: Error) => refusedBy(cause, listening),
    )
    client.subscribe(nodeChannel(node)).catch(() => {})
  })
  client.on('pmessage', (_: string, channel: string, message: string) =>
    receive(listener, channelRound(channel), message),
  )
  return () => client.disconnect()
}
