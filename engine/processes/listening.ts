/**
 * Where a node listens, looked at before its workers start: the address is this machine's, nobody else has the port.
 *
 * The workers share the port by SO_REUSEPORT, so a second node on it would not fail but take half of the traffic. Unless
 * HOST is set a node with keys listens to every address of both families, or of IPv4 where the system has no other.
 */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { ConfigError } from '../config.ts'

const LEAVES_MS = 2000
const LOOK_MS = 100

/** Listens there for a moment and gives the port; throws the system's error. */
async function tried(host: string, port: number): Promise<number> {
  const server = createServer()
  server.listen(port, host)
  await once(server, 'listening')
  const address = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return address.port
}

/** The address to listen on; throws ConfigError when it is none of this machine's. */
export async function hostOf(host: string): Promise<string> {
  if (host === '')
    return tried('::', 0).then(
      () => '::',
      () => '0.0.0.0',
    )
  await tried(host, 0).catch((cause: NodeJS.ErrnoException) => {
    throw new ConfigError(
      `HOST: "${host}" (from the environment) is no address of this machine (${cause.code}); ` +
        'set it to one, like 127.0.0.1, or unset it: some shells set HOST to the name of the machine',
    )
  })
  return host
}

const ANY: Readonly<Record<string, readonly string[]>> = { '0.0.0.0': ['127.0.0.1'], '::': ['127.0.0.1', '::1'] }

/** The address under which the node reaches itself. */
const ownAddress = (host: string): string => ANY[host]?.[0] ?? host

/** The node's address as a person may open it. */
export function urlOf(host: string, port: number): string {
  const own = ownAddress(host)
  return `http://${own.includes(':') ? `[${own}]` : own}:${port}`
}

function taken(host: string, port: number): Promise<boolean> {
  return new Promise(done => {
    const probe = connect({ host, port })
    probe.once('connect', () => {
      probe.destroy()
      done(true)
    })
    probe.once('error', () => done(false))
  })
}

/** A port that this node has for itself: the given one, or a free one for 0. Throws when somebody listens there and stays. */
export async function portOf(host: string, port: number): Promise<number> {
  if (port === 0) return tried(host, 0)
  const hosts = ANY[host] ?? [host]
  // The workers of a node that was killed leave its port a moment later.
  for (let waited = 0; (await Promise.all(hosts.map(each => taken(each, port)))).includes(true); waited += LOOK_MS) {
    if (waited >= LEAVES_MS)
      throw new Error(`port ${port} is taken; stop what listens there or set PORT to another one (0 takes a free one)`)
    await new Promise(done => setTimeout(done, LOOK_MS))
  }
  return port
}
