/**
 * Keys that are limited to campaigns: what is of another campaign is not there for them, whichever way it is asked for. What a request is
 * about follows from its path, and where that is a round or a voucher, from what it belongs to. What is of no campaign (merchants,
 * rates, the log of changes) such a key may read where its role may, and operate on nothing of it. The metrics are of all campaigns.
 *
 * Claims have their own way in and are judged with their pool (server/answers/claim.ts); lists leave the rows of others out.
 */
import { type Caller, reaches } from '../../auth/callers.ts'
import { Refusal } from '../../base/assert.ts'
import { campaignIn } from '../../campaign/voucher/kept-redemptions.ts'
import type { Call, Route, Services } from './gateway.ts'

/** Throws what somebody gets who asks for what is not there. */
function assertReached(caller: Caller, campaign: string | undefined, what: string): void {
  if (campaign === undefined || !reaches(caller, campaign)) throw new Refusal('not_found', `there is no ${what}`)
}

async function assertWithin({ lifecycle, vouchers, metricsFor }: Services, route: Route, call: Call): Promise<void> {
  const { path, right } = route
  const { caller, params, body } = call
  const [id = ''] = params
  if (path.startsWith('/v1/campaigns/{id}')) return assertReached(caller, id, `campaign ${id}`)
  if (path.startsWith('/v1/rounds/{id}')) {
    const { view } = await lifecycle.round(id)
    return assertReached(caller, view.config.campaign_id, `round ${id}`)
  }
  if (path.startsWith('/v1/redemptions/{id}')) return assertReached(caller, campaignIn(id), 'such redemption')
  const code = path.startsWith('/v1/vouchers/{code}') ? id : (body as { code?: string } | undefined)?.code
  if (route.byCode && code !== undefined)
    return assertReached(caller, (await vouchers.of(code)).campaignId, 'such voucher')
  if (right === 'measure' && metricsFor !== 'public')
    throw new Refusal('forbidden', 'this key is limited to campaigns, and the metrics tell of all')
  if (right === 'operate')
    throw new Refusal('forbidden', 'this key is limited to campaigns, and this is of none of them')
}

/** A route that knows of such keys. */
export const limited = (route: Route): Route => ({
  ...route,
  handle: (services, call) =>
    call.caller.campaigns
      ? assertWithin(services, route, call).then(() => route.handle(services, call))
      : route.handle(services, call),
})

/** The rounds that a caller may see, oldest first. */
export async function roundIdsFor({ lifecycle, store }: Services, { campaigns }: Caller): Promise<readonly string[]> {
  const ids = await lifecycle.roundIds()
  if (!campaigns) return ids
  const own = new Set((await Promise.all(campaigns.map(id => store.rounds.roundIds(id)))).flat())
  return ids.filter(id => own.has(id))
}
