/**
 * A running engine as the command line asks it: where it is and the key come from --url and --key, else from the
 * environment. What is not 2xx ends the command with the engine's own words, which name the mend. Rejected: a client
 * library here; a command makes a few calls.
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

/** The engine's refusal: `code` is that of its table, the message is for the terminal. */
export class EngineRefusal extends Error {
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.name = 'EngineRefusal'
    this.code = code
  }
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

async function ask(target: Target, path: string, { method = 'GET', body, headers = {} }: Asked): Promise<Response> {
  const url = addressOf(target)
  const key = target.key ?? readTarget().key
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
  if (response.ok) return response
  const problem: unknown = await response.json().catch(() => ({}))
  const { code = String(response.status), detail = '' } = problem as ProblemWords
  throw new EngineRefusal(code, `${code}: ${detail}${MENDS[code] ?? ''}`)
}

/** Asks a path and gives its JSON. Throws with words for the terminal. */
export async function askJson<Body>(target: Target, path: string, asked: Asked = {}): Promise<Body> {
  const body: unknown = await (await ask(target, path, asked)).json()
  return body as Body
}

/** Gets a path's bytes. Throws with words for the terminal. */
export async function getBytes(target: Target, path: string): Promise<Buffer> {
  return Buffer.from(await (await ask(target, path, {})).arrayBuffer())
}

const MENDS: Readonly<Record<string, string>> = {
  unauthorized: '; give --key or set FAIRGRAB_KEY',
  forbidden: '; give a key of another role with --key or FAIRGRAB_KEY',
  not_found: '; fairgrab round list and fairgrab campaign list name what there is',
  unknown: '; ask again, the same claim answers',
}
