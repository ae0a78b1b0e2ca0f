/**
 * People who claim through faults, and remember every answer: the load of the fault tests. Most ask in frames of the stream,
 * some one by one over HTTP, each lane with its own connection that comes back by itself. Whoever got no final answer asks
 * again after a moment. Every fifth is shy: a definite no sends them away for good, so if the engine did execute
 * the claim after all, the ledger has a holder who was refused, and the audit finds the lie.
 *
 * `told(n)` resolves inside the answer that makes the n-th grant known: that is where tests place their faults. `askAgain` is the final reading, `audit` compares it all with
 * what the engine holds. The bench's generators were not taken: their plans and histograms are about speed.
 */

import { Frames } from '../../bench/audit/frames.ts'
import { GRANT, History, MEANINGS, NO_ANSWER, REFUSAL } from '../../bench/audit/history.ts'
import { type RoundState as AuditedRound, readLedger } from '../../bench/audit/ledger.ts'
import { orderedAsShown } from '../../bench/audit/stock-checks.ts'
import { auditRun, printVerdict } from '../../bench/audit/verdict.ts'
import { monotonicUs } from '../../bench/load/recorder.ts'
import { benchUsers } from '../../bench/load/user-id.ts'
import { Operator, type RoundState } from '../../bench/stage/operator.ts'
import { CODES, type Code, codeOf } from '../../engine/base/codes.ts'
import { Awaited } from './awaited.ts'
import { type CrowdOptions, type Lane, SingleLane, StreamLane, type Work } from './crowd-lanes.ts'
import { effort } from './effort.ts'
import { KEYS } from './engine.ts'
import { Stalls } from './stalls.ts'

const AGAIN_MS = 40
/** The long forms of the fault tests restart a Redis whose log takes seconds to load, a hundred times. */
const FINISH_MS = effort(100_000, 900_000)
const SHY_EACH = 5

/** Outcomes after which nobody asks again. The others say: not now. */
const FINAL = new Set<number>((['granted', 'replayed', 'sold_out', 'closed'] as const).map(code => CODES[code].number))

/** The longest that an answer may take beside restarts, without what the machine took (stalls.ts), milliseconds. */
export const ANSWER_MS_MAX = 3500

/**
 * People who ask until the faults have come, and no longer: what is proved does not grow with how many they are, so in the
 * short form each lane rests between an answer and its next claim.
 */
export const RESTING = { restMs: effort(20, 0) }

export class Crowd implements Disposable {
  readonly history: History
  readonly stalls = new Stalls()
  /** Answers by code; `no_answer` where the connection broke. */
  readonly answers = new Map<Code | 'no_answer', number>()
  /** Claims that were told granted, each person once. */
  granted = 0
  /** The longest time that an answer took, without what the machine took, milliseconds. */
  slowestMs = 0
  readonly #options: Required<CrowdOptions>
  readonly #lanes: Lane[] = []
  readonly #todo: { readonly single: number[]; readonly frame: number[] } = { single: [], frame: [] }
  readonly #holds: Uint8Array
  readonly #gone: Uint8Array
  /** Who once got no definite answer: an earlier claim of his may be granted, so no later refusal sends him away. */
  readonly #doubts: Uint8Array
  readonly #awaited = new Awaited(() => this.#reached())
  readonly #later: { readonly user: number; readonly todo: number[] }[] = []
  readonly #asked: Uint8Array
  #again: NodeJS.Timeout | undefined
  #asking = 0
  #quitting = false
  #finish: () => void = () => {}

  constructor(options: CrowdOptions) {
    const few = { singles: 400, singleLanes: 8, streams: 2, window: 3, frame: 128 }
    const defaults = { ...few, restMs: 0, heard: () => {} }
    this.#options = { ...defaults, ...options }
    this.history = new History(options.people)
    this.#holds = new Uint8Array(options.people)
    this.#gone = new Uint8Array(options.people)
    this.#doubts = new Uint8Array(options.people)
    this.#asked = new Uint8Array(options.people)
    const { streams, singleLanes, singles, people } = this.#options
    if (singles > 0)
      for (let i = 0; i < singleLanes; i++) this.#lanes.push(new SingleLane(this.#options, this.#work('single'), i))
    if (singles < people)
      for (let i = 0; i < streams; i++) this.#lanes.push(new StreamLane(this.#options, this.#work('frame'), 100 + i))
  }

  /** Connects, and lets everybody ask; resolves when all have a final answer. */
  async ask(): Promise<void> {
    await Promise.all(this.#lanes.map(lane => lane.open()))
    await this.#askAll(() => true)
  }

  /** Everybody who ever asked asks once more, except those who were sent away. */
  askAgain(): Promise<void> {
    return this.#askAll(user => this.#asked[user] === 1 && this.#gone[user] === 0)
  }

  /** Nobody asks any more; `ask` resolves when the last answers are there. */
  quit(): void {
    this.#quitting = true
    clearTimeout(this.#again)
    this.#again = undefined
    for (const waiting of [this.#todo.single, this.#todo.frame, this.#later]) waiting.length = 0
    this.#look()
  }

  /** Resolves as soon as so many people were told that they hold a grant. */
  told(count: number): Promise<void> {
    return this.#awaited.until(() => this.granted >= count)
  }

  /** Resolves as soon as so many answers had this code. */
  answered(code: Code, count: number): Promise<void> {
    return this.#awaited.until(() => this.count(code) >= count)
  }

  /** Answers that said: you hold this. Each of them is a promise. */
  get acknowledged(): number {
    return this.count('granted') + this.count('replayed')
  }

  count(code: Code | 'no_answer'): number {
    return this.answers.get(code) ?? 0
  }

  /** Compares what was told with what the engine holds; `faults` are the audit's complaints. */
  async audit(): Promise<{ readonly faults: readonly string[]; readonly granted: number; readonly remaining: number }> {
    const { url, roundId, people } = this.#options
    const operator = new Operator(url, KEYS.operator)
    const round: RoundState & Pick<AuditedRound, 'set_aside'> = await operator.round(roundId)
    const users = benchUsers(people)
    const pools = round.pools.map(pool => pool.name)
    const ledger = await readLedger(operator.grants(roundId), { users, pools, capacity: round.stock.granted + 1 })
    const expected = new Set(['sold_out', 'overloaded', 'unavailable', 'unknown', 'fenced'] as const)
    const verdict = auditRun({
      ...{ history: this.history, users, ledger, round, ordered: orderedAsShown(round), frames: new Frames() },
      ...{ perUser: 1, mode: 'fcfs' as const, expected, changes: [], setAside: round.set_aside ?? [] },
    })
    const faults = printVerdict(verdict).filter(line => !/^[✓–]/.test(line))
    return { faults, granted: round.stock.granted, remaining: round.stock.remaining }
  }

  [Symbol.dispose](): void {
    for (const lane of this.#lanes) lane.close()
    clearTimeout(this.#again)
    this.stalls[Symbol.dispose]()
  }

  async #askAll(asks: (user: number) => boolean): Promise<void> {
    const { people, singles } = this.#options
    for (let user = people - 1; user >= 0; user--) {
      if (!asks(user)) continue
      this.#todo[user < singles ? 'single' : 'frame'].push(user)
    }
    this.#quitting = false
    this.#awaited.begin()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#finish = resolve
    const timer = setTimeout(() => {
      reject(new Error(`some of ${people} people have no final answer after ${FINISH_MS} ms: ${this.#reached()}`))
    }, FINISH_MS)
    for (const lane of this.#lanes) lane.pump()
    await promise.finally(() => {
      clearTimeout(timer)
      this.#awaited.end()
    })
  }

  #work(kind: 'single' | 'frame'): Work {
    const todo = this.#todo[kind]
    return {
      take: () => {
        const user = todo.pop() ?? -1
        if (user < 0) return user
        this.#asking++
        this.#asked[user] = 1
        return user
      },
      settler: (sent, connection) => {
        const now = monotonicUs()
        const took = this.#took((now - sent) / 1000)
        return (user, outcome, sequence, vouchers) => {
          const answered = outcome === NO_ANSWER ? Number.POSITIVE_INFINITY : now
          this.history.push({ sent, answered, user, sequence, vouchers, connection, slot: 1, pool: 0, outcome })
          if (outcome !== NO_ANSWER) this.slowestMs = Math.max(this.slowestMs, took)
          this.#answered(user, outcome, todo)
        }
      },
    }
  }

  #took(ms: number): number {
    return ms < 500 ? ms : this.stalls.since(performance.now() - ms)
  }

  #answered(user: number, outcome: number, todo: number[]): void {
    const code = outcome === NO_ANSWER ? 'no_answer' : (codeOf(outcome) ?? 'internal')
    this.answers.set(code, this.count(code) + 1)
    if (MEANINGS[outcome] === GRANT && this.#holds[user] === 0) {
      this.#holds[user] = 1
      this.granted++
    }
    this.#awaited.look()
    const final = FINAL.has(outcome)
    const refused = !final && MEANINGS[outcome] === REFUSAL
    if (!final && !refused) this.#doubts[user] = 1
    const leaves = refused && user % SHY_EACH === 0 && this.#doubts[user] === 0
    if (leaves) this.#gone[user] = 1
    if (!final && !leaves && !this.#quitting) this.#askLater(user, todo)
    this.#asking--
    this.#look()
  }

  /** Ends the asking when nobody waits, neither for an answer nor for his turn. */
  #look(): void {
    const { single, frame } = this.#todo
    if (this.#asking + single.length + frame.length + this.#later.length === 0) this.#finish()
  }

  /** Lets everybody who got no final answer ask again, a moment after the first of them got it. */
  #askLater(user: number, todo: number[]): void {
    this.#later.push({ user, todo })
    this.#again ??= setTimeout(() => {
      this.#again = undefined
      for (const waiting of this.#later.splice(0)) waiting.todo.push(waiting.user)
      for (const lane of this.#lanes) lane.pump()
    }, AGAIN_MS)
  }

  #reached(): string {
    return [...this.answers].map(([code, count]) => `${count} ${code}`).join(', ')
  }
}

/** A round that is open. */
export function openRound(url: string, stock: number): Promise<RoundState> {
  return new Operator(url, KEYS.operator).createRound({ name: 'faults', stock, opensAt: new Date(Date.now() - 1000) })
}
