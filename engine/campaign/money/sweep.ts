/**
 * The sweep moves money that time moves: grants are booked, lapsed locks let go, expired vouchers give back what they
 * were worth. Touched vouchers are handled one by one from a sorted set; the untouched ones of a run of grants in one
 * entry, whose amount follows from counting: packs granted, less those that were touched. So a voucher that nobody ever
 * used costs nothing to expire, and its money moves all the same.
 *
 * The round's log is in the order of time, and vouchers expire together by the minute (a bucket), so a sweep reads the
 * log from where the last one stopped to the first minute that has not ended. Every worker sweeps; the scripts let each
 * run count once. When nothing is due, a sweep reads the index of rounds and no log. Of a first-come round that is closed and
 * booked nothing moves before its next vouchers expire, so it rests until then, and is looked at every ten minutes all the
 * same: of what a fail-over gives back nobody says anything here. (A drawn round grants behind its close.)
 */
import type { LedgerStore } from '../../store/data/ledger-store.ts'
import { grantedOf } from '../../store/data/notice.ts'
import type { RoundEntry } from '../../store/data/round-store.ts'
import { bucketEnds, bucketOf } from '../../store/data/voucher-store.ts'
import type { Store } from '../../store/store.ts'
import type { Campaign, Campaigns } from '../round/campaigns.ts'
import { isDrawn, packAmount, type RoundConfig, type Template, worthOf } from '../round/round-config.ts'

/** Touched vouchers a script call, and buckets a run: both keep a script under 2 ms. */
const DUE_A_CALL = 200
const BUCKETS_A_RUN = 200

export const sourceOf = (campaign: Campaign): string => (campaign.budget ? 'available' : 'sponsor_funds')

/** The longest that a round which is over is not looked at, milliseconds. */
const REST_MS = 600_000

interface Run {
  to: number
  packs: number
  endsAt: number
  buckets: string[]
}

export class Sweep {
  readonly #store: Store
  readonly #ledger: LedgerStore
  readonly #campaigns: Campaigns
  /** When the next bucket of a (round, template) ends, milliseconds since 1970 by the campaign's clock. */
  readonly #nextDue = new Map<string, number>()
  /** Until when a round rests, by its id, by the campaign's clock. */
  readonly #restsUntil = new Map<string, number>()

  constructor(store: Store, campaigns: Campaigns) {
    this.#store = store
    this.#ledger = store.ledger
    this.#campaigns = campaigns
    // Behind a new connection another server may have other dates.
    store.onRenewed(() => {
      this.#nextDue.clear()
      this.#restsUntil.clear()
    })
  }

  /** Sweeps every campaign that has a round; rounds that rest are left alone. */
  async all(): Promise<void> {
    const byCampaign = Object.groupBy(await this.#store.rounds.index(), ({ campaignId }) => campaignId)
    for (const [campaignId, rounds] of Object.entries(byCampaign)) {
      const now = await this.#ledger.now(campaignId)
      const awake = rounds?.filter(({ id }) => now >= (this.#restsUntil.get(id) ?? 0)) ?? []
      await this.#campaign(await this.#campaigns.get(campaignId), awake, now)
    }
  }

  /** Sweeps one campaign, all of its rounds, to the end of what is due. */
  async campaign(campaign: Campaign): Promise<void> {
    const rounds = await this.#store.rounds.index(campaign.id)
    await this.#campaign(campaign, rounds, await this.#ledger.now(campaign.id))
  }

  async #campaign(campaign: Campaign, rounds: readonly RoundEntry[], now: number): Promise<void> {
    const { id, on_expiry: unused } = campaign
    const numbers = rounds.map(({ number }) => number)
    const booked = numbers.length === 0 ? [] : await this.#ledger.booked(id, numbers)
    for (const [i, round] of rounds.entries()) {
      const read = await this.#store.rounds.read(round.id)
      if (!read) continue
      const config = JSON.parse(read.config) as RoundConfig
      const sequence = grantedOf(read.notice)
      const grants = { sequence, amount: packAmount(config.pack), source: sourceOf(campaign) }
      if (sequence > (booked[i] as number)) await this.#ledger.book(id, round.number, grants)
      let next = now + REST_MS
      for (const [place, template] of config.pack.entries())
        next = Math.min(next, await this.#untouched(campaign, config, { place, template }, now))
      if (read.notice.state === 'closed' && !isDrawn(config)) this.#restsUntil.set(round.id, next)
    }
    while ((await this.#ledger.due(id, DUE_A_CALL, unused)) === DUE_A_CALL);
  }

  /** Expires what is due of one template; gives the moment before which nothing more is. */
  async #untouched(
    campaign: Campaign,
    config: RoundConfig,
    { place, template }: { place: number; template: Template },
    now: number,
  ): Promise<number> {
    const key = `${config.number}:${place}`
    const known = this.#nextDue.get(key) ?? 0
    if (now < known) return known
    let from = await this.#ledger.expiredTo(campaign.id, config.number, place)
    const validMs = template.valid_for_s * 1000
    let run: Run | undefined
    const flush = async () => {
      if (!run) return
      const { to, packs, endsAt, buckets } = run
      const what = {
        roundNumber: config.number,
        template: place,
        quantity: template.quantity,
        worth: worthOf(template),
      }
      const ends = { from, to, packs, endsAt, buckets, unused: campaign.on_expiry }
      await this.#ledger.expire(campaign.id, { ...what, ...ends })
      from = to
      run = undefined
    }
    let nextDue = bucketEnds(now + validMs)
    for await (const batch of this.#store.claims.batches(config.id, from + 1)) {
      const expiresAt = batch.at + validMs
      const endsAt = bucketEnds(expiresAt)
      if (endsAt > now) {
        nextDue = endsAt
        break
      }
      if (run && run.endsAt < endsAt && run.buckets.length >= BUCKETS_A_RUN) await flush()
      run ??= { to: 0, packs: 0, endsAt: 0, buckets: [] }
      if (run.endsAt < endsAt) run.buckets.push(bucketOf(config.number, place, expiresAt))
      run.endsAt = endsAt
      run.to = batch.firstSequence + batch.holders.length - 1
      run.packs += batch.holders.length - Math.max(0, from + 1 - batch.firstSequence)
    }
    await flush()
    this.#nextDue.set(key, nextDue)
    return nextDue
  }
}
