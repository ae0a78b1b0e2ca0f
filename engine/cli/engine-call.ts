/**
 * A running engine as the command line asks it: where it is and the key come from --url and --key, else from the
 * environment. What is not 2xx ends the command with the engine's own words, which name the mend. Rejected: a client
 * library here; a command makes a few calls.
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

/** The engine's refusal: `code` is that of its table, the message is for the terminal. */
export class EngineRefusal extends Error {
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.name = 'EngineRefusal'
    this.code = code
  }
}

async function ask(target: Target, path: string): Promise<Response> {
  const known = readTarget()
  const url = (target.url ?? known.url).replace(/\/$/, '')
  const key = target.key ?? known.key
  const headers = { accept: 'application/json', ...(key === '' ? {} : { authorization: `Bearer ${key}` }) }
  const response = await fetch(url + path, { headers }).catch((cause: Error) => {
    throw new Error(`no engine answers at ${url} (${cause.message}); give --url or set FAIRGRAB_URL`)
  })
  if (response.ok) return response
  const problem: unknown = await response.json().catch(() => ({}))
  const { code = String(response.status), detail = '' } = problem as ProblemWords
  const mend = code === 'unauthorized' ? '; give --key or set FAIRGRAB_KEY' : ''
  throw new EngineRefusal(code, `${code}: ${detail}${mend}`)
}

/** Gets a path as JSON. Throws with words for the terminal. */
export async function getJson<Body>(target: Target, path: string): Promise<Body> {
  const body: unknown = await (await ask(target, path)).json()
  return body as Body
}

/** Gets a path's bytes. Throws with words for the terminal. */
export async function getBytes(target: Target, path: string): Promise<Buffer> {
  return Buffer.from(await (await ask(target, path)).arrayBuffer())
}
