/**
 * A till that uses codes which people were told: looks, locks, redeems, reverses, and repeats with the same key.
 *
 * Each code gets one of four plans. A plan goes on when its step has a certain answer; a step in doubt, or refused for now,
 * is asked again with its key, perhaps at another node. A certain refusal ends the plan: whether it was right is the judge's.
 */
import type { Door, Heard } from './door.ts'
import { type Deed, nowMs, says, type Testimony } from './testimony.ts'
import { MERCHANT } from './voucher-rules.ts'

interface Step {
  readonly deed: Deed
  /** Steps with the same letter repeat each other. */
  readonly key: string
}

const step = (deed: Deed, key = ''): Step => ({ deed, key })
const PLANS: readonly (readonly Step[])[] = [
  [step('look'), step('redeem', 'a'), step('redeem', 'a'), step('look')],
  [step('redeem', 'a'), step('reverse', 'b'), step('reverse', 'b'), step('look'), step('redeem', 'c'), step('look')],
  [step('lock'), step('look'), step('unlock'), step('look'), step('redeem', 'a')],
  [step('redeem', 'a'), step('look'), step('redeem', 'a')],
]
const LOCKED_S = 3600

interface Job {
  readonly code: string
  readonly campaignId: string
  readonly plan: readonly Step[]
  done: number
  redemption: string
}

export class Till {
  readonly #testimony: Testimony
  readonly #mark = Math.floor(nowMs()).toString(36)
  #jobs: Job[] = []
  readonly known: Job[] = []

  constructor(testimony: Testimony) {
    this.#testimony = testimony
  }

  take(code: string, campaignId: string): void {
    const plan = PLANS[this.known.length % PLANS.length] as readonly Step[]
    const job = { code, campaignId, plan, done: 0, redemption: '' }
    this.known.push(job)
    this.#jobs.push(job)
  }

  get waiting(): number {
    return this.#jobs.length
  }

  /** One step of the code that has waited for longest. */
  async step(door: Door): Promise<void> {
    const job = this.#jobs.shift()
    if (!job) return
    const next = job.plan[job.done] as Step
    const answer = await this.#do(door, job, next)
    const meaning = says(answer.outcome)
    if (meaning === 'no') return
    if (meaning === 'yes') {
      job.done++
      if (next.deed === 'redeem') job.redemption = (JSON.parse(answer.text) as { id: string }).id
    }
    if (job.done < job.plan.length) this.#jobs.push(job)
  }

  /** Looks at a code once more, and asks for what it was answered with its key. */
  async again(door: Door, job: Job, certain: (ask: () => Promise<Heard>) => Promise<Heard>): Promise<void> {
    await certain(() => this.#do(door, job, step('look')))
    const last = job.plan.slice(0, job.done).findLast(({ deed }) => deed === 'redeem')
    if (last) await certain(() => this.#do(door, job, last))
  }

  async #do(door: Door, job: Job, { deed, key: letter }: Step): Promise<Heard> {
    const { code, campaignId } = job
    const key = letter === '' ? '' : `${this.#mark}-${code}-${letter}`
    const order = `o-${code}`
    const asks = {
      look: () => door.get(`/v1/vouchers/${code}`),
      lock: () => door.post(`/v1/vouchers/${code}/lock`, { order_id: order, ttl_s: LOCKED_S }),
      unlock: () => door.post(`/v1/vouchers/${code}/unlock`, { order_id: order }),
      redeem: () =>
        door.post(
          '/v1/redemptions',
          { code, order: { id: order, amount: 5000, currency: 'CNY' }, merchant_id: MERCHANT },
          key,
        ),
      reverse: () => door.post(`/v1/redemptions/${job.redemption}/reversals`, { type: 'full' }, key),
    } as const satisfies Record<Deed, () => Promise<Heard>>
    const answer = await asks[deed]()
    const { node, sent, at, outcome, text } = answer
    this.#testimony.till.push({ node, sent, at, campaignId, deed, code, key, outcome, body: text })
    return answer
  }
}
