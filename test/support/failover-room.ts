/**
 * Two or three copies of a Redis, fenced engines in front of them, and people who claim through fail-overs that lose the
 * last grants. The replication stream runs through a proxy that is cut, the primary's name through another one that
 * moves; where in the protocol that happens is a point of test/support/fenced-engine.ts.
 *
 * Every answer is kept. At the end everybody asks again, the engine's list is read, and the bench's audit compares them;
 * beside it stands the shortest check there is, over answers alone: no sequence was ever told to two people. Where a
 * journal was destroyed on purpose, what it alone knew may be lost, and only the other checks must hold.
 */
import { rmSync } from 'node:fs'
import { gatherEvidence } from '../../bench/audit/evidence.ts'
import { Frames } from '../../bench/audit/frames.ts'
import { GRANT, History, MEANINGS, NO_ANSWER } from '../../bench/audit/history.ts'
import type { RoundState } from '../../bench/audit/ledger.ts'
import { Ledger } from '../../bench/audit/ledger.ts'
import { orderedAsShown } from '../../bench/audit/stock-checks.ts'
import { auditRun } from '../../bench/audit/verdict.ts'
import { monotonicUs } from '../../bench/load/recorder.ts'
import { benchUsers } from '../../bench/load/user-id.ts'
import { Fault } from '../../engine/base/assert.ts'
import { CODES, type Code } from '../../engine/base/codes.ts'
import { newId, realRandom } from '../../engine/base/random.ts'
import { grantedOf, type Notice, quarantinedOf, remainingOf, totalOf } from '../../engine/store/data/notice.ts'
import { type Copy, follow, startCopy, synced } from './copies.ts'
import { type EngineOptions, FencedEngine, type Point } from './fenced-engine.ts'
import { answersOf, packUsers } from './script-room.ts'
import { TcpProxy } from './tcp-proxy.ts'

const PEOPLE = 20_000
const STOCK = 19_000
export const CHUNK = 120
const BATCH = 4
const LANES = 3
const PATIENCE_MS = 250
const SHED = ['sold_out', 'overloaded', 'unavailable', 'unknown', 'fenced'] as const
/** What may fail where a journal is gone: who holds what, and what follows from it. */
const OF_LOSS = /^(I3|I8|I9|I10)/

interface Aim {
  readonly point: Point
  readonly engine: FencedEngine
  left: number
  readonly trap: () => Promise<void>
}

interface Lane {
  stop: boolean
  readonly engine: FencedEngine
  readonly done: Promise<void>
}

export class FailoverRoom implements AsyncDisposable {
  readonly users = benchUsers(PEOPLE)
  history = new History()
  roundId = ''
  /** Claims that were told granted, each person once. */
  granted = 0
  readonly #copies: Copy[]
  readonly #name: TcpProxy
  readonly #oldName: TcpProxy
  readonly #stream: TcpProxy
  readonly #held = new Map<number, number>()
  readonly #waiting = new Set<{ readonly holds: () => boolean; readonly resolve: () => void }>()
  #lanes: Lane[] = []
  readonly #engines = new Set<FencedEngine>()
  readonly #flying = new Map<number, number>()
  #aim: Aim | undefined
  #next = 0

  private constructor(copies: Copy[], [name, oldName, stream]: readonly TcpProxy[]) {
    this.#copies = copies
    this.#name = name as TcpProxy
    this.#oldName = oldName as TcpProxy
    this.#stream = stream as TcpProxy
  }

  static async open(): Promise<FailoverRoom> {
    const copies = await Promise.all([startCopy(), startCopy(), startCopy()])
    const proxies = await Promise.all(copies.map(({ port }) => TcpProxy.open({ port })))
    const room = new FailoverRoom(copies, proxies)
    await room.#attach()
    return room
  }

  get #primary(): Copy {
    return this.#copies[0] as Copy
  }

  /** An engine; `old` ones stay with whoever is the primary now, also after a fail-over. */
  async engine(options: Partial<EngineOptions> & { readonly old?: boolean } = {}): Promise<FencedEngine> {
    const { old, ...more } = options
    if (old) this.#oldName.upstream = { port: this.#primary.port }
    const url = old ? this.#oldName.url : this.#name.url
    const passed = (point: Point, engine: FencedEngine) => this.#passed(point, engine)
    const engine = await FencedEngine.open({ url, chunk: CHUNK, patienceMs: PATIENCE_MS, passed, ...more })
    this.#engines.add(engine)
    return engine
  }

  /** A new round that is open, and nothing known of it. */
  async begin(by: FencedEngine): Promise<void> {
    const { rounds } = by.store
    const round = { id: newId(realRandom, 'rnd'), campaignId: 'cmp_test', number: await rounds.nextNumber() }
    const epoch = realRandom.bytes(8).toString('hex')
    const more = { epoch, opensAt: 1, closesAt: 0, config: '{}', totals: [STOCK], fenced: true }
    await rounds.createRound({ ...round, ...more })
    await rounds.enlist(round)
    this.roundId = round.id
    this.history = new History()
    this.#held.clear()
    this.granted = 0
    this.#next = 0
    await synced(this.#primary)
  }

  /** Resolves when all of them may claim: one that is only joining when the copy is cut off never passes a step of a claim. */
  async joined(engines: readonly FencedEngine[]): Promise<void> {
    await Promise.all(engines.map(engine => engine.door(this.roundId).recover()))
  }

  /** Lets an engine's people claim until `quiet`. */
  load(engine: FencedEngine): void {
    for (let i = 0; i < LANES; i++) {
      const lane: Lane = { stop: false, engine, done: Promise.resolve() }
      this.#lanes.push(Object.assign(lane, { done: this.#lane(lane, engine, this.#lanes.length) }))
    }
  }

  /** Resolves when so many people more were told that they hold a grant. */
  told(more: number): Promise<void> {
    const goal = this.granted + more
    return new Promise(resolve => {
      this.#waiting.add({ holds: () => this.granted >= goal, resolve })
    })
  }

  /** Runs `trap` when an engine passes a point for the n-th time from now, and holds the engine there until it is done. */
  aim(point: Point, engine: FencedEngine, n: number, trap: () => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      const run = () => trap().then(resolve, reject)
      this.#aim = { point, engine, left: n, trap: run }
    })
  }

  /** From now on the replica gets nothing more. */
  cut(): void {
    this.#stream.way = 'black hole'
  }

  /** The replica takes the primary's place and name; the old one follows it, or lives on where an old name leads. */
  async promote({ split = false } = {}): Promise<void> {
    const [old, next, spare] = this.#copies as [Copy, Copy, Copy]
    this.#copies.splice(0, 3, next, ...(split ? [spare, old] : [old, spare]))
    await next.admin.replicaof('NO', 'ONE')
    this.#name.upstream = { port: next.port }
    this.#name.disconnect()
    await this.#attach()
  }

  /** The old name leads to the primary of now. */
  heal(): void {
    this.#oldName.upstream = { port: this.#primary.port }
    this.#oldName.disconnect()
  }

  async kill(engine: FencedEngine, destroyed: boolean): Promise<void> {
    this.#engines.delete(engine)
    this.#lanes = this.#lanes.filter(lane => lane.engine !== engine)
    await engine.die(destroyed)
  }

  /** Ends an engine whose part is over. */
  async retire(engine: FencedEngine): Promise<void> {
    this.#engines.delete(engine)
    await engine.close()
  }

  /** Nobody asks any more; resolves when the answers that can come are there; the dead give none. */
  async quiet(): Promise<void> {
    for (const lane of this.#lanes) lane.stop = true
    await Promise.all(this.#lanes.map(({ done }) => done))
    for (const [user, sent] of this.#flying) this.#push(user, sent, { outcome: NO_ANSWER, sequence: 0 })
    this.#flying.clear()
    this.#lanes = []
  }

  /** Everybody who asked asks again. */
  async askAgain(engine: FencedEngine): Promise<void> {
    const asked = [...new Set(this.history.at.user.subarray(0, this.history.length))]
    for (let at = 0; at < asked.length; ) {
      const batch = asked.slice(at, at + CHUNK)
      if (await this.#claim(engine, batch, 99)) at += CHUNK
    }
  }

  /** What is wrong, in words; nothing when all told one story. */
  async faults(engine: FencedEngine, lossy: boolean): Promise<readonly string[]> {
    const read = await engine.store.fence.read(this.roundId)
    if (!read) return ['the round is gone']
    const { notice } = read
    const ledger = new Ledger()
    for await (const { firstSequence, at, holders, poolOf } of engine.store.claims.batches(this.roundId, 1))
      for (const [i, holder] of holders.entries())
        ledger.push({
          grantedAt: at,
          sequence: firstSequence + i,
          user: this.users.indexOf(holder),
          slot: 1,
          pool: poolOf(i),
        })
    const round = roundOf(notice)
    const run = {
      ...{ history: this.history, users: this.users, ledger, round, frames: new Frames() },
      ordered: orderedAsShown(round),
      ...{
        perUser: 1,
        mode: 'fcfs' as const,
        expected: new Set<Code>(SHED),
        changes: [],
        setAside: notice.aside ?? [],
      },
    }
    const failed = auditRun(run).checks.filter(check => !check.ok && !(lossy && OF_LOSS.test(check.id)))
    const sums = totalOf(notice) - grantedOf(notice) - remainingOf(notice) - quarantinedOf(notice)
    return [
      ...this.#toldTwice(),
      ...failed.map(({ id, examples }) => `${id}: ${examples.join('; ')}`),
      ...(sums === 0 ? [] : ['the stock does not add up']),
      ...(gatherEvidence(run).start < Number.POSITIVE_INFINITY ? [] : ['nobody asked']),
    ]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const lane of this.#lanes) lane.stop = true
    for (const engine of this.#engines) {
      await engine.close()
      rmSync(engine.folder, { recursive: true, force: true })
    }
    for (const proxy of [this.#name, this.#oldName, this.#stream]) await proxy.close()
    for (const copy of this.#copies) await copy[Symbol.asyncDispose]()
  }

  /** The second copy follows the first, through the stream that can be cut. */
  async #attach(): Promise<void> {
    const [primary, replica] = this.#copies as [Copy, Copy]
    this.#stream.upstream = { port: primary.port }
    this.#stream.way = 'pass'
    this.#stream.disconnect()
    await follow(replica, primary, Number(new URL(this.#stream.url).port))
  }

  async #passed(point: Point, engine: FencedEngine): Promise<void> {
    const aim = this.#aim
    if (aim?.point !== point || aim.engine !== engine || --aim.left > 0) return
    this.#aim = undefined
    await aim.trap()
  }

  async #lane(lane: Lane, engine: FencedEngine, number: number): Promise<void> {
    const mine: number[] = []
    while (!lane.stop && this.#next < PEOPLE - BATCH) {
      while (mine.length < BATCH) mine.push(this.#next++)
      if (await this.#claim(engine, mine, number)) mine.length = 0
      else await new Promise(resume => setTimeout(resume, 10))
    }
  }

  /** Whether everybody got his answer. */
  async #claim(engine: FencedEngine, people: readonly number[], connection: number): Promise<boolean> {
    const sent = monotonicUs()
    for (const user of people) this.#flying.set(user, sent)
    const asked = this.roundId
    try {
      const decision = await engine.claim(asked, packUsers(people.map(user => this.users.userId(user))))
      const answers = answersOf(decision)
      for (const [i, { outcome, sequence }] of answers.entries())
        this.#push(people[i] as number, sent, { outcome: CODES[outcome as Code].number, sequence }, connection)
      return answers.every(({ outcome }) => outcome !== 'fenced')
    } catch (cause) {
      if (!(cause instanceof Fault)) throw cause
      for (const user of people) this.#push(user, sent, { outcome: CODES[cause.code].number, sequence: 0 }, connection)
      return false
    } finally {
      for (const user of people) this.#flying.delete(user)
    }
  }

  #push(user: number, sent: number, told: { outcome: number; sequence: number }, connection = 0): void {
    const answered = told.outcome === NO_ANSWER ? Number.POSITIVE_INFINITY : monotonicUs()
    this.history.push({ ...told, sent, answered, user, vouchers: 0, connection, slot: 1, pool: 0 })
    if (MEANINGS[told.outcome] === GRANT && !this.#held.has(user)) {
      this.#held.set(user, told.sequence)
      this.granted++
    }
    for (const waiting of this.#waiting) {
      if (!waiting.holds()) continue
      this.#waiting.delete(waiting)
      waiting.resolve()
    }
  }

  /** Sequences that were told to two people, over all answers ever given. */
  #toldTwice(): string[] {
    const { user, sequence } = this.history.at
    const owners = new Map<number, number>()
    const faults: string[] = []
    for (let i = 0; i < this.history.length; i++) {
      if (sequence[i] === 0) continue
      const owner = owners.get(sequence[i] as number)
      if (owner !== undefined && owner !== user[i])
        faults.push(`sequence ${sequence[i]} was told to ${owner} and to ${user[i]}`)
      owners.set(sequence[i] as number, user[i] as number)
    }
    return faults.slice(0, 5)
  }
}

function roundOf(notice: Notice): RoundState {
  const counts = { total: totalOf(notice), granted: grantedOf(notice), remaining: remainingOf(notice) }
  const stock = { ...counts, quarantined: quarantinedOf(notice) }
  return { stock, pools: [{ name: 'general', ...stock }] }
}
