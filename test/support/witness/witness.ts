/**
 * A witness of a row of faults: knows the engine by its public API only, and at the end judges all that it was told.
 *
 * While the row runs it has a small round of its own, in which people claim (people.ts) and an operator turns (desk.ts), a till
 * that uses what they and the row's crowd were told (till.ts), and a reader at every node (reader.ts): some ten requests a
 * second each. The row's crowd is heard, too; its claims are the load. `fault` says when the row breaks something. `verdict`
 * ends it: what is in doubt is asked again until it is certain, everything told is asked for at every node, and the rules
 * (judgement.ts) are held against it. docs/reliability.md tells what is asked and what a level forgives.
 */
import { monotonicUs } from '../../../bench/load/recorder.ts'
import { benchUsers } from '../../../bench/load/user-id.ts'
import { Crowd } from '../crowd.ts'
import type { CrowdOptions } from '../crowd-lanes.ts'
import { effort } from '../effort.ts'
import { tell } from '../figures.ts'
import { random } from '../seed.ts'
import { Stalls } from '../stalls.ts'
import { Calm } from './calm.ts'
import { Desk } from './desk.ts'
import { Door } from './door.ts'
import { FinalQuestions } from './final-questions.ts'
import { judgeAt } from './judgement.ts'
import type { Level, Worst } from './levels.ts'
import { People } from './people.ts'
import { Reader } from './reader.ts'
import { nowMs, type RoundRecord, type StateSeen, says, Testimony, type TurnTold, type Violation } from './testimony.ts'
import { Till } from './till.ts'

/** Packs of the round in which people claim, and of the one in which nobody does. */
const STOCK = 12
const QUIET_STOCK = 5
/** Before its next turn in the quiet round the desk lets people look at what the last one made. */
const QUIET_MS = 1300
const AGAIN_MS = 200

interface Pace {
  /** So many people come to the busy round in all, so many codes of the crowd to the till; so many are asked for by name. */
  readonly people: number
  readonly codes: number
  readonly sample: number
  /** Between two steps of each. */
  readonly peopleMs: number
  readonly turnMs: number
  readonly readMs: number
}

/** The short form has many rows and little time: there the witness comes often only where servers take each other's place. */
const SPARSE: Pace = { people: 10, codes: 4, sample: 3, peopleMs: 400, turnMs: 1000, readMs: 500 }
const DENSE: Pace = {
  people: effort(40, 2000),
  codes: effort(12, 1000),
  sample: effort(8, 300),
  peopleMs: 100,
  turnMs: 600,
  readMs: 200,
}

/** Violations of one rule that are spelt out. */
const SPELT = 3

export interface WitnessOptions {
  readonly nodes: readonly string[]
  readonly level: Level
  /** The worst that the row does to Redis. */
  readonly worst: Worst
  /** Often, in the short form too. */
  readonly dense?: boolean
}

const LONG_AGO = '2020-01-01T00:00:00.000Z'
const CAMPAIGN = {
  ...{ name: 'witness', sponsor: 'witness', currency: 'CNY', budget: { max_amount: 10_000_000_000 } },
  pack: [
    {
      ...{ template: '40-10', quantity: 2, valid_for_s: 604_800 },
      discount: { type: 'amount_off', amount_off: 1000, minimum_amount: 4000 },
    },
  ],
  limits: { per_user: 1 },
}

interface Post {
  readonly people: Door
  readonly till: Door
  readonly reader: Reader
}

interface Rounds {
  readonly campaign_id: string
  readonly id: string
  readonly quietId: string
}

const pause = (ms: number): Promise<void> => new Promise(resume => setTimeout(resume, ms))

export class Witness implements AsyncDisposable {
  readonly testimony = new Testimony()
  /** Violations that the level forgives, once there is a verdict. */
  forgiven: readonly Violation[] = []
  readonly #options: WitnessOptions
  readonly #pace: Pace
  readonly #stalls = new Stalls()
  readonly #posts: readonly Post[]
  readonly #people: People
  readonly #till = new Till(this.testimony)
  readonly #desk: Desk
  /** Of a round in which only turns change anything: a lost one is overtaken by nothing. */
  readonly #quiet: Desk
  readonly #doors: Door[] = []
  readonly #loops: Promise<void>[] = []
  readonly #waiting = new Set<{ readonly holds: () => boolean; readonly resolve: () => void }>()
  /** What is asked just now. */
  readonly #acting = new Set<Promise<unknown>>()
  #resting: Promise<void> | undefined
  #ended = false
  #heardAt = 0

  private constructor(options: WitnessOptions, { campaign_id: campaignId, id, quietId }: Rounds) {
    this.#options = options
    this.#pace = options.dense === true || effort(0, 1) > 0 ? DENSE : SPARSE
    // The watch of stalls counts from the process's start, all else here by the machine's clock.
    const origin = nowMs() - performance.now()
    this.testimony.lost = (from, to) => this.#stalls.between(from - origin, Math.min(to - origin, performance.now()))
    this.#posts = options.nodes.map(url => ({
      people: this.#door(url),
      till: this.#door(url),
      reader: new Reader(this.testimony, this.#door(url)),
    }))
    const own = {
      campaignId,
      userIdOf: (user: number) => `w${user}`,
      indexOf: (userId: string) => Number(/^w(\d+)$/.exec(userId)?.[1] ?? -1),
      nodeOf: (connection: number) => (this.#posts[connection] as Post).people.node,
    }
    const busy = this.testimony.round({ ...own, id, stock: STOCK })
    this.#people = new People(busy, codes => this.#take(codes, campaignId))
    this.#desk = new Desk(this.testimony, busy)
    this.#quiet = new Desk(this.testimony, this.testimony.round({ ...own, id: quietId, stock: QUIET_STOCK }))
  }

  /** Rounds of its own, and nothing asked yet: `watch` begins. */
  static async open(options: WitnessOptions): Promise<Witness> {
    const door = new Door(options.nodes[0] as string)
    const make = async (path: string, body: object): Promise<{ id: string }> => {
      const { outcome, text } = await door.post(path, body)
      if (outcome !== 'done') throw new Error(`${path}: ${text}`)
      return JSON.parse(text)
    }
    const campaign = await make('/v1/campaigns', CAMPAIGN)
    const path = `/v1/campaigns/${campaign.id}/rounds`
    const busy = await make(path, { stock: STOCK, opens_at: LONG_AGO })
    const quiet = await make(path, { stock: QUIET_STOCK, opens_at: LONG_AGO })
    door.close()
    return new Witness(options, { campaign_id: campaign.id, id: busy.id, quietId: quiet.id })
  }

  /** The people of the row's round, heard; then the witness watches all rounds until its verdict. */
  crowd(options: CrowdOptions, round: { readonly campaign_id: string }, stock: number): Crowd {
    const { userId, indexOf } = benchUsers(options.people)
    const crowd = new Crowd({ ...options, heard: (user, body) => this.#hear(record, user, body) })
    const record = this.testimony.round(
      {
        ...{ id: options.roundId, campaignId: round.campaign_id, stock, userIdOf: userId, indexOf },
        nodeOf: connection => `lane ${connection} of the crowd`,
      },
      crowd.history,
    )
    this.watch()
    return crowd
  }

  watch(): void {
    const { people: peopleMax, peopleMs, readMs, turnMs } = this.#pace
    for (const [place, { people, till, reader }] of this.#posts.entries()) {
      reader.watch()
      this.#loop(readMs, () => reader.read())
      this.#loop(peopleMs, () =>
        this.#people.step(people, place, this.#people.at.length < peopleMax || this.#isAwaited),
      )
      this.#loop(peopleMs, () => this.#till.step(till))
    }
    for (const [desk, eachMs] of [
      [this.#desk, turnMs],
      [this.#quiet, QUIET_MS],
    ] as const) {
      let turns = 0
      const doors = this.#options.nodes.map(url => this.#door(url))
      this.#loop(eachMs, async () => {
        if (desk === this.#desk || this.#mayTurn()) await desk.turn(doors[turns++ % doors.length] as Door)
      })
    }
  }

  /** What is shown while this runs, and for a second after, is not judged by its age. */
  async fault<T>(act: () => Promise<T> | T): Promise<T> {
    const disturbed = { from: nowMs(), to: Number.POSITIVE_INFINITY }
    this.testimony.disturbed.push(disturbed)
    try {
      return await act()
    } finally {
      disturbed.to = nowMs()
    }
  }

  /** Nobody of the witness asks anything while this runs. */
  async rest<T>(act: () => Promise<T>): Promise<T> {
    const resting = Promise.withResolvers<void>()
    this.#resting = resting.promise
    await Promise.all(this.#acting)
    return await act().finally(() => {
      this.#resting = undefined
      resting.resolve()
    })
  }

  /** Resolves as soon as so many people more of its own round were told that they hold. */
  told(more: number): Promise<void> {
    const goal = this.#people.granted + more
    return this.#until(() => this.#people.granted >= goal)
  }

  /** Resolves when so many people more of its own round had an answer. */
  asked(more: number): Promise<void> {
    const history = this.testimony.rounds[0]?.history
    const goal = (history?.length ?? 0) + more
    return this.#until(() => (history?.length ?? 0) >= goal)
  }

  /** Resolves when a node shows this of its own round, from now on. */
  shows(fits: (seen: StateSeen) => boolean): Promise<void> {
    const [{ id }] = this.testimony.rounds as [RoundRecord]
    const from = nowMs()
    return this.#until(() => {
      const last = this.testimony.states.findLast(seen => seen.roundId === id && seen.how === 'round')
      return last !== undefined && last.sent > from && fits(last)
    })
  }

  /** Resolves when a turn of the quiet round, sent from now on, was answered in doubt. */
  doubt(): Promise<void> {
    return this.#turned(({ outcome }) => says(outcome) === 'perhaps')
  }

  /** Resolves when the quiet round was turned in calm: that answer says whether what was shown before it is true. */
  calm(): Promise<void> {
    return this.#turned(({ outcome }) => says(outcome) === 'yes' || outcome === 'wrong_state')
  }

  /** Ends the watching, asks again, judges. Resolves with what is broken, in words, nothing when all held. */
  async verdict(): Promise<readonly string[]> {
    this.#ended = true
    await Promise.all(this.#loops)
    const { level, worst } = this.#options
    const doors = this.#options.nodes.map(url => this.#door(url))
    const readers = this.#posts.map(({ reader }) => reader)
    const questions = new FinalQuestions(this.testimony, {
      doors,
      readers,
      next: random(900),
      sample: this.#pace.sample,
    })
    await questions.ready()
    await this.#settle(doors[0] as Door)
    await questions.ask(this.#till)
    const from = process.cpuUsage()
    const { broken, forgiven } = judgeAt(this.testimony, level, worst)
    this.forgiven = forgiven
    this.#tell(process.cpuUsage(from).user / 1000)
    return spelt(broken)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true
    for (const { reader } of this.#posts) reader.close()
    for (const door of this.#doors) door.close()
    await Promise.all(this.#loops)
    this.#stalls[Symbol.dispose]()
  }

  #door(url: string): Door {
    const door = new Door(url)
    this.#doors.push(door)
    return door
  }

  #loop(eachMs: number, act: () => Promise<unknown>): void {
    const run = async () => {
      while (!this.#ended) {
        if (this.#resting) await this.#resting
        if (this.#ended) return
        const acting = act()
        this.#acting.add(acting)
        await acting.finally(() => this.#acting.delete(acting))
        for (const waiting of this.#waiting) if (waiting.holds()) waiting.resolve()
        await pause(eachMs)
      }
    }
    this.#loops.push(run())
  }

  /** Somebody waits for what people bring; then they go on coming, however many there were. */
  get #isAwaited(): boolean {
    return this.#waiting.size > 0
  }

  #until(holds: () => boolean): Promise<void> {
    return new Promise(resolve => {
      const waiting = {
        holds,
        resolve: () => {
          this.#waiting.delete(waiting)
          resolve()
        },
      }
      this.#waiting.add(waiting)
    })
  }

  /** While something is broken, so that turns come into doubt; else only in calm, so that what is shown can be looked at. */
  #mayTurn(): boolean {
    const [now, calm] = [nowMs(), new Calm(this.testimony)]
    const isBroken = this.testimony.disturbed.some(({ to }) => to > now)
    return isBroken || this.#posts.every(({ people: { node } }) => calm.since(node, now) > QUIET_MS)
  }

  #turned(fits: (turn: TurnTold) => boolean): Promise<void> {
    const from = nowMs()
    const quiet = this.testimony.rounds[1]?.id
    return this.#until(() =>
      this.testimony.turns.some(turn => turn.roundId === quiet && turn.sent > from && fits(turn)),
    )
  }

  #take(codes: readonly string[], campaignId: string): void {
    for (const code of codes.slice(0, 1)) this.#till.take(code, campaignId)
  }

  /** Now and then what a person of the crowd was told goes to the till at once. */
  #hear(record: Testimony['rounds'][number], user: number, body: Buffer): void {
    const now = monotonicUs() / 1000
    if (
      this.#ended ||
      now - this.#heardAt < this.#pace.peopleMs ||
      record.codes.size >= this.#pace.codes ||
      record.codes.has(user)
    )
      return
    this.#heardAt = now
    const { vouchers } = JSON.parse(body.toString()) as { vouchers: { code: string }[] }
    record.codes.set(user, { codes: vouchers.map(({ code }) => code), at: now })
    for (const { code } of vouchers.slice(0, 1)) this.#till.take(code, record.campaignId)
  }

  /** Asks what is in doubt until it is certain. */
  async #settle(door: Door): Promise<void> {
    await this.#desk.reopen(door)
    await this.#quiet.reopen(door)
    for (const user of this.#people.unsettled)
      while (!(await this.#people.ask(this.#people.at[user] as Door, user, this.#placeOf(user)))) await pause(AGAIN_MS)
    while (this.#till.waiting > 0) await this.#till.step(door)
  }

  #placeOf(user: number): number {
    return this.#posts.findIndex(({ people }) => people === this.#people.at[user])
  }

  #tell(judgedMs: number): void {
    const { states, till, turns, found, rounds } = this.testimony
    const lists = rounds.reduce((sum, round) => sum + round.lists.length, 0)
    const counts = { seen: states.length, tilled: till.length, turned: turns.length, foundAgain: found.length, lists }
    tell({ ...counts, forgiven: this.forgiven.length })
    if (process.env.WITNESS) console.log(counts, spelt(this.forgiven), judgedMs)
  }
}

/** Some of each rule's violations in words, and how many there were. */
export function spelt(violations: readonly Violation[]): readonly string[] {
  const byRule = Map.groupBy(violations, ({ rule }) => rule)
  return [...byRule].flatMap(([rule, all]) =>
    all.slice(0, SPELT).map(({ told }, place) => `${rule}${place === 0 ? ` (${all.length})` : ''}: ${told}`),
  )
}
