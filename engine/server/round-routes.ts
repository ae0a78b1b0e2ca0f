/**
 * Campaigns and rounds over HTTP: made and turned by operators; a round's public state is everybody's. The rules are in
 * campaign/lifecycle.ts; here are only paths, rights and shapes.
 */
import { Refusal } from '../base/assert.ts'
import type { CampaignRules } from '../campaign/campaigns.ts'
import type { RoundRules } from '../campaign/lifecycle.ts'
import type { RoundView } from '../campaign/round-view.ts'
import type { TurnVerb } from '../store/round-store.ts'
import { type RoundAnswer, roundAnswer } from '../wire/round-answer.ts'
import { newCampaign, newRound, restock } from '../wire/schemas.ts'
import type { Route } from './gateway.ts'
import { behind, listRows } from './lists.ts'
import type { Call, Services } from './services.ts'

/** A round as the API shows it. */
export function publicRound(view: RoundView): RoundAnswer {
  const { config, notice } = view
  return roundAnswer({
    id: view.id,
    campaignId: config.campaign_id,
    state: view.state,
    opensAt: notice.opensAt,
    closesAt: notice.closesAt,
    allocation: config.allocation,
    epoch: notice.epoch,
    version: notice.version,
    pools: notice.pools.map((pool, place) => ({ name: config.pools[place] as string, ...pool })),
  })
}

async function* publicRounds(services: Services, ids: readonly string[]): AsyncGenerator<RoundAnswer> {
  for (const id of ids) yield publicRound((await services.lifecycle.round(id)).view)
}

async function listRounds(services: Services, call: Call, campaignId?: string) {
  const ids = await services.lifecycle.roundIds(campaignId)
  const newest = campaignId ? ids : ids.toReversed()
  return listRows(
    call,
    publicRounds(
      services,
      behind(newest, call.query.get('cursor'), id => id),
    ),
    round => round.id,
  )
}

const turn = (verb: TurnVerb): Route => ({
  method: 'post',
  path: `/v1/rounds/{id}/${verb}`,
  right: 'operate',
  summary: `Turns a round: ${verb}`,
  handle: async ({ lifecycle }, { params }) => ({
    status: 200,
    body: publicRound((await lifecycle.turn(params[0] as string, verb)).view),
  }),
})

export const ROUND_ROUTES: readonly Route[] = [
  {
    method: 'post',
    path: '/v1/campaigns',
    right: 'operate',
    summary: 'Creates a campaign: its pack, limits and budget',
    body: newCampaign,
    handle: async ({ lifecycle }, { body }) => ({
      status: 201,
      body: await lifecycle.createCampaign(body as CampaignRules),
    }),
  },
  {
    method: 'get',
    path: '/v1/campaigns',
    right: 'read',
    summary: 'The campaigns, oldest first',
    handle: async ({ lifecycle }, call) =>
      listRows(
        call,
        behind(await lifecycle.campaigns(), call.query.get('cursor'), row => row.id),
        row => row.id,
      ),
  },
  {
    method: 'get',
    path: '/v1/campaigns/{id}',
    right: 'read',
    summary: 'One campaign',
    handle: async ({ lifecycle }, { params }) => ({ status: 200, body: await lifecycle.campaign(params[0] as string) }),
  },
  {
    method: 'post',
    path: '/v1/campaigns/{id}/rounds',
    right: 'operate',
    summary: 'Creates a round of a campaign; it opens at opens_at, or by hand',
    body: newRound,
    handle: async ({ lifecycle }, { params, body }) => ({
      status: 201,
      body: publicRound((await lifecycle.createRound(params[0] as string, body as RoundRules)).view),
    }),
  },
  {
    method: 'get',
    path: '/v1/campaigns/{id}/rounds',
    right: 'public',
    summary: 'The rounds of a campaign, oldest first',
    handle: (services, call) => listRounds(services, call, call.params[0]),
  },
  {
    method: 'get',
    path: '/v1/rounds',
    right: 'public',
    summary: 'All rounds with their public state, newest first',
    handle: (services, call) => listRounds(services, call),
  },
  {
    method: 'get',
    path: '/v1/rounds/{id}',
    right: 'public',
    summary: 'The public state of a round',
    handle: async ({ lifecycle }, { params }) => ({
      status: 200,
      body: publicRound((await lifecycle.round(params[0] as string)).view),
    }),
  },
  turn('open'),
  turn('pause'),
  turn('resume'),
  turn('close'),
  {
    method: 'post',
    path: '/v1/rounds/{id}/stock',
    right: 'operate',
    summary: 'Adds stock to a pool, or takes unsold stock back',
    body: restock,
    handle: async ({ lifecycle }, { params, body }) => {
      const { add, pool } = body as { add?: number; pool: string }
      if (add === undefined) throw new Refusal('invalid', 'add: is required')
      return { status: 200, body: publicRound((await lifecycle.restock(params[0] as string, pool, add)).view) }
    },
  },
]
