/**
 * Every route, in one table: method, path, who may, what it does. docs/api.md and /openapi.json are held to it. The
 * claim route stands here for the contract and is served by `claimOne`, past the general gateway.
 */
import { ANONYMOUS, RIGHTS, type Role } from '../../auth/callers.ts'
import { CODES } from '../../base/codes.ts'
import type { HealthReport } from '../../ops/health.ts'
import { enteredClaim, grantedClaim } from '../../wire/answers/claims.ts'
import { contract, readiness } from '../../wire/answers/engine.ts'
import { asyncApi } from '../../wire/async-api.ts'
import { openApi } from '../../wire/open-api.ts'
import { claim } from '../../wire/schemas.ts'
import { limited } from '../http/campaign-limits.ts'
import { counted, handle, type Route, type Services } from '../http/gateway.ts'
import { refuse, refuseGarbled } from '../http/refuse.ts'
import type { Exchange } from '../uws/exchange.ts'
import type { HttpRoute } from '../uws/server.ts'
import { CLAIM_ROUTES, claimOne } from './claim-routes.ts'
import { CONTROL_ROUTES } from './control-routes.ts'
import { DASHBOARD } from './dashboard-files.ts'
import { DRAW_ROUTES } from './draw-routes.ts'
import { LEDGER_ROUTES } from './ledger-routes.ts'
import { LOOKUP_ROUTES } from './lookup-routes.ts'
import { MERCHANT_ROUTES } from './merchant-routes.ts'
import { ROUND_ROUTES } from './round-routes.ts'
import { VOUCHER_ROUTES } from './voucher-routes.ts'

export const VERSION = '0.1.0'
const TEXT = 'text/plain; version=0.0.4; charset=utf-8'

const METRICS_PATH = '/metrics'
export const STREAM_PATH = '/v1/stream'

const CLAIM: Omit<Route, 'handle'> = {
  method: 'post',
  path: '/v1/rounds/{id}/claims',
  operation: 'claim',
  right: 'public',
  summary: 'One claim; asking again gives the same claim',
  body: claim,
  answers: { 200: grantedClaim, 201: grantedClaim, 202: enteredClaim },
  refusals: ['sold_out', 'limit_reached', 'paused', 'not_open', 'closed', 'not_eligible'],
  onlyFor: ['claim-any', 'claim-own'],
}

/** What `?verbose` says; in words of the API. */
const readinessAnswer = (report: HealthReport, metrics: Services['metricsFor']) => {
  const { redisVersion, redisMemoryBytes, redisCommands, redisAheadMs, stoppedShards, keysRefused, ...more } = report
  const { problems, warnings, ...rest } = more
  return {
    ...rest,
    redis_version: redisVersion,
    redis_memory_bytes: redisMemoryBytes,
    redis_commands: redisCommands,
    redis_ahead_ms: redisAheadMs,
    stopped_shards: stoppedShards,
    keys_refused: keysRefused,
    ...{ metrics, problems, warnings },
  }
}

const ALL: readonly Route[] = [
  ...ROUND_ROUTES,
  ...CLAIM_ROUTES,
  ...DRAW_ROUTES,
  ...VOUCHER_ROUTES,
  ...LEDGER_ROUTES,
  ...CONTROL_ROUTES,
  ...MERCHANT_ROUTES,
  ...LOOKUP_ROUTES,
  {
    method: 'get',
    path: '/livez',
    operation: 'readLiveness',
    files: ['text/plain'],
    right: 'public',
    summary: 'Whether the process lives',
    handle: () => ({ status: 200, text: { type: TEXT, content: 'ok\n' } }),
  },
  {
    method: 'get',
    path: '/readyz',
    operation: 'readReadiness',
    query: ['verbose'],
    answers: { 200: readiness, 503: readiness },
    files: ['text/plain'],
    right: 'public',
    summary: 'Whether this node may be sent traffic; ?verbose says why not',
    handle: ({ health, metricsFor }, { query }) => {
      const report = health()
      const status = report.ready ? 200 : 503
      if (query.has('verbose')) return { status, body: readinessAnswer(report, metricsFor) }
      return { status, text: { type: TEXT, content: report.ready ? 'ok\n' : 'not ready\n' } }
    },
  },
  {
    method: 'get',
    path: METRICS_PATH,
    operation: 'readMetrics',
    refusals: ['not_found'],
    files: ['text/plain'],
    right: 'measure',
    summary: "The node's metrics as Prometheus reads them",
    handle: async ({ metricsText }) => ({ status: 200, text: { type: TEXT, content: await metricsText() } }),
  },
  {
    method: 'get',
    path: '/openapi.json',
    operation: 'readOpenApi',
    answers: { 200: contract },
    right: 'public',
    summary: 'The contract of HTTP',
    handle: () => ({ status: 200, body: httpContract() }),
  },
  {
    method: 'get',
    path: '/asyncapi.json',
    operation: 'readAsyncApi',
    answers: { 200: contract },
    right: 'public',
    summary: 'The contract of the stream',
    handle: () => ({ status: 200, body: streamContract() }),
  },
  ...DASHBOARD.map(
    ({ path, type, content, headers }): Route => ({
      method: 'get',
      path,
      right: 'public',
      summary: 'The page',
      handle: () => ({ status: 200, text: { type, content }, headers }),
    }),
  ),
]

const SERVED = ALL.map(limited)

export const ROUTES: readonly Omit<Route, 'handle'>[] = [CLAIM, ...SERVED]

const ROLES = Object.keys(RIGHTS) as Role[]

/** Made once, when it is first asked for: it takes milliseconds, and anybody may ask. */
const once = (make: () => object) => {
  let made: object | undefined
  return () => {
    made ??= make()
    return made
  }
}
const rolesOf = (right: string) => ROLES.filter(role => RIGHTS[role].some(own => own === right))
/** /openapi.json. */
export const httpContract = once(() => openApi(ROUTES, VERSION, rolesOf))
const streamContract = once(() => asyncApi(VERSION))

/** The table as the server wants it. */
export function httpRoutes(services: Services): HttpRoute[] {
  return [
    {
      method: 'post',
      path: CLAIM.path,
      lean: true,
      handle: guarded(services, exchange => claimOne(services, exchange)),
    },
    ...SERVED.map(route => ({
      method: route.method,
      path: route.path,
      handle: guarded(services, answering(services, route)),
    })),
    ...[...PATTERNS.keys(), STREAM_PATH].map(path => ({
      method: 'options' as const,
      path,
      handle: guarded(services, preflight(services)),
    })),
  ]
}

/** What answers a route; whom the metrics are for is a setting, and the table has the one for keys. */
function answering(services: Services, route: Route): (exchange: Exchange) => void {
  const { metricsFor } = services
  const [isMetrics, open] = [route.path === METRICS_PATH, { ...route, right: 'public' as const }]
  if (isMetrics && metricsFor === 'off') return exchange => nothing(services, exchange)
  return exchange => handle(services, isMetrics && metricsFor === 'public' ? open : route, exchange)
}

/** A handler that throws must not end the process: the exchange gets `internal`, the log gets the bug. */
const guarded = (services: Services, run: (exchange: Exchange) => void) => {
  const answer = (exchange: Exchange) => {
    try {
      run(exchange)
    } catch (cause) {
      services.metrics.bug(cause)
      refuse(exchange, 'internal')
    }
  }
  return (exchange: Exchange) => (exchange.endsConnection ? behind(services, exchange, answer) : answer(exchange))
}

/** Behind the packet that it came in, so that nothing that stands behind it there is served. */
const behind = ({ clock }: Services, exchange: Exchange, answer: (exchange: Exchange) => void) =>
  exchange.behindPacket(clock, () => {
    if (exchange.framing === 'ambiguous') refuse(exchange, 'malformed', AMBIGUOUS)
    else answer(exchange)
  })

const AMBIGUOUS = 'send Host and Authorization once, and one Content-Length, or one Transfer-Encoding that is chunked'

const PATTERNS = new Map<string, RegExp>()
for (const { path } of ROUTES) PATTERNS.set(path, new RegExp(`^${path.replace(/\{\w+\}/g, '[^/]+')}$`))

/** The methods of a path. */
function methodsOf(asked: string): readonly string[] {
  if (asked === STREAM_PATH) return ['GET']
  return ROUTES.filter(({ path }) => PATTERNS.get(path)?.test(asked)).flatMap(({ method }) =>
    method === 'get' ? ['GET', 'HEAD'] : [method.toUpperCase()],
  )
}

/** How long a browser may remember what a preflight said, seconds. */
const PREFLIGHT_S = 600

/** What a browser asks before a page of another origin may ask; it counts against no rate. */
const preflight = (services: Services) => (exchange: Exchange) => {
  if (exchange.origin === '') return nothing(services, exchange)
  const methods = methodsOf(exchange.path).join(', ')
  exchange.answerNothing([
    ['Allow', methods],
    ['Access-Control-Allow-Methods', methods],
    ['Access-Control-Allow-Headers', 'Authorization, Content-Type, Idempotency-Key'],
    ['Access-Control-Max-Age', String(PREFLIGHT_S)],
  ])
}

const nothingHere = (exchange: Exchange) =>
  refuse(exchange, 'not_found', `${exchange.path}: ${CODES.not_found.title.toLowerCase()}`)

/** What stands where the stream is served, without its Upgrade: most often a proxy dropped it. */
const noUpgrade = (exchange: Exchange) =>
  refuse(
    exchange,
    'invalid',
    `${STREAM_PATH} is a WebSocket, and this request has no Upgrade: open one; behind a proxy, let it pass Upgrade and Connection on`,
  )

/** What matches no route, as it came. */
export const noRoute = (services: Services, exchange: Exchange): void =>
  exchange.endsConnection ? behind(services, exchange, it => nothing(services, it)) : nothing(services, exchange)

/** Another method of a path that exists, or nothing. */
function nothing(services: Services, exchange: Exchange): void {
  if (exchange.garbled) return refuseGarbled(exchange)
  const { callers, metricsFor } = services
  if (!counted(services, exchange, callers.ofHeader(exchange.authorization) ?? ANONYMOUS, false)) return
  if (metricsFor === 'off' && exchange.path === METRICS_PATH) return nothingHere(exchange)
  const reads = exchange.method === 'get' || exchange.method === 'head'
  if (exchange.path === STREAM_PATH && reads) return noUpgrade(exchange)
  const methods = methodsOf(exchange.path)
  if (methods.length === 0) return nothingHere(exchange)
  refuse(exchange, 'method_not_allowed', `use ${methods.join(', ')}`, { headers: [['Allow', methods.join(', ')]] })
}
