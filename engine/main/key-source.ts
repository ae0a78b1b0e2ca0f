/**
 * Where published keys come from (FAIRGRAB_JWKS): a file, or an address that is asked by https, on the loopback by http too. An
 * address has five seconds for a set of 256 kB, and a redirect is no answer: the keys are those of whom the operator named.
 */
import { createReadStream, readFileSync } from 'node:fs'
import { readKeySet } from '../auth/key-set.ts'
import { PublishedKeys } from '../auth/published-keys.ts'
import type { Clock } from '../base/clock.ts'
import { KEY_SET_BYTES_MAX } from '../base/limits.ts'
import { utf8Text } from '../base/text.ts'
import type { Health } from '../ops/health.ts'
import type { Log } from '../ops/log.ts'

const ANSWER_MS = 5000
const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/

/** The address of the setting; undefined for the path of a file. Throws with what to write. */
function addressIn(setting: string): URL | undefined {
  if (!/^[a-z][a-z\d+.-]*:\/\//i.test(setting)) return undefined
  // An address with a password is not repeated.
  const wrong = (why: string, shown = ` "${setting}"`) =>
    new Error(`FAIRGRAB_JWKS:${shown} (from the environment) ${why}`)
  if (!URL.canParse(setting)) throw wrong('is no address; write https://host/path, or the path of a file')
  const url = new URL(setting)
  if (url.username !== '' || url.password !== '' || url.hash !== '')
    throw wrong('the address has a name, a password or a "#"; write https://host/path', '')
  if (url.protocol === 'https:' || (url.protocol === 'http:' && LOOPBACK.test(url.hostname))) return url
  throw wrong('is neither https:// nor http:// on the loopback; keys that anybody on the way may change prove nothing')
}

function textOf(chunks: readonly Uint8Array[]): string {
  const text = utf8Text(Buffer.concat(chunks))
  if (text === undefined) throw new Error('is not UTF-8')
  return text
}

/** The bytes of a set, counted while they come. */
async function within(bytes: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of bytes) {
    size += chunk.byteLength
    if (size > KEY_SET_BYTES_MAX) throw new Error(`is longer than ${KEY_SET_BYTES_MAX} bytes`)
    chunks.push(chunk)
  }
  return textOf(chunks)
}

async function readAddress(url: URL): Promise<string> {
  const signal = AbortSignal.timeout(ANSWER_MS)
  const answer = await fetch(url, { redirect: 'manual', signal, headers: { accept: 'application/json' } })
  if (answer.status === 200 && answer.body) return within(answer.body)
  await answer.body?.cancel()
  const isRedirect = answer.status >= 300 && answer.status < 400
  throw new Error(`answers ${answer.status}${isRedirect ? ', and redirects are not followed' : ''}`)
}

async function readFile(path: string): Promise<string> {
  return within(createReadStream(path))
}

/** What went wrong, in the words of whatever said it. */
const reasonOf = (cause: unknown): string => {
  const { name, message, cause: deeper } = cause as Error
  if (name === 'TimeoutError') return `gives no whole answer within ${ANSWER_MS / 1000} s`
  return deeper instanceof Error && deeper.message !== '' ? deeper.message : message
}

/** Checks the setting as far as the machine itself can; an address is not asked. Throws with words for a terminal. */
export function checkKeySource(setting: string): void {
  if (setting === '' || addressIn(setting)) return
  try {
    const bytes = readFileSync(setting)
    if (bytes.length > KEY_SET_BYTES_MAX) throw new Error(`is longer than ${KEY_SET_BYTES_MAX} bytes`)
    readKeySet(textOf([bytes]))
  } catch (cause) {
    throw new Error(
      `FAIRGRAB_JWKS: "${setting}" (from the environment) ${reasonOf(cause)}; name a file with a JSON Web Key Set`,
    )
  }
}

/** Reads the keys from now on; while they cannot be read health warns, and no more: grants need no token. */
export function startKeys(published: PublishedKeys, setting: string, health: Pick<Health, 'watch'>): void {
  void published.start()
  health.watch(async () => {
    const { trouble } = published
    if (!trouble) return { warnings: [] }
    const state = trouble.inForce ? 'cannot be read, and those of the last reading stay in force' : 'were never read'
    const what = `FAIRGRAB_JWKS: the published keys ${state}: "${setting}" ${trouble.why}`
    return {
      warnings: [{ what, mend: 'correct the address, or what answers there; it is read again every ten seconds' }],
    }
  })
}

/**
 * The keys of the setting; undefined where it is not set. Nothing is read before their `start`, and `changed` is called when others
 * than before are in force.
 */
export function publishedKeysOf(
  setting: string,
  clock: Clock,
  log: Pick<Log, 'info' | 'warn' | 'error'>,
  changed: () => void,
): PublishedKeys | undefined {
  if (setting === '') return undefined
  const url = addressIn(setting)
  let logged = ''
  /** What is as it was is not said again. */
  const tell = (words: string, say: () => void) => {
    if (words !== logged) say()
    logged = words
  }
  return new PublishedKeys({
    read: async () => {
      try {
        return await (url ? readAddress(url) : readFile(setting))
      } catch (cause) {
        throw new Error(reasonOf(cause))
      }
    },
    clock,
    loaded: (count, isNew, skipped) => {
      if (isNew) log.info({ keys: count }, 'the published keys of user tokens are in force')
      if (isNew) changed()
      tell(skipped.join('; '), () => {
        for (const why of skipped) log.warn(`FAIRGRAB_JWKS: ${why}; it is not used`)
      })
    },
    failed: why => tell(why, () => log.error(`FAIRGRAB_JWKS: "${setting}" ${why}; what was read last stays in force`)),
  })
}
