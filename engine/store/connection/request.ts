/**
 * A request as a link keeps it until it has an answer, and the key that says where it belongs. One Redis has one place, so
 * there a request is never asked for its key. On a cluster it is asked once: a script comes with its keys, and all else is
 * sent to a client that goes nowhere, which notes the first key of what it is given.
 *
 * Rejected: a key beside each request. Each of them names its keys already, and what is written twice comes to differ.
 */
import { type Command, Redis } from 'ioredis'

export type Send = (client: Redis) => Promise<unknown>

export interface Request {
  readonly send: Send
  readonly resolve: (reply: unknown) => void
  readonly reject: (cause: unknown) => void
  readonly deadline: number
  readonly replicas: number
  /** A script, one command: its caller wants to know how it was sent. */
  readonly reports: boolean
  /** The first of its keys; undefined until it is asked for. */
  key: string | undefined
  /** It was sent on more than one connection; see Sent. */
  again: boolean
  /** It was executed, and not confirmed; see Sent. */
  executed: boolean
  /** The connection that it was last written to. */
  writtenTo: Redis | undefined
}

class Probe extends Redis {
  found: string | undefined

  constructor() {
    super({ lazyConnect: true })
    this.status = 'ready'
  }

  override sendCommand(command: Command): Promise<never> {
    const [key] = command.getKeys()
    if (key !== undefined) this.found ??= String(key)
    return new Promise(() => {})
  }
}

let probe: Probe | undefined

/** The first key of what is sent; empty where it has none and any server may answer. */
export function keyOf(send: Send): string {
  probe ??= new Probe()
  probe.found = undefined
  void send(probe)
  return probe.found ?? ''
}

/**
 * A client whose every command the server takes although the slot is not its own yet: what a server of a cluster asks for that
 * is about to give one away. The word and the command leave in one write.
 */
export function asking(client: Redis): Redis {
  const sendCommand: Redis['sendCommand'] = (command, stream) => {
    client.stream.cork()
    client.call('ASKING').catch(() => {})
    const sent = client.sendCommand(command, stream)
    client.stream.uncork()
    return sent
  }
  return Object.create(client, { sendCommand: { value: sendCommand } }) as Redis
}
