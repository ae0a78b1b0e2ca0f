/**
 * Authorities and certificates for a test of TLS, made by openssl in a folder of the test's own: `ours`, whom the test trusts, and
 * `theirs`, whom nobody does; each certificate is for this machine, by its name and by its address.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TlsFiles } from '../../engine/store/connection/tls-files.ts'

const openssl = (...args: readonly string[]) => execFileSync('openssl', args, { stdio: 'ignore' })

export class Certificates implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), 'fg-tls-'))

  /** `engine.pem`, `engine.key`. */
  readonly file = (name: string): string => join(this.#folder, name)

  authority(name: string): void {
    const made = ['-keyout', this.file(`${name}.key`), '-out', this.file(`${name}.pem`), '-subj', `/CN=${name}`]
    openssl('req', '-x509', '-newkey', 'ed25519', '-nodes', ...made, '-days', '2')
  }

  /** A certificate for this machine, signed by an authority. */
  certify(name: string, authority: string): void {
    const [key, cert, request] = [this.file(`${name}.key`), this.file(`${name}.pem`), this.file(`${name}.csr`)]
    openssl('req', '-newkey', 'ed25519', '-nodes', '-keyout', key, '-out', request, '-subj', `/CN=${name}`)
    const [pem, signing] = [this.file(`${authority}.pem`), this.file(`${authority}.key`)]
    const signs = ['-CA', pem, '-CAkey', signing, '-CAcreateserial', '-days', '2']
    writeFileSync(this.file('names'), 'subjectAltName=DNS:localhost,IP:127.0.0.1')
    openssl('x509', '-req', '-in', request, ...signs, '-extfile', this.file('names'), '-out', cert)
  }

  /** What shows this certificate and trusts `ours`. */
  filesOf(name: string): Required<TlsFiles> {
    return { ca: this.file('ours.pem'), cert: this.file(`${name}.pem`), key: this.file(`${name}.key`) }
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true })
  }
}

/** By which name a client looks for such a certificate at an IPv6 address: Node 22 finds none by that. */
export const servername = 'localhost'

/** How a server is given them; it asks its clients for one as well. */
export const servedWith = (port: number, { ca, cert, key }: Required<TlsFiles>): readonly string[] => [
  ...['--port', '0', '--tls-port', String(port), '--tls-cert-file', cert, '--tls-key-file', key],
  ...['--tls-ca-cert-file', ca, '--tls-auth-clients', 'yes'],
]

/** How an engine is. */
export const shownWith = ({ ca, cert, key }: TlsFiles): Readonly<Record<string, string>> => ({
  ...(ca === undefined ? {} : { FAIRGRAB_REDIS_CA: ca }),
  ...(cert === undefined ? {} : { FAIRGRAB_REDIS_CERT: cert }),
  ...(key === undefined ? {} : { FAIRGRAB_REDIS_KEY: key }),
})
