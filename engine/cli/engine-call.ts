/**
 * A running engine as the command line asks it: where it is and the key come from --url and --key, else from the
 * environment. What is not 2xx ends the command with the engine's own words, which say what to do. Every change has an
 * Idempotency-Key, its own or one that is made for it here, so what broke off is asked again (client/three-attempts.ts).
 */
import { randomUUID } from 'node:crypto'
import { causesText } from '../base/causes.ts'
import { askThrice, isBrokenOff, reasonOf } from '../client/three-attempts.ts'
import { type Answer, isDone, type Asked as Request, Transport } from '../client/transport.ts'
import { ConfigError, readTarget } from '../config.ts'
import { LINES_TYPE } from '../wire/lines.ts'

export interface Target {
  readonly url?: string | undefined
  readonly key?: string | undefined
  /** The Idempotency-Key of a change; one is made where it is left out. */
  readonly once?: string | undefined
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
  /** The Idempotency-Key of this change, in place of the command's. */
  readonly key?: string
  readonly headers?: Readonly<Record<string, string>>
}

function addressOf(target: Target): string {
  const given = target.url ?? readTarget().url
  const source = target.url === undefined ? 'from FAIRGRAB_URL' : 'from --url'
  if (!/^https?:\/\/[^/]+/.test(given))
    throw new ConfigError(`"${given}" (${source}) is not an address; give one like http://127.0.0.1:8080`)
  return given.replace(/\/$/, '')
}

async function askEngine(target: Target, path: string, asked: Asked): Promise<Answer> {
  const url = addressOf(target)
  const transport = new Transport({ url, key: target.key ?? readTarget().key })
  const request = requestOf(target, path, asked)
  const answer = await askThrice(transport, request)
  if (isDone(answer)) return answer
  if (answer.unsent) throw new ConfigError((answer.cause as Error).message)
  if (answer.status === 0) throw new Error(noAnswer(answer, url, request.key))
  const location = answer.headers.get('location')
  const moved = location === null ? '' : `the engine is not at ${url}, give the address that leads to ${location}`
  const { code = String(answer.status), detail = moved } = answer.body as { code?: string; detail?: string }
  throw new EngineRefusal(code, `${code}: ${detail}${adviceOf(code, request.key)}`)
}

/** A claim is the same when it is asked twice, and any other change is under its key. */
function requestOf({ once }: Target, path: string, asked: Asked): Request {
  const { method = 'GET', body, key = once, headers } = asked
  const isKeyed = method !== 'GET' && !/^\/v1\/rounds\/[^/]+\/claims$/.test(path)
  const named = isKeyed ? { key: key ?? `cli-${randomUUID()}` } : {}
  const sent = sentOf(asked)
  if (!sent) return { method, path, body, headers, ...named }
  return { method, path, body: sent.text, headers: { 'content-type': sent.type, ...headers }, ...named }
}

function sentOf({ lines, sent }: Asked): Sent | undefined {
  if (!lines) return sent
  return { type: LINES_TYPE, text: lines.map(line => `${JSON.stringify(line)}\n`).join('') }
}

function noAnswer(answer: Answer, url: string, again: string | undefined): string {
  const why = reasonOf(answer)
  if (!isBrokenOff(why)) return `no engine answers at ${url} (${causesText(why)}); ${START}`
  return `no answer from ${url}, and it may have been executed: ${causesText(why)}${adviceOf('unknown', again)}`
}

/** Asks a path and gives its JSON. Throws with words for the terminal. */
export async function askJson<Body>(target: Target, path: string, asked: Asked = {}): Promise<Body> {
  const { bytes } = await askEngine(target, path, asked)
  return JSON.parse(new TextDecoder().decode(bytes)) as Body
}

/** Asks a path and gives its bytes. Throws with words for the terminal. */
export async function askBytes(target: Target, path: string, asked: Asked = {}): Promise<Buffer> {
  return Buffer.from((await askEngine(target, path, asked)).bytes)
}

const START = 'start one with fairgrab up, or give --url or FAIRGRAB_URL'

const ADVICE: Readonly<Record<string, string>> = {
  unauthorized: '; give --key or set FAIRGRAB_KEY',
  forbidden: '; give a key of another role, or one that is not limited to campaigns, with --key or FAIRGRAB_KEY',
  not_found: '; fairgrab round list and fairgrab campaign list name what there is',
  unknown: '; ask again, a claim is the same however often it is asked',
}

/** What helps against a refusal; `again` is the key of the request. */
function adviceOf(code: string, again: string | undefined): string {
  if (code !== 'unknown' || again === undefined) return ADVICE[code] ?? ''
  return `; ask again with --idempotency-key ${again}: it is done once`
}
