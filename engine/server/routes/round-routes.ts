/**
 * Campaigns and rounds over HTTP: made and turned by operators; a round's public state is everybody's. The rules are in
 * campaign/operator/lifecycle.ts; here are only paths, rights and shapes.
 */
import { reaches } from '../../auth/callers.ts'
import { Fault, Refusal } from '../../base/assert.ts'
import { rfc3339 } from '../../base/clock.ts'
import { overdueSince } from '../../campaign/drawing/draw-due.ts'
import type { ChangedRound, RoundEffect } from '../../campaign/operator/lifecycle.ts'
import type { RoundRules } from '../../campaign/operator/round-rules.ts'
import type { CampaignRules } from '../../campaign/round/campaigns.ts'
import type { Round } from '../../campaign/round/round.ts'
import { isStrict } from '../../campaign/round/round-config.ts'
import type { TurnVerb } from '../../store/data/round-store.ts'
import { auditEntry } from '../../wire/answers/engine.ts'
import * as shown from '../../wire/answers/rounds.ts'
import type { DamagedRound, RoundAnswer } from '../../wire/round-answer.ts'
import { newCampaign, newRound, restock } from '../../wire/schemas.ts'
import { publicRound } from '../answers/round-answers.ts'
import { roundIdsFor } from '../http/campaign-limits.ts'
import { type Answer, type Call, isDryRun, type Route, type Services } from '../http/gateway.ts'
import { behind, isAway, listRows, placeOf, RestAway } from '../http/lists.ts'

const UNREADABLE = 'its state in Redis cannot be read'
const STOPPED = 'its shard does not answer: /readyz?verbose names it'

/** Rounds of a list that are read at a time, so that a Redis that is far away costs a list few ways to it. */
const SIDE_BY_SIDE = 32

/** Why a round cannot be read; throws what concerns more than this round: Redis is away, or there is no such round. */
export function unreadable({ rounds }: Services, id: string, cause: unknown): string {
  if (cause instanceof Fault && cause.code === 'fenced') return cause.message
  if (cause instanceof Fault || cause instanceof Refusal) throw cause
  rounds.damaged.found(id, UNREADABLE)
  return `round ${id}: ${UNREADABLE}; restore it from a backup`
}

/** Of a cluster: what keeps one shard from answering, which concerns its keys and no others; undefined for what is no such thing. */
const shardAway = ({ store }: Services, cause: unknown): Fault | undefined =>
  isAway(cause) && store.isStopped ? cause : undefined

/** What shows wherever a round does: the draw that it owes, where it owes one, and what is wrong with its keys. */
async function wholeRound({ store, rounds }: Services, round: Round) {
  const since = await overdueSince(store, round, rounds.serverTimeMs(round.view.id))
  const problem = rounds.damaged.problemOf(round.view.id)
  return {
    ...publicRound(round.view),
    ...(since === undefined ? {} : { draw_overdue_since: rfc3339(since) }),
    ...(problem === undefined ? {} : { state: 'fenced', problem }),
  }
}

/** A round of a list; one that cannot be read is a row, too, and no error for the others. Of a shard that is away it is noted in `away`. */
async function listedRound(services: Services, id: string, away: Set<string>): Promise<RoundAnswer | DamagedRound> {
  try {
    return await wholeRound(services, await services.lifecycle.round(id))
  } catch (cause) {
    const fault = shardAway(services, cause)
    if (!fault) return { id, state: 'fenced', problem: unreadable(services, id, cause) }
    away.add(id)
    return { id, state: 'fenced', problem: `round ${id}: its shard does not answer: ${fault.message}` }
  }
}

/**
 * The rows of a list, read side by side. A shard of a cluster that is away answers nothing until a deadline, so behind the first
 * round without an answer those are not waited for whose shard had a problem at the last check.
 */
async function* publicRounds(services: Services, ids: readonly string[]) {
  const { isStopped } = services.store
  const away = new Set<string>()
  for (let from = 0; from < ids.length; from += SIDE_BY_SIDE) {
    const isLeftOut = away.size > 0 ? isStopped : undefined
    const rows = ids.slice(from, from + SIDE_BY_SIDE).map(async id => {
      if (!isLeftOut?.(id)) return listedRound(services, id, away)
      return { id, state: 'fenced', problem: `round ${id}: ${STOPPED}` } as const
    })
    yield* await Promise.all(rows)
  }
}

/** The rounds that this worker knows, oldest first: all of a caller, or of a campaign. */
function knownIds({ rounds }: Services, { caller }: Call, campaignId: string | undefined): readonly string[] {
  return [...rounds.loaded()]
    .map(({ view: { config } }) => config)
    .filter(({ campaign_id: own }) => (campaignId === undefined ? reaches(caller, own) : own === campaignId))
    .toSorted((a, b) => a.number - b.number)
    .map(({ id }) => id)
}

/** The rounds of a list, and what keeps the others from being found: of a cluster, while the shard of their index is away. */
async function listedIds(services: Services, call: Call, campaignId: string | undefined) {
  const { lifecycle } = services
  try {
    return { ids: campaignId ? await lifecycle.roundIds(campaignId) : await roundIdsFor(services, call.caller) }
  } catch (cause) {
    const fault = shardAway(services, cause)
    if (!fault) throw cause
    const ids = knownIds(services, call, campaignId)
    const cursor = call.query.get('cursor')
    // It may be that of another worker, which knows other rounds.
    if (cursor !== null && !ids.includes(cursor)) throw cause
    return { ids, rest: new RestAway(fault.code, fault.message) }
  }
}

async function* withRest<Row>(rows: AsyncIterable<Row>, rest: RestAway | undefined) {
  yield* rows
  if (rest) throw rest
}

async function listRounds(services: Services, call: Call, campaignId?: string) {
  const { ids, rest } = await listedIds(services, call, campaignId)
  const asked = behind(campaignId ? ids : ids.toReversed(), call.query.get('cursor'), id => id)
  return listRows(services, call, withRest(publicRounds(services, asked), rest), round => round.id)
}

/** A lever answers the round, or in a dry run what would become of it. */
const CHANGED = { 200: shown.changedRound }

const turn = (verb: TurnVerb): Route => ({
  method: 'post',
  path: `/v1/rounds/{id}/${verb}`,
  operation: `${verb}Round`,
  answers: CHANGED,
  refusals: ['wrong_state'],
  query: ['dry_run'],
  right: 'operate',
  summary: `Turns a round: ${verb}`,
  handle: async ({ lifecycle }, { params, query, seed }) => {
    const id = params[0] as string
    if (isDryRun(query)) return effectAnswer(await lifecycle.dryTurn(id, verb))
    return changedAnswer(await lifecycle.turn(id, verb, seed))
  },
})

const changedAnswer = ({ round, isReplayed }: ChangedRound): Answer => ({
  status: 200,
  body: publicRound(round.view),
  isReplayed,
})

const effectAnswer = ({ before, after, budget }: RoundEffect): Answer => ({
  status: 200,
  body: { dry_run: true, before: publicRound(before), after: publicRound(after), ...(budget ? { budget } : {}) },
})

async function createRound({ lifecycle }: Services, { params, body, query, seed }: Call): Promise<Answer> {
  const [campaignId, rules] = [params[0] as string, body as RoundRules]
  if (isDryRun(query))
    return { status: 200, body: { dry_run: true, budget: await lifecycle.dryRound(campaignId, rules) } }
  const made = changedAnswer(await lifecycle.createRound(campaignId, rules, seed))
  return made.isReplayed ? made : { ...made, status: 201 }
}

async function createCampaign({ lifecycle }: Services, { body, query, seed }: Call): Promise<Answer> {
  if (isDryRun(query)) return { status: 200, body: { dry_run: true, after: body } }
  const { campaign, isReplayed } = await lifecycle.createCampaign(body as CampaignRules, seed)
  return { status: isReplayed ? 200 : 201, body: campaign, isReplayed }
}

async function restockRound({ lifecycle }: Services, { params, body, query, seed }: Call): Promise<Answer> {
  const { add, pool, if_total: ifTotal } = body as { add?: number; pool: string; if_total?: number }
  if (add === undefined) throw new Refusal('invalid', 'add: is required')
  const [id, change] = [params[0] as string, { pool, add, ifTotal }]
  if (isDryRun(query)) return effectAnswer(await lifecycle.dryRestock(id, change))
  return changedAnswer(await lifecycle.restock(id, change, seed))
}

async function listAudit(services: Services, call: Call) {
  const after = placeOf(call.query)
  return listRows(services, call, services.changeLog.rows(after), row => String(row.number))
}

export const ROUND_ROUTES: readonly Route[] = [
  {
    method: 'post',
    path: '/v1/campaigns',
    operation: 'createCampaign',
    answers: { 200: shown.madeCampaign, 201: shown.campaign },
    query: ['dry_run'],
    right: 'operate',
    summary: 'Creates a campaign: its pack, limits and budget',
    body: newCampaign,
    handle: createCampaign,
  },
  {
    method: 'get',
    path: '/v1/campaigns',
    operation: 'listCampaigns',
    rows: shown.campaign,
    query: ['limit', 'cursor'],
    right: 'read',
    summary: 'The campaigns, oldest first',
    handle: async (services, call) => {
      const own = (await services.lifecycle.campaigns()).filter(({ id }) => reaches(call.caller, id))
      const rows = behind(own, call.query.get('cursor'), row => row.id)
      return listRows(services, call, rows, row => row.id)
    },
  },
  {
    method: 'get',
    path: '/v1/campaigns/{id}',
    operation: 'readCampaign',
    answers: { 200: shown.campaign },
    right: 'read',
    summary: 'One campaign',
    handle: async ({ lifecycle }, { params }) => ({ status: 200, body: await lifecycle.campaign(params[0] as string) }),
  },
  {
    method: 'post',
    path: '/v1/campaigns/{id}/rounds',
    operation: 'createRound',
    answers: { 200: shown.madeRound, 201: shown.round },
    refusals: ['budget_exceeded'],
    query: ['dry_run'],
    right: 'operate',
    summary: 'Creates a round of a campaign; it opens at opens_at, or by hand',
    body: newRound,
    handle: createRound,
  },
  {
    method: 'get',
    path: '/v1/campaigns/{id}/rounds',
    operation: 'listRoundsOfCampaign',
    rows: shown.listedRound,
    query: ['limit', 'cursor'],
    right: 'public',
    summary: 'The rounds of a campaign, oldest first',
    handle: (services, call) => listRounds(services, call, call.params[0]),
  },
  {
    method: 'get',
    path: '/v1/rounds',
    operation: 'listRounds',
    rows: shown.listedRound,
    query: ['limit', 'cursor'],
    right: 'public',
    summary: 'All rounds with their public state, newest first',
    handle: (services, call) => listRounds(services, call),
  },
  {
    method: 'get',
    path: '/v1/rounds/{id}',
    operation: 'readRound',
    answers: { 200: shown.round },
    right: 'public',
    summary: 'The public state of a round',
    handle: async (services, { params }) => {
      const round = await services.lifecycle.round(params[0] as string)
      const late = isStrict(round.view.config) ? { late: await services.store.allotments.late(round.view.id) } : {}
      return { status: 200, body: { ...(await wholeRound(services, round)), ...late } }
    },
  },
  {
    method: 'get',
    path: '/v1/audit',
    operation: 'listChanges',
    rows: auditEntry,
    query: ['limit', 'cursor'],
    right: 'operate',
    summary: 'Who changed what, oldest first and chained; as a list or as NDJSON',
    handle: listAudit,
  },
  turn('open'),
  turn('pause'),
  turn('resume'),
  turn('close'),
  {
    method: 'post',
    path: '/v1/rounds/{id}/release',
    operation: 'releasePacks',
    answers: CHANGED,
    refusals: ['wrong_state'],
    query: ['dry_run'],
    right: 'operate',
    summary: 'Gives what a fail-over quarantined back to the stock',
    handle: async ({ lifecycle }, { params, query, seed }) => {
      const id = params[0] as string
      if (isDryRun(query)) return effectAnswer(await lifecycle.dryRelease(id))
      return changedAnswer(await lifecycle.release(id, seed))
    },
  },
  {
    method: 'post',
    path: '/v1/rounds/{id}/stock',
    operation: 'changeStock',
    answers: CHANGED,
    refusals: ['wrong_state', 'below_granted', 'changed', 'budget_exceeded'],
    query: ['dry_run'],
    right: 'operate',
    summary: 'Adds stock to a pool, or takes unsold stock back',
    body: restock,
    handle: restockRound,
  },
]
