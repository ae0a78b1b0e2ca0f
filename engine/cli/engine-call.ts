/**
 * A running engine as the command line asks it: where it is and the key come from --url and --key, else from the
 * environment. What is not 2xx ends the command with the engine's own words, which say what to do. A connection that closed is
 * replaced, since a GET, a claim and what has an Idempotency-Key is the same when it is asked twice (client/fresh-request.ts).
 */
import { randomUUID } from 'node:crypto'
import { causesText } from '../base/causes.ts'
import { ask, NoAnswer } from '../client/fresh-request.ts'
import { ConfigError, readTarget } from '../config.ts'
import { LINES_TYPE } from '../wire/lines.ts'

export interface Target {
  readonly url?: string | undefined
  readonly key?: string | undefined
  /** The Idempotency-Key of a change; one is made where it is left out. */
  readonly once?: string | undefined
}

interface ProblemFields {
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

interface Sent {
  readonly type: string
  readonly text: string
}

/** What is asked besides the path; a GET where nothing is said. */
export interface Asked {
  readonly method?: 'GET' | 'POST' | 'PUT'
  readonly body?: unknown
  /** A body of lines, in place of `body`. */
  readonly lines?: readonly unknown[]
  /** A body that is text already, in place of both. */
  readonly sent?: Sent | undefined
  readonly headers?: Readonly<Record<string, string>>
}

function addressOf(target: Target): string {
  const given = target.url ?? readTarget().url
  const source = target.url === undefined ? 'from FAIRGRAB_URL' : 'from --url'
  if (!/^https?:\/\/[^/]+/.test(given))
    throw new ConfigError(`"${given}" (${source}) is not an address; give one like http://127.0.0.1:8080`)
  return given.replace(/\/$/, '')
}

async function askEngine(target: Target, path: string, asked: Asked): Promise<Buffer> {
  const { method = 'GET' } = asked
  const headers = keyed(target, asked)
  const again = headers['idempotency-key']
  const sent = bodyOf(asked)
  const url = addressOf(target)
  const key = target.key ?? readTarget().key
  const { ok, status, ...answer } = await ask({
    url: url + path,
    method,
    ...(again === undefined ? {} : { repeatable: true }),
    headers: {
      accept: 'application/json',
      ...(key === '' ? {} : { authorization: `Bearer ${key}` }),
      ...(sent ? { 'content-type': sent.type } : {}),
      ...headers,
    },
    ...(sent ? { body: sent.text } : {}),
  }).catch((error: Error) => {
    if (error instanceof NoAnswer && error.reached) throw new Error(`${causesText(error)}${adviceOf('unknown', again)}`)
    throw new Error(`no engine answers at ${url} (${causesText(error.cause ?? error)}); ${START}`)
  })
  if (ok) return answer.body
  const { location } = answer.headers
  const moved = location === undefined ? '' : `the engine is not at ${url}, give the address that leads to ${location}`
  const { code = String(status), detail = moved } = wordsOf(answer.body)
  throw new EngineRefusal(code, `${code}: ${detail}${adviceOf(code, again)}`)
}

function bodyOf({ body, lines, sent }: Asked): Sent | undefined {
  if (sent) return sent
  if (lines) return { type: LINES_TYPE, text: lines.map(line => `${JSON.stringify(line)}\n`).join('') }
  return body === undefined ? undefined : { type: 'application/json', text: JSON.stringify(body) }
}

/** The headers of a request; a change has an Idempotency-Key, so that it is done once however often it is asked for. */
function keyed({ once }: Target, { method = 'GET', headers = {} }: Asked): Readonly<Record<string, string>> {
  return method === 'GET' ? headers : { 'idempotency-key': once ?? `cli-${randomUUID()}`, ...headers }
}

function wordsOf(body: Buffer): ProblemFields {
  try {
    return JSON.parse(body.toString('utf8')) as ProblemFields
  } catch {
    return {}
  }
}

/** Asks a path and gives its JSON. Throws with words for the terminal. */
export async function askJson<Body>(target: Target, path: string, asked: Asked = {}): Promise<Body> {
  return JSON.parse((await askEngine(target, path, asked)).toString('utf8')) as Body
}

/** Asks a path and gives its bytes. Throws with words for the terminal. */
export function askBytes(target: Target, path: string, asked: Asked = {}): Promise<Buffer> {
  return askEngine(target, path, asked)
}

const START = 'start one with fairgrab up, or give --url or FAIRGRAB_URL'

const ADVICE: Readonly<Record<string, string>> = {
  unauthorized: '; give --key or set FAIRGRAB_KEY',
  forbidden: '; give a key of another role with --key or FAIRGRAB_KEY',
  not_found: '; fairgrab round list and fairgrab campaign list name what there is',
}

/** What helps against a refusal; `again` is the key of the request. */
function adviceOf(code: string, again: string | undefined): string {
  if (code !== 'unknown' || again === undefined) return ADVICE[code] ?? ''
  return `; ask again with --idempotency-key ${again}: it is done once`
}
