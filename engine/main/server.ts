/**
 * What a worker serves, put together: the rules behind the routes, the stream, and the two feeds that send its viewers
 * stock and draws. Nothing is decided here.
 */

import { Networks } from '../auth/addresses.ts'
import { Callers, parseKeys } from '../auth/callers.ts'
import type { PublishedKeys } from '../auth/published-keys.ts'
import { type TokenKeys, UserTokens } from '../auth/user-tokens.ts'
import type { Clock } from '../base/clock.ts'
import { FRAME_BYTES_MAX, SOCKET_IDLE_S } from '../base/limits.ts'
import type { Random } from '../base/random.ts'
import type { Draws } from '../campaign/drawing/draws.ts'
import { FinalLists } from '../campaign/drawing/final-lists.ts'
import type { Commitments } from '../campaign/money/commitments.ts'
import { Ledger } from '../campaign/money/ledger.ts'
import { Reports } from '../campaign/money/report.ts'
import { Settlements } from '../campaign/money/settlement.ts'
import type { Sweep } from '../campaign/money/sweep.ts'
import type { ChangeLog } from '../campaign/operator/change-log.ts'
import { Lifecycle } from '../campaign/operator/lifecycle.ts'
import { Requests } from '../campaign/operator/requests.ts'
import type { Campaigns } from '../campaign/round/campaigns.ts'
import type { RoundView } from '../campaign/round/round-view.ts'
import type { Rounds } from '../campaign/round/rounds.ts'
import { COHORTS, StockFeed } from '../campaign/round/stock-feed.ts'
import type { Controls } from '../campaign/voucher/controls.ts'
import { Histories } from '../campaign/voucher/histories.ts'
import { KeptRedemptions } from '../campaign/voucher/kept-redemptions.ts'
import { Merchants } from '../campaign/voucher/merchants.ts'
import { Promotions } from '../campaign/voucher/promotions.ts'
import { Redemption } from '../campaign/voucher/redemption.ts'
import { UserClaims } from '../campaign/voucher/user-claims.ts'
import { Vouchers } from '../campaign/voucher/vouchers.ts'
import type { Config } from '../config.ts'
import type { Health } from '../ops/health.ts'
import type { Gauges, Metrics } from '../ops/metrics.ts'
import { stockFrame } from '../server/answers/round-answers.ts'
import type { Services } from '../server/http/gateway.ts'
import type { RateLimits } from '../server/http/rate-limits.ts'
import { httpRoutes, noRoute, STREAM_PATH, VERSION } from '../server/routes/routes.ts'
import { Stream, topicOf } from '../server/stream/stream.ts'
import type { Edge } from '../server/uws/exchange.ts'
import { type Server, serve } from '../server/uws/server.ts'
import { grantedOf, quarantinedOf, totalOf } from '../store/data/notice.ts'
import type { Store } from '../store/store.ts'
import { drawnFrame } from '../wire/drawn-frame.ts'
import type { Agreement } from './agreement.ts'

export interface Parts {
  readonly store: Store
  readonly rounds: Rounds
  readonly campaigns: Campaigns
  readonly sweep: Sweep
  readonly commitments: Commitments
  readonly secret: Buffer
  readonly draws: Draws
  readonly health: Health
  readonly metrics: Metrics
  readonly clock: Clock
  readonly random: Random
  readonly changeLog: ChangeLog
  readonly fenced: boolean
  readonly rates: RateLimits
  readonly controls: Controls
  readonly agreement: Pick<Agreement, 'assertKept'>
  readonly published: PublishedKeys | undefined
}

const tokenKeysOf = (config: Config, published: PublishedKeys | undefined): TokenKeys => ({
  published,
  secret: config.jwtSecret,
  secretPrevious: config.jwtSecretPrevious,
  publicKey: config.jwtPublicKey,
  issuer: config.jwtIssuer,
  audience: config.jwtAudience,
})

/** What the routes and the stream may use, and the stream; nothing is served yet. */
export function servicesOf(
  config: Config,
  parts: Parts,
  metricsText: (own: () => Promise<object[]>) => Promise<string>,
): { readonly services: Services; readonly stream: Stream; readonly own: () => Promise<object[]> } {
  const { store, rounds, health, metrics, clock } = parts
  const tokens = new UserTokens(tokenKeysOf(config, parts.published), clock)
  const callers = new Callers(parseKeys(config.keys), tokens)
  const gauges: Gauges = {
    unanswered: () => rounds.unanswered,
    sockets: () => stream.sockets,
    redisUp: store.ready,
    health: () => health.report,
    damaged: () => damagedRounds(rounds),
    version: VERSION,
    stocks: () =>
      [...rounds.loaded()].map(({ view }) => ({
        id: view.id,
        total: totalOf(view.notice),
        granted: grantedOf(view.notice),
        quarantined: quarantinedOf(view.notice),
        viewers: stream.viewers(view.id),
      })),
  }
  const own = () => metrics.json(gauges)
  const services: Services = {
    clock,
    callers,
    rates: parts.rates,
    controls: parts.controls,
    store,
    rounds,
    ...campaignParts(parts),
    changeLog: parts.changeLog,
    metrics,
    underWay: { requests: 0, waiting: 0 },
    kept: () => kept(parts),
    health: () => health.report,
    metricsFor: config.metrics,
    metricsText: () => metricsText(own),
  }
  const { origins, sockets: socketsMax, socketsAddress: socketsAddressMax } = config
  const stream: Stream = new Stream({ services, callers, origins, socketsMax, socketsAddressMax })
  return { services, stream, own }
}

/** What is not set is undefined, so that a request pays nothing for it. */
function edgeOf({ origins, trustedProxies }: Config): Edge | undefined {
  if (origins.length + trustedProxies.length === 0) return undefined
  return {
    origins: origins.length > 0 ? new Set(origins) : undefined,
    proxies: trustedProxies.length > 0 ? new Networks(trustedProxies) : undefined,
  }
}

/** Listens from now on. */
export const openServer = (config: Config, services: Services, stream: Stream): Promise<Server> =>
  serve({
    ...{ host: config.host, port: config.port },
    edge: edgeOf(config),
    routes: httpRoutes(services),
    fallback: exchange => noRoute(services, exchange),
    streamPath: STREAM_PATH,
    stream,
    frameBytesMax: FRAME_BYTES_MAX,
    socketIdleS: SOCKET_IDLE_S,
  })

/** How many rounds are damaged or lost by themselves, or with their campaign. */
function damagedRounds(rounds: Rounds): number {
  const ids = new Set(rounds.damaged.ids())
  for (const { view } of rounds.loaded()) if (rounds.damagedCampaigns.has(view.config.campaign_id)) ids.add(view.id)
  return ids.size
}

/** Resolves when what is not found was not lost with everything; else throws Fault. */
async function kept({ rounds, agreement }: Parts): Promise<void> {
  rounds.damaged.assertKept()
  const [served] = rounds.loaded()
  await agreement.assertKept(served !== undefined)
}

/** The rules of campaigns and of what happens after the claim. */
function campaignParts(parts: Parts) {
  const { store, rounds, draws, campaigns, commitments, sweep, clock, random, secret, controls, fenced } = parts
  const vouchers = new Vouchers(store, rounds, random)
  const merchants = new Merchants({ ledger: store.ledger, controls: store.controls, clock })
  const serverTimeMs = () => rounds.serverTimeMs()
  const redemption = new Redemption({ store, campaigns, vouchers, merchants, controls, random, serverTimeMs })
  const lifecycle = new Lifecycle({ store, rounds, draws, campaigns, commitments, clock, random, fenced })
  return {
    draws,
    lifecycle,
    requests: new Requests(store, random),
    vouchers,
    userClaims: new UserClaims(store, rounds, vouchers),
    histories: new Histories(store, vouchers),
    merchants,
    redemption,
    keptRedemptions: new KeptRedemptions(store.ledger, campaigns),
    finalLists: new FinalLists(store, clock),
    promotions: new Promotions({ store, rounds, campaigns, vouchers, redemption }),
    ledger: new Ledger(store),
    settlements: new Settlements(store, sweep),
    reports: new Reports({ store, sweep, merchants, secret }),
  }
}

/** Stock to the stream's topics, encoded once for all who get it now. */
export function stockFeed({ rounds, clock, metrics }: Parts, stream: Stream, publish: Server['publish']): StockFeed {
  return new StockFeed({
    clock,
    viewers: roundId => stream.viewers(roundId),
    publish: (roundId, cohorts) => {
      const round = rounds.peek(roundId)
      if (!round) return
      const frame = stockFrame(round)
      for (const cohort of cohorts) {
        publish(topicOf(roundId, cohort, false), frame.json, false)
        publish(topicOf(roundId, cohort, true), frame.msgpack, true)
      }
      metrics.frameSent((rounds.serverTimeMs(roundId) - round.view.notice.at) / 1000)
    },
  })
}

/** The result of a draw to everybody who watches the round: one frame, from which each can compute how they stand. */
export function drawnFeed({ store, metrics }: Parts, publish: Server['publish'], failed: (cause: unknown) => void) {
  return (view: RoundView, window: number) => {
    store.draws
      .files(view.id, window)
      .then(files => {
        if (!files['result.json']) return
        metrics.count('fairgrab_draws_total')
        const frame = drawnFrame(view.id, window, files)
        for (let cohort = 0; cohort < COHORTS; cohort++) {
          publish(topicOf(view.id, cohort, false), frame.json, false)
          publish(topicOf(view.id, cohort, true), frame.msgpack, true)
        }
      })
      .catch(failed)
  }
}
