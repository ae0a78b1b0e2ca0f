/**
 * The files that TLS with Redis needs beyond what the system has: an authority of the operator's own, and a certificate with its
 * key for servers that ask for one. They are read for each connection, so what was renewed is shown with the next one.
 */
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'

/** Paths of PEM files. */
export interface TlsFiles {
  /** Who signed the server's certificate. */
  readonly ca?: string
  /** What this client shows, and the private key of it. */
  readonly cert?: string
  readonly key?: string
}

/** What is in them. */
export type TlsMaterial = { readonly [File in keyof TlsFiles]?: Buffer }

export const tlsMaterial = (files: TlsFiles): TlsMaterial =>
  Object.fromEntries(Object.entries(files).map(([name, path]) => [name, readFileSync(path)]))

const SETTINGS: Readonly<Record<keyof TlsFiles, string>> = {
  ca: 'FAIRGRAB_REDIS_CA',
  cert: 'FAIRGRAB_REDIS_CERT',
  key: 'FAIRGRAB_REDIS_KEY',
}

const isTls = (url: string): boolean => /^rediss(\+\w+)?:/.test(url)

/** Throws with the setting and what to do: a file that is not used, is not there, or holds something else. */
export function checkTlsFiles(url: string, files: TlsFiles): void {
  const names = Object.keys(files) as (keyof TlsFiles)[]
  const [first] = names
  if (first !== undefined && !isTls(url))
    throw new Error(`${SETTINGS[first]} is set and REDIS_URL is no rediss:// address; write rediss://, or unset it`)
  if ((files.cert === undefined) !== (files.key === undefined))
    throw new Error(`${SETTINGS.cert} and ${SETTINGS.key} belong together; set both or neither`)
  for (const name of names) checkFile(name, files[name] as string)
  try {
    createSecureContext(tlsMaterial(files))
  } catch (cause) {
    throw new Error(
      `${names.map(name => SETTINGS[name]).join(', ')}: ${(cause as Error).message}; is the key that of the certificate?`,
    )
  }
}

function checkFile(name: keyof TlsFiles, path: string): void {
  const what = name === 'key' ? 'PRIVATE KEY' : 'CERTIFICATE'
  let text: string
  try {
    text = readFileSync(path, 'latin1')
  } catch (cause) {
    throw new Error(
      `${SETTINGS[name]}: ${(cause as Error).message}; give the path of a PEM file that this user may read`,
    )
  }
  if (!new RegExp(`^-----BEGIN [A-Z ]*${what}-----`, 'm').test(text))
    throw new Error(
      `${SETTINGS[name]}: "${path}" holds no ${what.toLowerCase()} in PEM; it begins with -----BEGIN ${what}-----`,
    )
}

/** The same for redis-cli. */
export const tlsFlags = (files: TlsFiles): string =>
  [
    ['cacert', files.ca],
    ['cert', files.cert],
    ['key', files.key],
  ]
    .flatMap(([flag, path]) => (path === undefined ? [] : [` --${flag} ${path}`]))
    .join('')
