/**
 * A running engine as the command line asks it: where it is and the key come from --url and --key, else from the
 * environment. What is not 2xx ends the command with the engine's own words, which name the mend. Rejected: a client
 * library here; a command makes one call.
 */
import { ConfigError, readTarget } from '../config.ts'

export interface Target {
  readonly url?: string | undefined
  readonly key?: string | undefined
}

interface ProblemWords {
  readonly code?: string
  readonly detail?: string
}

/** What is asked besides the path; a GET where nothing is said. */
export interface Asked {
  readonly method?: 'GET' | 'POST'
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

function addressOf(target: Target): string {
  const given = target.url ?? readTarget().url
  const source = target.url === undefined ? 'from FAIRGRAB_URL' : 'from --url'
  if (!/^https?:\/\/[^/]+/.test(given))
    throw new ConfigError(`"${given}" (${source}) is not an address; give one like http://127.0.0.1:8080`)
  return given.replace(/\/$/, '')
}

/** Asks a path and gives its JSON. Throws with words for the terminal. */
export async function askJson<Body>(target: Target, path: string, asked: Asked = {}): Promise<Body> {
  const url = addressOf(target)
  const key = target.key ?? readTarget().key
  const { method = 'GET', body, headers = {} } = asked
  const response = await fetch(url + path, {
    method,
    headers: {
      accept: 'application/json',
      ...(key === '' ? {} : { authorization: `Bearer ${key}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  }).catch((cause: Error) => {
    throw new Error(
      `no engine answers at ${url} (${cause.message}); start one with fairgrab up, or give --url or FAIRGRAB_URL`,
    )
  })
  const answer: unknown = await response.json()
  if (response.ok) return answer as Body
  const { code = String(response.status), detail = '' } = answer as ProblemWords
  const mend = MENDS[code] ?? ''
  throw new Error(`${code}: ${detail}${mend}`)
}

const MENDS: Readonly<Record<string, string>> = {
  unauthorized: '; give --key or set FAIRGRAB_KEY',
  forbidden: '; give a key of another role with --key or FAIRGRAB_KEY',
  not_found: '; fairgrab round list and fairgrab campaign list name what there is',
  unknown: '; ask again, the same claim answers',
}
