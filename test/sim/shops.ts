/**
 * The tills of a simulated world: they look codes up that people were told, lock, redeem and reverse them over whichever node
 * answers, while an operator holds merchants and lets them go; and what may not come out of it.
 *
 * A till that gets no certain answer asks again with the same Idempotency-Key, and some time after an answer, too. Five
 * rules hold at every level for as long as nothing is lost by definition.
 *   1. A code that somebody was told is never `not_found`.
 *   2. A redemption or reversal that was told is found again by its key, byte for byte.
 *   3. A voucher is redeemed once, and once more behind each full reversal.
 *   4. What a merchant asks first behind the answer to a hold, and before the next release, is not redeemed.
 *   5. The book tells the same story: see ledger-story.ts.
 * Where the round lost journals, or notes that a sequence is another's, the first rule is left, and counted. Rejected: tills
 * in every world, which would cost more than the claims do.
 */
import type { Code } from '../../engine/base/codes.ts'
import type { Actor, KeyedAnswer } from '../../engine/campaign/voucher/redemption.ts'
import type { EngineNode } from './engine-node.ts'
import type { Told } from './ledger-story.ts'
import { CAMPAIGN } from './operator.ts'
import type { World } from './world.ts'

const MERCHANTS = ['m1', 'm2', 'm3'] as const
const LOOKED_AT_SHARE = 0.2
const AGAIN_MS = 120
const TRIES_MAX = 200
const EXAMPLES = 2
/** Answers that say nothing certain, or that a later one may contradict. */
const AGAIN: ReadonlySet<Code> = new Set(['fenced', 'overloaded', 'unknown', 'unavailable', 'voucher_locked'])

/** What the first till hears of a code, and a second one; `unknown` is one that gave up. */
const FIRST: ReadonlySet<Code> = new Set(['granted', 'merchant_not_eligible', 'not_found', 'unknown'])
const SECOND: ReadonlySet<Code> = new Set(['already_redeemed', 'merchant_not_eligible', 'not_found', 'unknown'])

/** What is asked with a key, and what it was answered with. */
interface Keyed {
  readonly what: string
  readonly ask: (node: EngineNode) => Promise<KeyedAnswer>
  /** What it redeems; once that is absent for good, the redemption cannot be asked for any more. */
  readonly code: ToldCode | undefined
  json: string | undefined
}

/** A code that somebody was told. */
interface ToldCode {
  readonly text: string
  readonly roundId: string
  readonly sequence: number
}

/** An answer, or why there is none. */
type Answered<T> = { readonly code: Code; readonly answer?: T }

export class Shops {
  readonly #world: World
  readonly #keyed: Keyed[] = []
  readonly #known = new Set<string>()
  readonly #absent: ToldCode[] = []
  /** By merchant: since when it is held for certain; absent while it is not. */
  readonly #heldSince = new Map<string, number>()
  #holding = Promise.resolve()
  #busy = 0
  #orders = 0
  #ends = false
  /** Redemptions and reversals that were told. */
  readonly told: Told[] = []
  readonly problems: string[] = []
  /** Codes that were absent where the round had lost journals or noted a conflict. */
  forgiven = 0

  constructor(world: World) {
    this.#world = world
  }

  /** Whether every till is done. */
  get isQuiet(): boolean {
    return this.#busy === 0
  }

  /** Somebody was told the codes of a sequence. */
  hear(roundId: string, sequence: number, codes: readonly string[]): void {
    const { chance, timeline } = this.#world
    const [text] = codes
    if (text === undefined || this.#known.has(text) || this.#ends || !chance.happens(LOOKED_AT_SHARE)) return
    this.#known.add(text)
    timeline.after(chance.span(150), () => void this.#serve({ text, roundId, sequence }))
  }

  /** The operator holds a merchant now and then, until the day ends. */
  async #holds(): Promise<void> {
    const { chance } = this.#world
    while (!this.#ends) {
      await this.#world.passes(chance.span(400))
      const merchant = chance.pick(MERCHANTS.slice(0, 2))
      // An engine that stands still through it, with what it is asked meanwhile.
      if (chance.happens(0.5)) this.#world.anyNode()?.clock.standStill(chance.between(600, 2500))
      const held = await this.#ask(node => node.controls.hold(merchant, { reason: 'review', by: 'operator' }))
      if (held.code === 'granted') this.#heldSince.set(merchant, this.#world.timeline.now)
      await this.#world.passes(chance.span(600))
      this.#heldSince.delete(merchant)
      for (let tries = 0; tries < TRIES_MAX; tries++) {
        if ((await this.#ask(node => node.controls.release(merchant))).code === 'granted') break
        await this.#world.passes(AGAIN_MS)
      }
    }
  }

  /** A day begins. */
  opens(): void {
    this.#ends = false
    this.#holding = this.#holds()
  }

  /** Everything is well again: each key is asked once more, and nobody comes any more. */
  async closes(): Promise<void> {
    this.#ends = true
    for (let waits = 0; !this.isQuiet && waits < TRIES_MAX; waits++) await this.#world.passes(AGAIN_MS)
    if (!this.isQuiet) this.#tell('a till has no certain answer after everything healed')
    await this.#holding
    for (const keyed of this.#keyed.splice(0)) if (keyed.json !== undefined) await this.#certain(keyed)
  }

  /** What does not hold; `isExcused` says of which sequences nobody could know. */
  judge(isExcused: (roundId: string, sequence: number) => boolean): readonly string[] {
    for (const { text, roundId, sequence } of this.#absent) {
      if (isExcused(roundId, sequence)) this.forgiven++
      else this.#tell(`${text} of ${roundId}, sequence ${sequence}, was told and is not_found`)
    }
    return this.problems
  }

  /** One code, from the first look to the last reversal. */
  async #serve(code: ToldCode): Promise<void> {
    const { chance } = this.#world
    this.#busy++
    const merchant = chance.pick(MERCHANTS)
    const actor: Actor = merchant === 'm1' ? { id: 'key:m1', merchant } : { id: `key:${merchant}` }
    if (chance.happens(0.3)) await this.#look(code)
    let order = `o${++this.#orders}`
    if (chance.happens(0.3)) await this.#locks(code, actor, order)
    const made = await this.#redeem(code, actor, [merchant, order, FIRST])
    if (made !== undefined && chance.happens(0.3)) {
      // A second customer with the same code.
      order = `o${++this.#orders}`
      await this.#redeem(code, actor, [merchant, order, SECOND])
    }
    if (made !== undefined && chance.happens(0.3)) await this.#reverse(code, actor, made)
    this.#busy--
  }

  async #look(code: ToldCode): Promise<void> {
    const looked = await this.#ask(node => node.vouchers.of(code.text).then(voucher => node.vouchers.now(voucher)))
    if (looked.code === 'not_found') this.#absent.push(code)
  }

  async #locks(code: ToldCode, actor: Actor, order: string): Promise<void> {
    const asked = { order_id: order, ttl_s: 30 }
    const locked = await this.#ask(node => node.redemption.lock(actor, code.text, asked))
    if (locked.code === 'not_found') this.#absent.push(code)
    if (this.#world.chance.happens(0.3)) await this.#ask(node => node.redemption.unlock(actor, code.text, order))
  }

  /** Redeems a code for an order; the redemption's id where it was done. */
  async #redeem(
    code: ToldCode,
    actor: Actor,
    [merchant, order, expected]: readonly [string, string, ReadonlySet<Code>],
  ): Promise<string | undefined> {
    const request = { code: code.text, order: { id: order, amount: 5000, currency: 'CNY' }, merchant_id: merchant }
    const heldAt = this.#heldSince.get(merchant)
    const keyed = this.#key(`redeem ${order}`, node => node.redemption.redeem(actor, order, request), code)
    const { code: outcome, answer } = await this.#certain(keyed)
    if (!expected.has(outcome)) this.#tell(`${code.text}, redeemed for ${order}, is ${outcome}`)
    if (!answer) return undefined
    const { id, redeemed_at: at } = JSON.parse(answer.json) as { id: string; redeemed_at: string }
    this.told.push({ kind: 'redeem', id, code: code.text, amount: 1000 })
    if (heldAt !== undefined && this.#heldSince.get(merchant) === heldAt)
      this.#tell(`${merchant} was held, its operator answered, and then redeemed ${id} at ${at}`)
    return id
  }

  async #reverse(code: ToldCode, actor: Actor, redemption: string): Promise<void> {
    const request = { type: 'full', reason: 'refund' } as const
    const key = `back ${redemption}`
    const keyed = this.#key(key, node => node.redemption.reverse(actor, key, redemption, request))
    const { code: outcome, answer } = await this.#certain(keyed)
    if (answer) {
      const { id } = JSON.parse(answer.json) as { id: string }
      this.told.push({ kind: 'reverse', id, code: code.text, amount: 1000 })
    } else if (outcome === 'not_found') this.#tell(`the redemption ${redemption} was told and is not_found`)
  }

  #key(what: string, ask: Keyed['ask'], code?: ToldCode): Keyed {
    const keyed: Keyed = { what, ask, code, json: undefined }
    this.#keyed.push(keyed)
    return keyed
  }

  /** Asks until the answer is certain, and holds it against what was told for the same key before. */
  async #certain(keyed: Keyed): Promise<Answered<KeyedAnswer>> {
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const answered = await this.#ask(keyed.ask)
      if (AGAIN.has(answered.code)) {
        await this.#world.passes(AGAIN_MS)
        continue
      }
      const json = answered.answer?.json
      if (answered.code === 'not_found' && keyed.code) this.#absent.push(keyed.code)
      else if (keyed.json !== undefined && json !== keyed.json)
        this.#tell(`${keyed.what} was answered ${keyed.json}, and then ${json ?? answered.code}`)
      keyed.json ??= json
      return answered
    }
    return { code: 'unknown' }
  }

  async #ask<T>(ask: (node: EngineNode) => Promise<T>): Promise<Answered<T>> {
    const node = this.#world.anyNode()
    return node ? node.asked(ask) : { code: 'unavailable' }
  }

  #tell(problem: string): void {
    if (this.problems.length < EXAMPLES) this.problems.push(`T ${CAMPAIGN}: ${problem}`)
  }
}
