/**
 * One question to a Redis server, on a connection of its own: an inline command by hand, and its reply as text.
 *
 * The bench must not share the engine's Redis client, and a handful of commands (INFO, CLUSTER …) does not need another one.
 */
import { connect } from 'node:net'

const PATIENCE_MS = 2000

/** Where a server listens: a port of the loopback, or a unix socket. */
export type RedisPlace = { readonly port: number } | { readonly path: string }

/** The reply that begins `bytes`; undefined while some of it is missing. Throws what Redis calls an error. */
function replyIn(bytes: Buffer): string | undefined {
  const end = bytes.indexOf('\r\n')
  if (end < 0) return undefined
  const [kind, head] = [bytes.toString('latin1', 0, 1), bytes.toString('latin1', 1, end)]
  if (kind === '-') throw new Error(`Redis answered ${head}`)
  if (kind !== '$') return head
  const last = end + 2 + Number(head)
  return bytes.length < last + 2 ? undefined : bytes.toString('latin1', end + 2, last)
}

/** Rejects when the server cannot be reached, says nothing for two seconds, or answers with an error. */
export function askRedis(place: RedisPlace, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let bytes = Buffer.alloc(0)
    const socket = connect(place, () => socket.write(`${command}\r\n`))
    socket.setTimeout(PATIENCE_MS, () => socket.destroy(new Error(`Redis did not answer ${command}`)))
    socket.on('error', reject)
    socket.on('close', () => reject(new Error(`Redis closed the connection before it answered ${command}`)))
    socket.on('data', chunk => {
      bytes = Buffer.concat([bytes, chunk])
      try {
        const reply = replyIn(bytes)
        if (reply === undefined) return
        resolve(reply)
      } catch (cause) {
        reject(cause)
      }
      socket.destroy()
    })
  })
}
