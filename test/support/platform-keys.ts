/**
 * A platform's keys for tests: pairs of each algorithm, what it publishes of them, tokens that they sign, and a server on the
 * loopback that publishes, or misbehaves as a test wants it to.
 *
 * Made with node:crypto and a real HTTP server; nothing here is the engine's.
 */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Algorithm = 'RS256' | 'ES256' | 'EdDSA'
export const ALGORITHMS: readonly Algorithm[] = ['RS256', 'ES256', 'EdDSA']

function pairOf(algorithm: Algorithm): { publicKey: KeyObject; privateKey: KeyObject } {
  if (algorithm === 'RS256') return generateKeyPairSync('rsa', { modulusLength: 2048 })
  if (algorithm === 'ES256') return generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return generateKeyPairSync('ed25519')
}

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')

export class PlatformKey {
  readonly algorithm: Algorithm
  readonly kid: string
  readonly #public: KeyObject
  readonly #private: KeyObject

  constructor(algorithm: Algorithm, kid: string) {
    this.algorithm = algorithm
    this.kid = kid
    const { publicKey, privateKey } = pairOf(algorithm)
    this.#public = publicKey
    this.#private = privateKey
  }

  /** As it is published, with other fields where a test wants them. */
  jwk(more: object = {}): object {
    return { ...this.#public.export({ format: 'jwk' }), kid: this.kid, use: 'sig', alg: this.algorithm, ...more }
  }

  /** With its private part, which nobody should publish. */
  privateJwk(): object {
    return { ...this.#private.export({ format: 'jwk' }), kid: this.kid }
  }

  /** A token that is valid for an hour; header and claims win over what a platform would write. */
  token(sub: string, { header = {}, claims = {} }: { header?: object; claims?: object } = {}): string {
    const exp = Math.floor(Date.now() / 1000) + 3600
    const signed = `${part({ alg: this.algorithm, kid: this.kid, ...header })}.${part({ sub, exp, ...claims })}`
    const bytes = Buffer.from(signed)
    const signature =
      this.algorithm === 'ES256'
        ? sign('sha256', bytes, { key: this.#private, dsaEncoding: 'ieee-p1363' })
        : sign(this.algorithm === 'RS256' ? 'sha256' : null, bytes, this.#private)
    return `${signed}.${signature.toString('base64url')}`
  }
}

export const keySet = (...keys: readonly object[]): string => JSON.stringify({ keys })

export class KeyServer {
  /** What the next requests are answered by. */
  answer: RequestListener = (_, res) => res.writeHead(503).end()
  /** How many requests came. */
  asked = 0
  readonly #server: Server
  readonly #port: number

  private constructor(server: Server) {
    this.#server = server
    this.#port = (server.address() as AddressInfo).port
    server.on('request', (req, res) => {
      this.asked++
      this.answer(req, res)
    })
  }

  static async open(port = 0): Promise<KeyServer> {
    const server = createServer()
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return new KeyServer(server)
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/keys`
  }

  publish(...keys: readonly PlatformKey[]): void {
    const text = keySet(...keys.map(key => key.jwk()))
    this.answer = (_, res) => res.writeHead(200, { 'content-type': 'application/json' }).end(text)
  }

  /** Nobody listens any more; gives what listens again on the same port. */
  async close(): Promise<() => Promise<KeyServer>> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
    return () => KeyServer.open(this.#port)
  }
}
