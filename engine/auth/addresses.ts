/**
 * Addresses as they are compared and counted: one text for each, however a socket, a header or a setting writes it. IPv4 is
 * dotted, also where it came mapped into IPv6; IPv6 is eight groups of four digits.
 */
import { BlockList, isIP } from 'node:net'

/** IPv4 that is written as IPv6. */
const MAPPED = /^(?:0000:){5}ffff:(\w\w)(\w\w):(\w\w)(\w\w)$/

/** The one text of an address, or undefined for what is none. */
export function addressIn(text: string): string | undefined {
  const family = isIP(text)
  if (family === 4) return text
  if (family !== 6 || text.includes('%')) return undefined
  // The library's parser has the shortest form; the longest one can be cut into networks.
  const [left = '', right] = new URL(`http://[${text}]`).hostname.slice(1, -1).split('::')
  const [head, tail] = [left, right ?? ''].map(half => (half === '' ? [] : half.split(':'))) as [string[], string[]]
  const zeros = Array<string>(8 - head.length - tail.length).fill('0')
  const full = [...head, ...zeros, ...tail].map(group => group.padStart(4, '0')).join(':')
  const mapped = MAPPED.exec(full)
  return mapped
    ? mapped
        .slice(1)
        .map(byte => Number.parseInt(byte, 16))
        .join('.')
    : full
}

/** Who is counted together: IPv6 callers own a /64, so that is theirs; IPv4 callers have one address. */
export function networkOf(address: string): string {
  const one = addressIn(address) ?? address
  return one.includes(':') ? one.split(':').slice(0, 4).join(':') : one
}

/** A list of addresses and of networks (`10.0.0.0/8`, `fd00::/8`). */
export class Networks {
  readonly #list = new BlockList()

  /** Throws with the entry that is neither. */
  constructor(entries: readonly string[]) {
    for (const entry of entries) {
      const [text = '', bits, more] = entry.split('/')
      const address = addressIn(text)
      const isMapped = address !== undefined && isIP(text) === 6 && isIP(address) === 4
      const most = address === undefined || isIP(address) === 4 ? 32 : 128
      const length = bits === undefined ? most : Number(bits) - (isMapped ? 96 : 0)
      if (address === undefined || more !== undefined || !/^\d{1,3}$/.test(bits ?? '0') || length < 0 || length > most)
        throw new Error(entry)
      this.#list.addSubnet(address, length, most === 32 ? 'ipv4' : 'ipv6')
    }
  }

  /** Whether an address is one of them. */
  has(address: string): boolean {
    const one = addressIn(address)
    return one !== undefined && this.#list.check(one, isIP(one) === 4 ? 'ipv4' : 'ipv6')
  }
}

/** An entry of X-Forwarded-For without its port: `192.0.2.1:80`, `[2001:db8::1]:80`, `"[2001:db8::1]"`. */
const withoutPort = (entry: string): string =>
  entry
    .trim()
    .replaceAll('"', '')
    .replace(/^\[(.*)\](?::\d+)?$/, '$1')
    .replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, '$1')

/**
 * Who asks, where a trusted proxy asks for them: of X-Forwarded-For the right-most address that is not itself trusted, the
 * left-most one where all are. What stands left of it anybody may have written. From others, and where the value is no
 * address, it is the socket's own.
 */
export function callerAddress(socket: string, forwarded: string, trusted: Networks): string {
  if (forwarded === '' || !trusted.has(socket)) return socket
  let found = socket
  for (const entry of forwarded.split(',').reverse()) {
    const address = addressIn(withoutPort(entry))
    if (address === undefined) return socket
    found = address
    if (!trusted.has(address)) break
  }
  return found
}
