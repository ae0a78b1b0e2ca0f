/**
 * The way in for every route; the claim's own (engine/server/routes/claim-routes.ts) is made of its parts: who asks, may they, how often; then the body is decoded and validated, the
 * route answers, and whatever it throws becomes a problem. It is the one place that turns faults into answers.
 */
import { createHash } from 'node:crypto'
import { ANONYMOUS, type Caller, type Callers, may, type Right, signed } from '../../auth/callers.ts'
import { splitCode } from '../../auth/voucher-codes.ts'
import { Fault, Refusal } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'
import type { Code } from '../../base/codes.ts'
import { BODY_BYTES_MAX, WAITING_FOR_KEYS_MAX } from '../../base/limits.ts'
import type { Seed } from '../../base/random.ts'
import type { Draws } from '../../campaign/drawing/draws.ts'
import type { FinalLists } from '../../campaign/drawing/final-lists.ts'
import type { Ledger } from '../../campaign/money/ledger.ts'
import type { Reports } from '../../campaign/money/report.ts'
import type { Settlements } from '../../campaign/money/settlement.ts'
import type { ChangeLog } from '../../campaign/operator/change-log.ts'
import type { Lifecycle } from '../../campaign/operator/lifecycle.ts'
import type { Requests } from '../../campaign/operator/requests.ts'
import type { Rounds } from '../../campaign/round/rounds.ts'
import type { Controls } from '../../campaign/voucher/controls.ts'
import type { Histories } from '../../campaign/voucher/histories.ts'
import type { KeptRedemptions } from '../../campaign/voucher/kept-redemptions.ts'
import type { Merchants } from '../../campaign/voucher/merchants.ts'
import type { Promotions } from '../../campaign/voucher/promotions.ts'
import type { Redemption } from '../../campaign/voucher/redemption.ts'
import type { UserClaims } from '../../campaign/voucher/user-claims.ts'
import type { Vouchers } from '../../campaign/voucher/vouchers.ts'
import type { HealthReport } from '../../ops/health.ts'
import type { Metrics } from '../../ops/metrics.ts'
import type { Store } from '../../store/store.ts'
import {
  answerEncoding,
  decode,
  type Encoding,
  encode,
  encodingOf,
  isNothing,
  Malformed,
  MEDIA_TYPES,
} from '../../wire/encoding.ts'
import { isLines, LINES_TYPE, type LineSchema, linesIn } from '../../wire/lines.ts'
import type { RouteWords } from '../../wire/open-api.ts'
import { complaint } from '../../wire/schemas.ts'
import type { Exchange, Headers } from '../uws/exchange.ts'
import { idempotencyKey, keysOwner, REPLAYED } from './idempotency.ts'
import { readQuery } from './query.ts'
import type { RateLimits } from './rate-limits.ts'
import { refuse, refuseGarbled } from './refuse.ts'

/** The answer to somebody whose token can be judged by nobody now. */
export const KEYS_AWAY = 'the published keys of user tokens cannot be read now; ask again'

/** What the routes and the stream may use: the parts that main/server.ts put together, and nothing else. */
export interface Services {
  readonly clock: Clock
  readonly callers: Callers
  readonly rates: RateLimits
  readonly store: Store
  readonly rounds: Rounds
  readonly lifecycle: Lifecycle
  readonly requests: Requests
  readonly draws: Draws
  readonly promotions: Promotions
  readonly finalLists: FinalLists
  readonly changeLog: ChangeLog
  readonly controls: Controls
  readonly vouchers: Vouchers
  readonly userClaims: UserClaims
  readonly histories: Histories
  readonly redemption: Redemption
  readonly keptRedemptions: KeptRedemptions
  readonly ledger: Ledger
  readonly settlements: Settlements
  readonly reports: Reports
  readonly merchants: Merchants
  readonly metrics: Metrics
  /** What a drain waits for besides claims: requests that a route has not answered yet. */
  readonly underWay: {
    requests: number
    /** Those of them that wait for the keys of user tokens. */
    waiting: number
  }
  /** Resolves when what is not found in Redis was not lost with everything; else throws Fault `fenced`. */
  readonly kept: () => Promise<void>
  readonly health: () => HealthReport
  /** Who may read the metrics of all workers of this node, Prometheus's text. */
  readonly metricsFor: 'public' | 'key' | 'off'
  readonly metricsText: () => Promise<string>
}

/** One request that passed the gateway. */
export interface Call {
  readonly exchange: Exchange
  readonly caller: Caller
  readonly params: readonly string[]
  readonly query: URLSearchParams
  /** Validated by the route's schema; undefined where it has none. */
  readonly body: unknown
  readonly encoding: Encoding
  /** Of an operator's change that came with an Idempotency-Key: what its ids follow from. */
  readonly seed?: Seed | undefined
}

/** What a route answers: a value to encode, or text that is encoded already, or nothing when it answered by itself. */
export interface Answer {
  readonly status: number
  readonly body?: unknown
  /** JSON that must reach the client byte for byte. */
  readonly json?: string
  readonly text?: { readonly type: string; readonly content: string | Uint8Array }
  readonly headers?: Headers
  readonly code?: Code
  /** It was made by an earlier request with the same Idempotency-Key. */
  readonly isReplayed?: boolean
}

export type Schema = LineSchema

export interface Route extends RouteWords {
  readonly method: 'get' | 'post' | 'put'
  readonly path: string
  readonly right: Right
  readonly body?: Schema
  /** Its body is lines, each of this schema; the route gets them, the wrong ones, too (wire/lines.ts). */
  readonly lines?: { readonly schema: LineSchema; readonly most: number }
  readonly bodyBytesMax?: number
  /** Finds a voucher by its code: one that does not exist counts as a guess. */
  readonly byCode?: boolean
  /** A change that comes to the same whenever it is asked for; a repetition under its Idempotency-Key need only be known as one. */
  readonly isLasting?: boolean
  readonly handle: (services: Services, call: Call) => Promise<Answer | undefined> | Answer
}

/** Handles an exchange anew, when keys that its caller waited for were read. */
type Again = (services: Services, exchange: Exchange) => void

/**
 * Counts a request against the rate of its caller, whatever becomes of it; false when the exchange is answered because that
 * rate is used up.
 */
export function counted({ rates }: Services, exchange: Exchange, who: Caller, isApi: boolean): boolean {
  const { allowed, late, headers } = rates.take(who, () => exchange.address)
  exchange.limits = headers
  if (allowed || (late && !isApi)) return true
  if (late) refuse(exchange, 'overloaded', 'this worker stood still and first reads the rates; ask again')
  else refuse(exchange, 'rate_limited', 'slow down; the RateLimit header has the rate')
  return false
}

/** Answers a credential that names nobody, or lets it wait while the key that it names may have been published. */
function refuseStranger(services: Services, exchange: Exchange, again: Again): void {
  const { callers, underWay } = services
  const missing = callers.headerMissing(exchange.authorization)
  if (missing === undefined) {
    if (!counted(services, exchange, ANONYMOUS, false)) return
    return refuse(exchange, 'unauthorized', callers.headerComplaint(exchange.authorization))
  }
  if (missing === 'away' || underWay.waiting >= WAITING_FOR_KEYS_MAX || !exchange.hold())
    return refuse(exchange, 'unavailable', KEYS_AWAY)
  underWay.waiting++
  underWay.requests++
  void missing.then(() => {
    underWay.waiting--
    underWay.requests--
    try {
      if (exchange.open) again(services, exchange)
    } catch (cause) {
      fail(services, exchange, cause)
    }
  })
}

/**
 * The caller of an exchange; undefined where it is answered, or waits to be handled `again`. What is outside of the API (probes,
 * metrics, pages) is answered also by a worker that stood still.
 */
export function callerOf(services: Services, exchange: Exchange, isApi: boolean, again: Again): Caller | undefined {
  const caller = services.callers.ofHeader(exchange.authorization)
  if (caller) return counted(services, exchange, caller, isApi) ? caller : undefined
  if (exchange.garbled) refuseGarbled(exchange)
  else refuseStranger(services, exchange, again)
  return undefined
}

/** Refuses what the caller's role may not do, and asks those who are nobody for a credential. */
export function refuseRole(exchange: Exchange, { role }: Caller, what = 'do this', credential = '<key>'): void {
  if (role === 'anonymous') refuse(exchange, 'unauthorized', `send Authorization: Bearer ${credential}`)
  else refuse(exchange, 'forbidden', `the role ${role} may not ${what}`)
}

/** Handles one request of a route from its first byte to its answer. */
export function handle(services: Services, route: Route, exchange: Exchange): void {
  if (exchange.garbled) return refuseGarbled(exchange)
  const caller = callerOf(services, exchange, route.path.startsWith('/v1/'), () => handle(services, route, exchange))
  if (!caller) return
  if (!may(caller, route.right)) return refuseRole(exchange, caller)
  const query = queryOf(services, route, exchange)
  if (!query) return
  const takesNone = route.method === 'get' && !(exchange.framing !== 'bare' && route.path.startsWith('/v1/'))
  if (takesNone) return void run(services, route, exchange, { caller, query, body: undefined })
  if (route.lines) return readLines(services, route, exchange, { caller, query })
  const encoding = encodingOf(exchange.contentType)
  if (route.body && !encoding)
    return refuse(exchange, 'unsupported_type', 'send application/json or application/vnd.msgpack')
  const most = route.bodyBytesMax ?? BODY_BYTES_MAX
  exchange.read(
    most,
    bytes => {
      if (!route.body && !isNothing(bytes, encoding ?? 'json'))
        return refuse(exchange, 'invalid', 'this route takes no body')
      const body = route.body ? validated(exchange, route.body, bytes, encoding as Encoding) : { value: undefined }
      if (body) void run(services, route, exchange, { caller, query, body: body.value })
    },
    () => refuse(exchange, 'too_large', `the body is over ${most} bytes`),
  )
}

/** Reads a body of lines; what is wrong with one of them is the route's to say. */
function readLines(services: Services, route: Route, exchange: Exchange, read: Omit<Read, 'body'>): void {
  const { lines, bodyBytesMax: most = BODY_BYTES_MAX } = route
  if (!lines) return
  if (!isLines(exchange.contentType)) return refuse(exchange, 'unsupported_type', `send ${LINES_TYPE}`)
  exchange.read(
    most,
    bytes => void run(services, route, exchange, { ...read, body: linesIn(bytes, lines.schema, lines.most) }),
    () => refuse(exchange, 'too_large', `the body is over ${most} bytes`),
  )
}

/** The query of a request; else the exchange is answered and this is undefined. Pages and probes take what comes. */
function queryOf(services: Services, { path, query = [] }: Route, exchange: Exchange): URLSearchParams | undefined {
  if (!path.startsWith('/v1/')) return new URLSearchParams(exchange.query)
  try {
    return readQuery(exchange.query, query)
  } catch (cause) {
    fail(services, exchange, cause)
    return undefined
  }
}

/** The body by its schema; else the exchange is answered and this is undefined. */
export function validated(
  exchange: Exchange,
  schema: Schema,
  bytes: Buffer,
  encoding: Encoding,
): { value: unknown } | undefined {
  try {
    const parsed = schema.safeParse(bytes.length === 0 ? {} : decode(bytes, encoding))
    if (parsed.success) return { value: parsed.data }
    refuse(exchange, 'invalid', complaint(parsed.error))
  } catch (cause) {
    if (!(cause instanceof Malformed)) throw cause
    refuse(exchange, 'malformed', cause.message)
  }
  return undefined
}

interface Read {
  readonly caller: Caller
  readonly query: URLSearchParams
  readonly body: unknown
}

async function run(services: Services, route: Route, exchange: Exchange, read: Read): Promise<void> {
  const { caller, query, body } = read
  const encoding = answerEncoding(exchange.accept, exchange.contentType)
  const call: Call = { exchange, caller, params: exchange.params, query, body, encoding }
  services.underWay.requests++
  try {
    const answer = await perform(services, route, call)
    if (answer) send(exchange, encoding, answer)
  } catch (thrown) {
    const cause: unknown = await surely(services, thrown).catch(sure => sure)
    guessed(services, route, caller, cause)
    fail(services, exchange, cause)
  } finally {
    services.underWay.requests--
  }
}

/** Whether it is a dry run: it shows what would change and changes nothing. */
export const isDryRun = (query: URLSearchParams): boolean => query.get('dry_run') === 'true'

/** Lets the route answer; what an operator changes is made once for its key and audited; a dry run changes nothing. */
function perform(services: Services, route: Route, call: Call): ReturnType<Route['handle']> {
  if (route.byCode && !services.rates.mayGuess(call.caller))
    throw new Refusal('rate_limited', 'too many codes that do not exist; wait before you ask for another one')
  if (route.method === 'get' || route.right !== 'operate') return route.handle(services, call)
  const key = idempotencyKey(call.exchange)
  if (isDryRun(call.query)) return route.handle(services, call)
  return audited(services, route, call, key)
}

/** Lets the route make a change, under its key where it has one. */
async function change(services: Services, route: Route, call: Call, key: string): Promise<Answer | undefined> {
  if (key === '') return route.handle(services, call)
  const { caller, params, body } = call
  const { method, path } = route
  const seed = await services.requests.seedOf({ who: keysOwner(caller), method, path, params, key, body })
  const made = () => Promise.resolve(route.handle(services, { ...call, seed }))
  if (!route.isLasting) return made()
  const { made: answer, isReplayed } = await services.requests.finishing(seed, made)
  return answer && { ...answer, isReplayed }
}

/** What was thrown is thrown on; before an answer says that something is not there, it is asked whether everything is lost. */
export async function surely({ kept }: Pick<Services, 'kept'>, cause: unknown): Promise<never> {
  if (cause instanceof Refusal && cause.code === 'not_found') await kept()
  throw cause
}

/** Counts a wrong code against its caller and for whoever watches. */
function guessed({ rates, metrics }: Services, { byCode }: Route, caller: Caller, cause: unknown): void {
  if (!byCode || !(cause instanceof Refusal) || cause.code !== 'not_found') return
  rates.guessed(caller)
  metrics.count('fairgrab_wrong_codes_total')
}

/** The path as it was asked; a voucher's code, which is worth money, is logged by its hash, the same however it was typed. */
function targetOf({ path }: Route, params: readonly string[]): string {
  let place = 0
  return path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = params[place++] as string
    if (name !== 'code') return value
    const issued = splitCode(value)?.text ?? value
    return `sha256:${createHash('sha256').update(issued).digest('hex').slice(0, 16)}`
  })
}

/** Handles what an operator asks, and has it written down before and after. */
async function audited(services: Services, route: Route, call: Call, key: string): Promise<Answer | undefined> {
  const end = await services.changeLog.begin({
    who: signed(call.caller),
    action: `${route.method.toUpperCase()} ${route.path}`,
    target: targetOf(route, call.params),
    body: call.body,
  })
  try {
    const answer = await change(services, route, call, key)
    await end(answer?.isReplayed ? 'replayed' : String(answer?.status ?? 200))
    return answer
  } catch (thrown) {
    const cause: unknown = await surely(services, thrown).catch(sure => sure)
    await end(cause instanceof Refusal || cause instanceof Fault ? cause.code : 'internal')
    throw cause
  }
}

function send(exchange: Exchange, encoding: Encoding, answer: Answer): void {
  const headers = [...(answer.headers ?? []), ...(answer.isReplayed ? REPLAYED : [])]
  if (answer.text) return exchange.answer(answer.status, answer.text.type, answer.text.content, headers)
  if (answer.json !== undefined && encoding === 'json')
    return exchange.answer(answer.status, MEDIA_TYPES.json, answer.json, headers)
  const value = answer.json === undefined ? answer.body : JSON.parse(answer.json)
  exchange.answer(answer.status, MEDIA_TYPES[encoding], encode(value, encoding), headers)
}

/** Turns what was thrown into an answer: a refusal, a fault, or a bug that is answered as `internal` and logged. */
export function fail(services: Services, exchange: Exchange, cause: unknown): void {
  if (cause instanceof Refusal) return refuse(exchange, cause.code, cause.message, { extra: cause.extra })
  if (cause instanceof Fault) return refuse(exchange, cause.code, cause.message)
  services.metrics.bug(cause)
  refuse(exchange, 'internal', 'this is a bug in the engine; the log has it')
}
