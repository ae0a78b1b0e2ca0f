/**
 * Claims over HTTP. `claimOne` is the engine's hottest function after the script: it reads one claim, asks, and writes
 * the answer, without a promise and without the general gateway. The rest are ordinary routes.
 */
import { type Caller, may, type Role } from '../../auth/callers.ts'
import { Fault, Refusal } from '../../base/assert.ts'
import { rfc3339 } from '../../base/clock.ts'
import { CODES, type Code, codeOf } from '../../base/codes.ts'
import { isUserId, partsOf } from '../../base/holder.ts'
import { BATCH_BODY_BYTES_MAX, BODY_BYTES_MAX } from '../../base/limits.ts'
import type { Answers, ClaimRequest } from '../../campaign/round/asks.ts'
import type { Round, SingleAsk } from '../../campaign/round/round.ts'
import { isStrict } from '../../campaign/round/round-config.ts'
import * as shown from '../../wire/answers/claims.ts'
import { type AnsweredGrant, ClaimJson, claimAnswer, scanClaimBody } from '../../wire/claim-json.ts'
import { answerEncoding, type Encoding, encode, encodingOf, MEDIA_TYPES } from '../../wire/encoding.ts'
import { PROBLEM_TYPES, problem } from '../../wire/problem.ts'
import { type ClaimBody, claim, claimsBatch } from '../../wire/schemas.ts'
import { askOf, countUnread, enteredAnswer, refusalFields, requestOf } from '../answers/claim.ts'
import { type Call, callerOf, fail, type Route, refuseRole, type Services, surely, validated } from '../http/gateway.ts'
import { listRows, placeOf } from '../http/lists.ts'
import { refuse, refuseGarbled } from '../http/refuse.ts'
import type { Exchange } from '../uws/exchange.ts'

const writers = new WeakMap<Round, ClaimJson>()

function writerOf(round: Round): ClaimJson {
  const known = writers.get(round) ?? new ClaimJson(round.view)
  writers.set(round, known)
  return known
}

/** POST /v1/rounds/{id}/claims, from bytes to answer. */
export function claimOne(services: Services, exchange: Exchange): void {
  const caller = callerOf(services, exchange, true, claimOne)
  if (!caller) return
  if (exchange.query !== '')
    return exchange.garbled
      ? refuseGarbled(exchange)
      : refuse(exchange, 'invalid', 'this route takes no query parameters')
  if (!may(caller, 'claim-any') && !may(caller, 'claim-own'))
    return refuseRole(exchange, caller, 'claim', '<key or token>')
  const encoding = encodingOf(exchange.contentType)
  if (!encoding) return refuse(exchange, 'unsupported_type', 'send application/json or application/vnd.msgpack')
  exchange.read(
    BODY_BYTES_MAX,
    bytes => {
      const body = bodyIn(exchange, bytes, encoding)
      if (body) withRound(services, exchange, round => ask(services, exchange, round, body, caller))
    },
    () => refuse(exchange, 'too_large', `the body is over ${BODY_BYTES_MAX} bytes`),
  )
}

/** The claim in a body; undefined where that is none, and the exchange is answered. */
function bodyIn(exchange: Exchange, bytes: Buffer, encoding: Encoding): ClaimBody | undefined {
  const userId = encoding === 'json' ? scanClaimBody(bytes) : undefined
  if (userId !== undefined) return { user_id: userId, slot: 1 }
  return validated(exchange, claim, bytes, encoding)?.value as ClaimBody | undefined
}

/** Calls `then` with the round of the path: at once where it is known, after reading it where it is not. */
function withRound(services: Services, exchange: Exchange, then: (round: Round) => void): void {
  const id = exchange.params[0] as string
  const known = services.rounds.peek(id)
  if (known) return then(known)
  if (exchange.garbled) return refuseGarbled(exchange)
  const read = services.lifecycle.round(id).catch((cause: unknown) => surely(services, cause))
  read.then(then, (cause: unknown) => {
    countUnread(services.metrics, 1, cause)
    fail(services, exchange, cause)
  })
}

function ask(services: Services, exchange: Exchange, round: Round, body: ClaimBody, caller: Caller): void {
  const asked = askOf(round, body, caller, answered => answerClaim(services, exchange, answered))
  if (asked instanceof Refusal) return fail(services, exchange, asked)
  round.ask(asked)
}

/** Writes the answer to a claim. */
function answerClaim(services: Services, exchange: Exchange, answered: SingleAsk): void {
  const { round } = answered
  const encoding = answerEncoding(exchange.accept, exchange.contentType)
  if (!answered.holds) {
    const { code } = answered
    if (answered.receipt)
      return exchange.answer(202, MEDIA_TYPES[encoding], encode(enteredAnswer(answered.receipt), encoding))
    if (encoding === 'json' && ALIKE.includes(code)) return refuseAlike(exchange, code)
    const extra = refusalFields(round, answered, services.rounds.serverTimeMs(round.view.id))
    return refuse(exchange, code, undefined, { extra })
  }
  const replayed = answered.outcome === CODES.replayed.number
  const status = replayed ? 200 : 201
  if (encoding === 'json') {
    exchange.answer(status, MEDIA_TYPES.json, writerOf(round).bytes(answered, replayed))
  } else {
    const body = claimAnswer(round.view, answered, replayed)
    exchange.answer(status, MEDIA_TYPES.msgpack, encode(body, 'msgpack'))
  }
}

/** Refusals that say the same to everybody and never `Retry-After`: encoded once, they are all there is at the end. */
const ALIKE: readonly Code[] = ['sold_out', 'closed', 'limit_reached']
const refusals = new Map<Code, Buffer>()

function refuseAlike(exchange: Exchange, code: Code): void {
  const body = refusals.get(code) ?? encode(problem(code, undefined, { outcome: code }), 'json')
  refusals.set(code, body)
  exchange.answer(CODES[code].status, PROBLEM_TYPES.json, body)
}

interface BatchBody {
  readonly claims: readonly (ClaimBody & { readonly user_id: string })[]
}

/** With `?durability=true` the level at which this node has acknowledged what it answers, and whether that is only declared. */
function levelOf({ health }: Services, query: URLSearchParams) {
  if (query.get('durability') !== 'true') return {}
  const { durability, declared } = health()
  return { durability, ...(declared ? { declared } : {}) }
}

async function claimBatch(services: Services, { params, body, query, caller }: Call) {
  const round = await services.lifecycle.round(params[0] as string).catch((cause: unknown) => {
    countUnread(services.metrics, (body as BatchBody).claims.length, cause)
    throw cause
  })
  const wantsVouchers = query.get('vouchers') === 'true'
  const requests = (body as BatchBody).claims.map(each => {
    const request = requestOf(round, each, caller)
    if (!(request instanceof Refusal)) return request
    if (request.code === 'invalid') throw request
    return CODES[request.code].number
  })
  const answers = await new Promise<Answers>(resolve => round.askMany(requests, resolve, caller.via))
  const results = Array.from({ length: answers.count }, (_, i) => shortAnswer(answers, i))
  const level = levelOf(services, query)
  if (!wantsVouchers) return { status: 200, body: { results, ...level } }
  const grants = await Promise.all(requests.map((request, i) => grantOf(round, request, answers, i)))
  const full = results.map((short, i) => {
    const grant = grants[i]
    return grant ? { ...short, ...claimAnswer(round.view, grant, 'replayed' in short) } : short
  })
  return { status: 200, body: { results: full, ...level } }
}

function shortAnswer({ outcomes, sequences }: Answers, i: number) {
  const code = codeOf(outcomes[i] as number) as Code
  if (code === 'granted') return { outcome: code, sequence: sequences[i] }
  if (code === 'replayed') return { outcome: 'granted', sequence: sequences[i], replayed: true }
  return { outcome: code }
}

async function grantOf(
  round: Round,
  request: ClaimRequest | number,
  { sequences, ats, pools }: Answers,
  i: number,
): Promise<AnsweredGrant | undefined> {
  const sequence = sequences[i] as number
  if (typeof request === 'number' || sequence === 0) return undefined
  const at = ats[i] || (await round.times.at(sequence))
  return { ...request, pool: pools[i] as number, sequence, at, codes: round.codesOf([sequence], 1) }
}

/** Somebody else's claim is not there for a user, who must not learn of it. */
const UNREADABLE: Partial<Record<Role, Code>> = { user: 'not_found', anonymous: 'unauthorized' }

/** The claims of one user with the states of their vouchers: slot 1, or the `?slot=` asked for. */
async function readClaim(services: Services, { params, query, caller }: Call) {
  const [roundId, userId] = params as [string, string]
  if (!may(caller, 'read') && caller.user?.userId !== userId)
    throw new Refusal(UNREADABLE[caller.role] ?? 'forbidden', 'this caller may not read that claim')
  const round = await services.lifecycle.round(roundId)
  const slot = Number(query.get('slot') ?? 1)
  if (!isUserId(userId) || !Number.isInteger(slot)) throw new Refusal('not_found', 'there is no such claim')
  const found = await claimOf(services, round, { userId, slot, caller })
  if (!found) throw new Refusal('not_found', `${userId} holds nothing in slot ${slot} of this round`)
  if (found.outcome === 'sold_out') throw new Refusal('sold_out', `${userId} was not drawn`)
  return { status: found.outcome === 'entered' ? 202 : 200, body: { ...found, ...levelOf(services, query) } }
}

/**
 * How a user stands in a slot of a round, as the API shows it; undefined when they hold nothing. By whose key it was claimed is for
 * keys that read, not for the user.
 */
export async function claimOf(
  { userClaims }: Services,
  round: Round,
  { userId, slot, caller }: { readonly userId: string; readonly slot: number; readonly caller: Caller },
) {
  const held = await userClaims.of(round, userId, slot)
  if (held === undefined) return undefined
  if ('receipt' in held) return enteredAnswer(held.receipt)
  if (!('codes' in held)) return { outcome: 'sold_out' }
  const answer = claimAnswer(round.view, held, false, held.states)
  const via = may(caller, 'read') ? await userClaims.viaOf(round, held) : undefined
  return via === undefined ? answer : { ...answer, claim: { ...answer.claim, via } }
}

/** A list that ends says that there is no more, so none ends before a fail-over is over, or where the log lacks something. */
async function* grantRows(services: Services, round: Round, from: number) {
  const { sequence: end, aside } = round.view.notice
  let last = from - 1
  const grants = round.grants(from)
  const { claims } = services.store
  for await (const batch of isStrict(round.view.config) ? claims.withVias(round.view.id, grants) : grants) {
    for (const [i, holder] of batch.holders.entries()) {
      const sequence = batch.firstSequence + i
      if (sequence < from) continue
      last = sequence
      const { userId, slot } = partsOf(holder)
      const pool = round.view.config.pools[batch.poolOf(i)] as string
      const via = batch.viaOf?.(i)
      yield { sequence, user_id: userId, slot, pool, granted_at: rfc3339(batch.at), ...(via ? { via } : {}) }
    }
  }
  await services.store.fence.assertBound(round.view.id)
  services.rounds.damaged.assertSound(round.view.id)
  if (last < end && !aside) throw new Fault('fenced', `round ${round.view.id}: its log lacks sequences up to ${end}`)
}

async function listClaims(services: Services, call: Call) {
  const round = await services.lifecycle.round(call.params[0] as string)
  const after = placeOf(call.query)
  await services.store.fence.assertBound(round.view.id)
  const rows = grantRows(services, round, after + 1)
  return listRows(services, call, rows, row => String(row.sequence))
}

export const CLAIM_ROUTES: readonly Route[] = [
  {
    method: 'post',
    path: '/v1/rounds/{id}/claims/batch',
    operation: 'claimBatch',
    answers: { 200: shown.batchResults },
    query: ['vouchers', 'durability'],
    right: 'claim-any',
    summary: 'Claims for many users at once; answered in the order asked',
    body: claimsBatch,
    bodyBytesMax: BATCH_BODY_BYTES_MAX,
    handle: claimBatch,
  },
  {
    method: 'get',
    path: '/v1/rounds/{id}/claims/{user_id}',
    operation: 'readClaim',
    answers: { 200: shown.readClaim, 202: shown.readEntry },
    refusals: ['sold_out'],
    onlyFor: ['read', 'read-own'],
    query: ['slot', 'durability'],
    right: 'public',
    summary: 'The claim of one user with its vouchers',
    handle: readClaim,
  },
  {
    method: 'get',
    path: '/v1/rounds/{id}/claims',
    operation: 'listGrants',
    rows: shown.grant,
    query: ['limit', 'cursor'],
    right: 'read',
    summary: 'The grants by sequence, as a list or as NDJSON',
    handle: listClaims,
  },
]
