/**
 * The operator of a simulated round: makes it, opens it or lets the clock do it, pauses and resumes, adds stock and
 * takes some back, closes it or leaves it, over whichever node answers, and asks again when he got no certain answer.
 *
 * One thing at a time, as operators work. Every amount of stock is another one, so that what became of a request whose
 * answer was lost is read from the round's log at the end.
 */
import type { Code } from '../../engine/base/codes.ts'
import type { RoundConfig } from '../../engine/campaign/round/round-config.ts'
import { codeOfFailure, type EngineNode } from './engine-node.ts'
import { allocationOf, isDrawnMode, type Mode } from './modes.ts'
import { RoundRecord } from './round-record.ts'
import type { Chance, Timeline } from './timeline.ts'

export const CAMPAIGN = 'cmp_simulatedworld00'
const PACK = [
  {
    template: '40-10',
    quantity: 1,
    discount: { type: 'amount_off', amount_off: 1000, minimum_amount: 4000 },
    valid_for_s: 604_800,
  },
] as const
const AGAIN_MS = 80
const TRIES_MAX = 100
/** Answers that a later one may contradict. */
const AGAIN: ReadonlySet<Code> = new Set(['fenced', 'overloaded', 'unknown', 'unavailable'])

/** As much of a world as an operator sees of it. */
export interface Operated {
  readonly chance: Chance
  readonly timeline: Timeline
  readonly isFenced: boolean
  readonly hasTills: boolean
  readonly anyNode: () => EngineNode | undefined
  readonly passes: (ms: number) => Promise<void>
  /** The clock of the server that has a round, milliseconds since 1970. */
  readonly redisMs: (roundId: string) => number
}

export class Operator {
  readonly #world: Operated
  readonly #id: string
  readonly #number: number
  #record: RoundRecord | undefined
  #ends = false
  #working: Promise<void> = Promise.resolve()

  /** Of the round that has this number, counted from 1. */
  constructor(world: Operated, number: number, id: string) {
    this.#world = world
    this.#number = number
    this.#id = id
  }

  /** Makes the round of the day and everybody who may come to it. */
  async createRound(seed: number, users: number, mode: Mode = 'first'): Promise<RoundRecord> {
    const { chance } = this.#world
    const pools = chance.happens(0.3) ? ['general', 'assisted'] : ['general']
    const perUser = chance.happens(0.2) && !isDrawnMode(mode) ? 2 : 1
    const stock = Math.floor(users * perUser * chance.between(0.4, 1.2))
    const totals = pools.length === 1 ? [stock] : [stock - 5, 5]
    const opens = chance.pick(['now', 'soon', 'by hand'] as const)
    const config = { pools, per_user: perUser, pack: PACK, created_at: '2026-11-01T00:00:00.000Z' }
    const campaign = {
      id: CAMPAIGN,
      currency: 'CNY',
      timezone: 'UTC',
      pack: PACK,
      limits: { per_user: perUser },
      on_expiry: 'returned',
    }
    await this.#insist(async node => {
      const opensAt = { now: 1, soon: this.#world.redisMs(this.#id) + 60, 'by hand': 0 }[opens]
      if (this.#world.hasTills) await node.store.ledger.create(CAMPAIGN, 0)
      await node.store.rounds.createCampaign(CAMPAIGN, JSON.stringify(campaign))
      await this.#make(node, config, { totals, opensAt, mode })
      await node.store.rounds.enlist({ id: this.#id, campaignId: CAMPAIGN, number: this.#number })
    })
    if (opens === 'by hand') void this.#insist(node => node.lifecycle.turn(this.#id, 'open'))
    this.#record = new RoundRecord({
      id: this.#id,
      seed,
      users,
      perUser,
      pools,
      totals,
      opensByClock: opens === 'soon',
      mode,
    })
    return this.#record
  }

  /** As Lifecycle makes a round, under the id that the world wants. */
  async #make(
    node: EngineNode,
    rules: Pick<RoundConfig, 'pools' | 'per_user' | 'pack' | 'created_at'>,
    { totals, opensAt, mode }: { readonly totals: readonly number[]; readonly opensAt: number; readonly mode: Mode },
  ): Promise<void> {
    const { chance, isFenced } = this.#world
    const own = { id: this.#id, number: this.#number }
    const now = this.#world.redisMs(this.#id)
    const epoch = chance.bytes(8).toString('hex')
    let closesAt = chance.happens(0.2) ? now + 1000 + chance.below(30_000) : 0
    if (mode === 'lottery') closesAt = now + 1000 + chance.below(8000)
    const allocation = allocationOf(mode, chance, closesAt)
    const config: RoundConfig = { ...own, campaign_id: CAMPAIGN, currency: 'CNY', allocation, ...rules }
    if (isDrawnMode(mode)) {
      await node.store.draws.announce(this.#id)
      await node.draws.announce(this.#id)
    }
    await node.store.rounds.createRound({
      ...{ ...own, campaignId: CAMPAIGN, totals, config: JSON.stringify(config) },
      ...{ epoch, closesAt, opensAt, fenced: isFenced },
    })
  }

  /** Does this and that until `stops`. */
  works(): Promise<void> {
    this.#working = this.#work()
    return this.#working
  }

  /** Ends his work; a round that was left paused is resumed, however often he has to ask. */
  async stops(): Promise<void> {
    this.#ends = true
    await this.#working
    await this.#insist(node => node.lifecycle.turn(this.#id, 'open'))
    await this.#insist(node => node.lifecycle.turn(this.#id, 'resume'))
    if (this.#record?.story) await this.#closes()
  }

  /** What nobody closes is never drawn; while a window is being drawn nobody may, and comes again. */
  async #closes(): Promise<void> {
    const over = async (node: EngineNode) => {
      const { view } = await node.lifecycle.round(this.#id)
      if (view.notice.state !== 'closed' && view.notice.state !== 'drawn') await node.lifecycle.turn(this.#id, 'close')
    }
    for (let tries = 0; tries < TRIES_MAX && (await this.#try(over)) !== undefined; tries++)
      await this.#world.passes(AGAIN_MS)
  }

  /** Gives back what is quarantined, where something is: the engine that could tell of it lost its journal. */
  async releases(): Promise<void> {
    await this.#try(node => node.lifecycle.release(this.#id))
  }

  async #work(): Promise<void> {
    const { chance } = this.#world
    while (!this.#ends) {
      await this.#world.passes(chance.span(250))
      if (this.#ends) return
      if (chance.happens(0.35)) await this.#restock()
      else if (chance.happens(0.5)) await this.#pause()
      else if (chance.happens(0.01)) await this.#try(node => node.lifecycle.turn(this.#id, 'close'))
      else await this.#try(node => node.lifecycle.round(this.#id))
    }
  }

  async #pause(): Promise<void> {
    await this.#try(node => node.lifecycle.turn(this.#id, 'pause'))
    await this.#world.passes(this.#world.chance.span(60))
    await this.#insist(node => node.lifecycle.turn(this.#id, 'resume'))
  }

  async #restock(): Promise<void> {
    const { chance, timeline } = this.#world
    const record = this.#record as RoundRecord
    const pool = chance.below(record.options.pools.length)
    const size = record.restocks.length + 1
    const change = {
      ...{ pool, add: chance.happens(0.8) ? size : -size, sent: timeline.now * 1000 },
      answered: Number.POSITIVE_INFINITY,
    }
    record.restocks.push(change)
    const name = record.options.pools[pool] as string
    const code = await this.#try(node => node.lifecycle.restock(this.#id, { pool: name, add: change.add }))
    if (code === undefined) change.answered = timeline.now * 1000
  }

  /** Asks once; undefined when it was done, else why not. A node that ends leaves it in doubt. */
  async #try(ask: (node: EngineNode) => Promise<unknown>): Promise<Code | undefined> {
    const node = this.#world.anyNode()
    if (!node) return 'unavailable'
    const done = ask(node).then(() => undefined, codeOfFailure)
    return Promise.race([done, node.ended.then(() => 'unknown' as const)])
  }

  /** Asks until it is done, or until the answer is that it cannot be. */
  async #insist(ask: (node: EngineNode) => Promise<unknown>): Promise<void> {
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const code = await this.#try(ask)
      if (code === undefined || !AGAIN.has(code)) return
      await this.#world.passes(AGAIN_MS)
    }
  }
}
