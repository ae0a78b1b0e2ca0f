/**
 * A TCP port of the loopback that is free now, below the range from which the kernel takes its own: an outgoing connection
 * does not take it before the server that it is for.
 */
import { createServer } from 'node:net'

const FIRST = 21_000
const PORTS = 11_000

export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * PORTS)
    const probe = createServer()
    const free = await new Promise<boolean>(resolve => {
      probe.once('error', () => resolve(false))
      probe.listen(port, '127.0.0.1', () => resolve(true))
    })
    if (!free) continue
    await new Promise(resolve => probe.close(resolve))
    return port
  }
}
