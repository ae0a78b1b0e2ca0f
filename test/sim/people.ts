/**
 * The people of one simulated round: who asks, what he makes of each answer, and when he comes back.
 *
 * Plain people ask until they hold or are told that it is over. Bots ask again and again though they hold, some of them
 * twice at once. Shy ones leave for good at the first certain refusal, so one of them who is found among the holders
 * proves a lie; but whoever was left in doubt before stays. Nobody asks twice in the same moment, everybody picks a
 * node by chance each time, and a node that ends leaves those who waited without an answer. Every answer is recorded.
 */
import { GRANT, MEANINGS, NO_ANSWER, REFUSAL, voucherHash } from '../../bench/audit/history.ts'
import { rfc3339 } from '../../engine/base/clock.ts'
import { CODES, type Code } from '../../engine/base/codes.ts'
import type { SingleAsk } from '../../engine/campaign/round/round.ts'
import type { EngineNode } from './engine-node.ts'
import type { RoundRecord } from './round-record.ts'
import type { Chance, Timeline } from './timeline.ts'

interface Person {
  readonly user: number
  readonly slot: number
  readonly pool: number
  readonly shy: boolean
  repeats: number
  asking: number
  asked: boolean
  doubts: boolean
  gone: boolean
  final: boolean
}

export interface PeopleOptions {
  readonly timeline: Timeline
  readonly chance: Chance
  readonly record: RoundRecord
  /** A node that takes requests now, or undefined when none does. */
  readonly node: () => EngineNode | undefined
  /** Told the vouchers that somebody was told. */
  readonly told?: ((sequence: number, codes: readonly string[]) => void) | undefined
  /** Gets what a node answered, and when it was asked. */
  readonly answered?: ((node: EngineNode, sent: number, code: Code) => void) | undefined
}

const OVER = new Set<Code>(['granted', 'replayed', 'sold_out', 'closed', 'limit_reached'])
const AGAIN_MS = 120
/** To a strict round so many come in the place of one, within so long. */
export const BURST = 3
const BURST_MS = 4
const SHY_SHARE = 0.2
const BOT_SHARE = 0.15
/** A person's way to a node and back takes this long at most, milliseconds. */
const WAY_MS = 2

/** What stands for a receipt in the record, 0 for none. */
const tagHash = (ask: SingleAsk | undefined): number =>
  ask?.receipt ? Number.parseInt(ask.receipt.tag.slice(0, 8), 16) : 0

export class People {
  readonly #options: PeopleOptions
  readonly #people: Person[]
  #next = 0
  #asking = 0
  #claims = 0
  #resting = false
  /** Who entered asks until the draw is over. */
  #ending = false

  constructor(options: PeopleOptions) {
    this.#options = options
    const { chance, record } = options
    const { users, perUser, pools } = record.options
    this.#people = Array.from({ length: users * perUser }, (_, i) => ({
      user: Math.floor(i / perUser),
      slot: (i % perUser) + 1,
      pool: chance.below(pools.length),
      shy: chance.happens(SHY_SHARE),
      repeats: chance.happens(BOT_SHARE) ? 1 + chance.below(4) : 0,
      ...{ asking: 0, asked: false, doubts: false, gone: false, final: false },
    }))
  }

  /** Claims that were asked. */
  get claims(): number {
    return this.#claims
  }

  /** People who have not come yet. */
  get left(): number {
    return this.#people.length - this.#next
  }

  /** Some more of them come within a time; to a strict round more of them, and nearly at once: else there is no order to keep. */
  arrive(some: number, ms: number): void {
    const { chance, timeline, record } = this.#options
    const [count, withinMs] = record.arrivals ? [some * BURST, chance.between(0, BURST_MS)] : [some, ms]
    for (let i = 0; i < count && this.#next < this.#people.length; i++) {
      const person = this.#people[this.#next++] as Person
      timeline.after(chance.between(0, withinMs), () => this.#ask(person))
      if (person.repeats > 0 && chance.happens(0.5))
        timeline.after(chance.between(0, withinMs), () => this.#ask(person))
    }
  }

  /** One of those who were there already asks again. */
  remind(): void {
    const { chance } = this.#options
    const person = this.#people[chance.below(Math.max(1, this.#next))] as Person
    if (person.asked && !person.gone) this.#ask(person)
  }

  /** Everybody who ever asked and did not leave for good asks once more, and until he is told for certain. */
  askAgain(): void {
    this.#ending = true
    for (const person of this.#people) {
      if (!person.asked || person.gone) continue
      person.final = false
      person.repeats = 0
      this.#options.timeline.after(this.#options.chance.between(0, 5), () => this.#ask(person))
    }
  }

  /** Whether nobody waits and nobody wants to ask again. */
  get isQuiet(): boolean {
    return this.#asking === 0 && this.#people.every(({ asked, gone, final }) => !asked || gone || final)
  }

  #ask(person: Person): void {
    const node = this.#options.node()
    if (person.gone || person.asking > 1) return
    if (!node) return this.#later(person)
    const { timeline, chance, record } = this.#options
    person.asking++
    person.asked = true
    this.#asking++
    this.#claims++
    const sent = timeline.now
    const { user, slot, pool } = person
    const told = {
      answered: (code: Code, ask: SingleAsk | undefined) => {
        this.#options.answered?.(node, sent, code)
        record.arrivals?.answered(node, [sent, timeline.now], [code, ask], record.wellSince(node))
        timeline.after(chance.between(0, WAY_MS), () => this.#told(person, sent, code, ask))
      },
      lost: () => this.#lost(person, sent),
    }
    const userId = record.users.userId(user)
    timeline.after(chance.between(0, WAY_MS), () => {
      const brought = record.story?.bring(user, chance)
      if (node.clock.alive) node.claim(record.options.id, { userId, slot, pool, ...brought }, told)
      else this.#lost(person, sent)
    })
  }

  #told(person: Person, sent: number, code: Code, ask: SingleAsk | undefined): void {
    const { history } = this.#options.record
    const outcome = CODES[code].number
    const holds = MEANINGS[outcome] === GRANT && ask !== undefined
    history.push({
      ...{ sent: sent * 1000, answered: this.#options.timeline.now * 1000, outcome, connection: 0 },
      ...{ user: person.user, slot: person.slot, pool: holds ? ask.pool : person.pool },
      sequence: holds ? ask.sequence : 0,
      vouchers: holds ? voucherHash(ask.codes, rfc3339(ask.at)) : tagHash(ask),
    })
    this.#options.record.story?.told(person.user, [sent, this.#options.timeline.now], [code, ask])
    if (holds) this.#options.told?.(ask.sequence, ask.codes)
    this.#asking--
    person.asking--
    // Who entered waits for the draw.
    if (code === 'entered') person.doubts = true
    if (OVER.has(code) || (code === 'entered' && !this.#ending)) return this.#over(person)
    if (MEANINGS[outcome] !== REFUSAL) person.doubts = true
    else if (person.shy && !person.doubts && person.asking === 0) {
      person.gone = true
      return
    }
    this.#later(person)
  }

  #lost(person: Person, sent: number): void {
    this.#options.record.history.push({
      ...{ sent: sent * 1000, answered: Number.POSITIVE_INFINITY, outcome: NO_ANSWER, connection: 0 },
      ...{ user: person.user, slot: person.slot, pool: person.pool, sequence: 0, vouchers: 0 },
    })
    this.#asking--
    person.asking--
    person.doubts = true
    this.#later(person)
  }

  #over(person: Person): void {
    person.final = true
    if (person.repeats-- > 0) this.#later(person)
  }

  /** Nobody asks by himself any more: the night begins. */
  rest(): void {
    this.#resting = true
  }

  #later(person: Person): void {
    const { timeline, chance } = this.#options
    if (this.#resting) return
    timeline.after(chance.span(AGAIN_MS) + 1, () => this.#ask(person))
  }
}
