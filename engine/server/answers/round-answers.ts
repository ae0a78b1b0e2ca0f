/**
 * A round as everybody may see it: over HTTP, and as a frame of stock over the stream. Both are made of the newest notice that
 * this worker has, so they agree.
 */
import { rfc3339 } from '../../base/clock.ts'
import type { RoundFace } from '../../campaign/operator/lifecycle.ts'
import type { Round } from '../../campaign/round/round.ts'
import { type RoundAnswer, roundAnswer } from '../../wire/round-answer.ts'
import { type EncodedFrame, encodeFrame } from '../../wire/stock-frame.ts'

/** A round as the API shows it. */
export function publicRound(view: RoundFace): RoundAnswer {
  const { config, notice } = view
  return roundAnswer({
    id: view.id,
    campaignId: config.campaign_id,
    name: config.name,
    state: view.state,
    opensAt: notice.opensAt,
    closesAt: notice.closesAt,
    allocation: config.allocation,
    epoch: notice.epoch,
    version: notice.version,
    aside: notice.aside,
    pools: notice.pools.map((pool, place) => ({ name: config.pools[place] as string, ...pool })),
  })
}

/** A round's stock frame as of its newest notice. */
export function stockFrame({ view }: Round): EncodedFrame {
  const { stock, state, pools } = publicRound(view)
  const at = rfc3339(view.notice.at)
  return encodeFrame({ op: 'stock', round_id: view.id, state, ...stock, at, ...(pools.length > 1 ? { pools } : {}) })
}
