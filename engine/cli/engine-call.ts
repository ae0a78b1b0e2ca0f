/**
 * A running engine as the command line asks it: where it is and the key come from --url and --key, else from the
 * environment. What is not 2xx ends the command with the engine's own words, which name the mend. Rejected: a client
 * library here; a command makes one call.
 */
import { readTarget } from '../config.ts'

export interface Target {
  readonly url?: string | undefined
  readonly key?: string | undefined
}

interface ProblemWords {
  readonly code?: string
  readonly detail?: string
}

/** Gets a path as JSON. Throws with words for the terminal. */
export async function getJson<Body>(target: Target, path: string): Promise<Body> {
  const known = readTarget()
  const url = (target.url ?? known.url).replace(/\/$/, '')
  const key = target.key ?? known.key
  const headers = { accept: 'application/json', ...(key === '' ? {} : { authorization: `Bearer ${key}` }) }
  const response = await fetch(url + path, { headers }).catch((cause: Error) => {
    throw new Error(`no engine answers at ${url} (${cause.message}); give --url or set FAIRGRAB_URL`)
  })
  const body: unknown = await response.json()
  if (response.ok) return body as Body
  const { code = String(response.status), detail = '' } = body as ProblemWords
  const mend = code === 'unauthorized' ? '; give --key or set FAIRGRAB_KEY' : ''
  throw new Error(`${code}: ${detail}${mend}`)
}
