/**
 * What the people of one simulated round were told, and the judgement over it at the end.
 *
 * The record has the form of the bench's (bench/audit), so the same auditor judges simulated and real runs: nothing sold
 * twice, nothing acknowledged lost, no certain refusal that was false, no answer that changed, real time kept. The
 * engine's side of the story is read from the raw keys of the server that is primary at the end: the log gives owners
 * and times, and must agree with the holders and the state. Rejected: a checker of the simulation's own, which
 * would have to be tested with planted faults all over again.
 */

import type { Run, StockChange } from '../../bench/audit/evidence.ts'
import type { CheckResult } from '../../bench/audit/finding.ts'
import { Frames } from '../../bench/audit/frames.ts'
import { History, NO_ANSWER } from '../../bench/audit/history.ts'
import { Ledger, STRANGER } from '../../bench/audit/ledger.ts'
import { seededUsers } from '../../bench/audit/users.ts'
import { auditRun } from '../../bench/audit/verdict.ts'
import { CODES, type Code } from '../../engine/base/codes.ts'
import { holderOf, holdersIn, partsOf } from '../../engine/base/holder.ts'
import type { RoundEvents } from '../../engine/campaign/round/round.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import { Arrivals } from './arrivals.ts'
import { DrawStory } from './draw-story.ts'
import { type EngineNode, SECRET } from './engine-node.ts'
import { type Leniency, leniencyOf, NOT_OPEN_US, nothingForgiven } from './leniency.ts'
import { isDrawnMode, type Mode } from './modes.ts'
import type { Keyspace } from './redis/keyspace.ts'

/** All that a claim may be told beside a grant. */
const EXPECTED = new Set<Code>([
  ...(['sold_out', 'limit_reached', 'paused', 'not_open', 'closed'] as const),
  ...(['fenced', 'overloaded', 'unknown', 'unavailable', 'entered'] as const),
])
const STARTED_MS = Date.UTC(2026, 10, 1)
const EXAMPLES = 2
const setAsideIn = (ranges: string) =>
  [...ranges.matchAll(/(\d+)-(\d+)/g)].map(([, from, to]) => ({ from: Number(from), to: Number(to) }))

/** A recovery moved a pack between pools: stock of a restock that was lost, whose grants were given back. */
const movesIn = (pools: string): StockChange[] =>
  pools.split(' ').map((pool, i) => ({
    ...{ pool: Number(pool), add: i === 0 ? -1 : 1 },
    ...{ sent: Number.NEGATIVE_INFINITY, answered: Number.POSITIVE_INFINITY },
  }))

interface Restock {
  readonly pool: number
  readonly add: number
  readonly sent: number
  answered: number
}

export interface RoundOptions {
  readonly id: string
  readonly seed: number
  readonly users: number
  readonly perUser: number
  readonly pools: readonly string[]
  /** By pool: the stock that the operator ordered. */
  readonly totals: readonly number[]
  readonly opensByClock: boolean
  readonly mode: Mode
}

export class RoundRecord {
  readonly options: RoundOptions
  readonly history = new History(256)
  readonly users: ReturnType<typeof seededUsers>
  /** Each with an amount that no other one has, by which it is found in the log. */
  readonly restocks: Restock[] = []
  /** What an engine told may be lost; no sequence may be sold twice all the same. */
  journalsLost = false
  /** The clock of a server jumped: where it passed an opening, `not_open` may be said until every worker has heard of that. */
  clockJumped = false

  /** Of a strict round: the order in which claims arrived and were served. */
  readonly arrivals: Arrivals<EngineNode> | undefined
  /** Of a drawn round: who entered, and what became of it. */
  readonly story: DrawStory | undefined
  /** Since when a node is well, as the world knows; undefined while it is not. */
  wellSince: (node: EngineNode) => number | undefined = () => undefined

  constructor(options: RoundOptions) {
    const { id, pools, mode } = options
    this.options = options
    this.users = seededUsers(options.seed, options.users)
    this.arrivals = mode === 'strict' ? new Arrivals() : undefined
    const userId = (user: number) => this.users.userId(user)
    this.story = isDrawnMode(mode) ? new DrawStory({ id, pools, userId, drawSecret: SECRET }) : undefined
  }

  /** What the judge forgave, counted. */
  readonly forgiven = nothingForgiven()
  /** Since when everything was well again and every engine back, microseconds: no holder is refused behind it. */
  healedAt = Number.POSITIVE_INFINITY

  /** Whether nobody could know of a sequence: the journal that had it is lost, or the round notes it as another's. */
  isExcused(redis: Keyspace, sequence: number): boolean {
    const fields = redis.hash(keys.roundState(this.options.id))?.keys() ?? []
    return this.journalsLost || [...fields].some(field => field.startsWith(`conflict ${sequence} `))
  }

  /** What does not hold, in words; empty when all of it is one story. */
  judge(redis: Keyspace): readonly string[] {
    const { id, pools, perUser } = this.options
    const state = redis.hash(keys.roundState(id))
    if (!state) return [`round ${id} has no state`]
    const count = (field: string) => Number(state.get(field))
    const counts = pools.map((name, pool) => {
      const [total, granted, held] = [count(`t${pool}`), count(`g${pool}`), Number(state.get(`q${pool}`) ?? 0)]
      return { name, total, granted, remaining: total - granted - held, quarantined: held }
    })
    const total = counts.reduce((sum, pool) => sum + pool.total, 0)
    const granted = counts.reduce((sum, pool) => sum + pool.granted, 0)
    const { ledger, problems, applied, moved, changes } = this.#readLog(redis)
    const aside = setAsideIn(state.get('ranges') ?? '')
    const quarantined = counts.reduce((sum, pool) => sum + pool.quarantined, 0)
    const noted = this.#withoutNoted(state)
    const history = this.clockJumped && this.options.opensByClock ? this.#withoutEarly(noted) : noted
    const run: Run = {
      ...{ history, users: this.users, ledger, perUser, mode: this.story ? 'drawn' : 'fcfs', expected: EXPECTED },
      round: { stock: { total, granted, remaining: total - granted - quarantined, quarantined }, pools: counts },
      ordered: this.options.totals,
      ...{ changes: [...this.#changes(applied), ...moved], frames: new Frames(1), setAside: aside },
    }
    const says = {
      ...{ journalsLost: this.journalsLost, aside: aside.length > 0 },
      clockJumped: this.clockJumped && state.has('replid'),
    }
    const { checks } = auditRun(run)
    const untrue = checks.filter(check => !check.ok && !this.#forgives(leniencyOf(check.id, says), check.violations))
    if (says.aside && !this.journalsLost) untrue.push(...this.#refusedWhenHealed(run))
    return [
      ...problems,
      ...this.#soldTwice(ledger),
      ...(this.arrivals?.problems(changes) ?? []),
      ...(this.story?.judge(redis) ?? []),
      ...untrue.flatMap(({ id: check, title, examples }) => [
        `${check} NOT TRUE: ${title}`,
        ...examples.slice(0, EXAMPLES),
      ]),
    ]
  }

  #forgives(name: Leniency | undefined, times: number): boolean {
    if (name) this.forgiven[name] += times
    return name !== undefined
  }

  /** Without what was said of a round before every worker can have heard that a clock had opened it. */
  #withoutEarly(history: History): History {
    const { at, length } = history
    let first = Number.POSITIVE_INFINITY
    for (let i = 0; i < length; i++)
      if (at.outcome[i] === CODES.granted.number) first = Math.min(first, at.answered[i] ?? first)
    return without(history, i => {
      const early = at.outcome[i] === CODES.not_open.number && (at.sent[i] ?? 0) <= first + NOT_OPEN_US
      if (early && (at.sent[i] ?? 0) > first) this.forgiven.not_open++
      return early
    })
  }

  /** Holders who were refused though every engine was back. */
  #refusedWhenHealed(run: Run): readonly CheckResult[] {
    const { at } = run.history
    const history = without(run.history, i => !(at.sequence[i] ?? 0) && (at.sent[i] ?? 0) <= this.healedAt)
    return auditRun({ ...run, history }).checks.filter(({ id, ok }) => id === 'I10-holder' && !ok)
  }

  /** The grants as the log has them, and what contradicts the holders. */
  #readLog(redis: Keyspace) {
    const { id } = this.options
    const holders = redis.hash(keys.roundHolders(id))
    const tags = this.story?.owners
    const ledger = new Ledger(Math.max(1, holders?.size ?? 1))
    const [problems, applied]: [string[], Set<string>] = [[], new Set()]
    const [moved, changes]: [StockChange[], number[]] = [[], []]
    for (const { id: entry, fields } of redis.stream(keys.roundLog(id))?.entries ?? []) {
      const kind = fields[3] ?? ''
      if (fields[2] === 'kind') changes.push(Number.parseInt(entry, 10))
      if (fields[2] === 'kind' && kind.startsWith('restock')) applied.add(`${kind} ${fields[7]}`)
      if (kind === 'moved' && fields[2] === 'kind') moved.push(...movesIn(fields[5] ?? ''))
      if (fields[2] !== 'users') continue
      const [names, pools] = [holdersIn(Buffer.from(kind, 'latin1')), fields[5] ?? '']
      const grantedAt = Number(fields[1]) - STARTED_MS
      for (const [i, holder] of names.entries()) {
        const sequence = Number.parseInt(entry, 10) - names.length + 1 + i
        const pool = pools.charCodeAt(pools.length === 1 ? 0 : i)
        const grant = Buffer.from(holders?.get(holder) ?? '', 'latin1')
        if (grant.length !== this.#grantBytes || grant.readUInt32BE(0) !== sequence || grant[4] !== pool)
          problems.push(
            `the log gives ${holder} sequence ${sequence} of pool ${pool}, the holders ${grant.toString('hex')}`,
          )
        ledger.push({ grantedAt, sequence, ...this.#ownerOf(holder, tags), pool })
      }
    }
    for (const member of redis.hash(keys.roundRestored(id))?.keys() ?? []) {
      const [sequence, pool, at, holder = ''] = member.split(' ')
      const grantedAt = Number(at) - STARTED_MS
      ledger.push({ grantedAt, sequence: Number(sequence), ...this.#ownerOf(holder, tags), pool: Number(pool) })
    }
    if (holders && holders.size !== ledger.length)
      problems.push(`there are ${holders.size} holders and ${ledger.length} grants in the log`)
    return { ledger, problems: problems.slice(0, EXAMPLES), applied, moved, changes }
  }

  /** A strict round keeps with each grant whose claim won it, and when. */
  get #grantBytes(): number {
    return this.arrivals ? 21 : 5
  }

  /** Whose a holder key is: a user's, or their tag's. */
  #ownerOf(
    holder: string,
    tags: ReadonlyMap<string, number> | undefined,
  ): { readonly user: number; readonly slot: number } {
    if (tags) return { user: tags.get(holder) ?? STRANGER, slot: 1 }
    const { userId, slot } = partsOf(holder)
    const user = this.users.indexOf(userId)
    return { user: user < 0 ? STRANGER : user, slot }
  }

  /**
   * The answers without those that the round's state notes as contradicting others: an engine that was silent through a
   * fail-over told them, and nobody knew. Their sequences may be nobody else's all the same.
   */
  #withoutNoted(state: ReadonlyMap<string, string>): History {
    const { at, length } = this.history
    const noted = (i: number) => {
      const holder = holderOf(this.users.userId(at.user[i] ?? 0), at.slot[i] ?? 0)
      return state.has(`conflict ${at.sequence[i]} ${holder}`)
    }
    const conflicts = new Set<number>()
    if ([...state.keys()].some(field => field.startsWith('conflict ')))
      for (let i = 0; i < length; i++) if ((at.sequence[i] ?? 0) > 0 && noted(i)) conflicts.add(i)
    this.forgiven.conflicts += conflicts.size
    return without(this.history, i => conflicts.has(i))
  }

  /** Whoever was told a sequence, or has it, is the only one; whatever was lost and found meanwhile. */
  #soldTwice(ledger: Ledger): readonly string[] {
    const owners = new Map<number, number>()
    const problems: string[] = []
    const look = (sequence: number, user: number, slot: number) => {
      const owner = user * 256 + slot
      const known = owners.get(sequence)
      if (sequence > 0 && known !== undefined && known !== owner)
        problems.push(`sequence ${sequence} was sold twice: to ${Math.floor(known / 256)} and to ${user}`)
      owners.set(sequence, owner)
    }
    const { at } = this.history
    for (let i = 0; i < this.history.length; i++)
      if ((at.sequence[i] ?? 0) > 0) look(at.sequence[i] ?? 0, at.user[i] ?? 0, at.slot[i] ?? 0)
    for (let i = 0; i < ledger.length; i++)
      look(ledger.at.sequence[i] ?? 0, ledger.at.user[i] ?? 0, ledger.at.slot[i] ?? 0)
    return problems.slice(0, EXAMPLES)
  }

  /** The changes of stock that were made; when one was made that was answered by a doubt, nobody can say. */
  #changes(applied: ReadonlySet<string>): readonly StockChange[] {
    return this.restocks.filter(({ pool, add }) => applied.has(`restock ${pool} ${add}`))
  }
}

/** An engine decided a claim that it had stamped: for the round that it is of. */
export function arrivedIn(
  records: readonly RoundRecord[],
  ...arrived: Parameters<NonNullable<RoundEvents['arrived']>>
) {
  const [roundId, stamp, outcome, sequence] = arrived
  records.find(({ options }) => options.id === roundId)?.arrivals?.decided(stamp, outcome, sequence)
}

/** The same record, where some answers never came. */
function without({ at, length }: History, left: (i: number) => boolean): History {
  const history = new History(Math.max(1, length))
  for (let i = 0; i < length; i++) {
    const row = { sent: at.sent[i] ?? 0, user: at.user[i] ?? 0, slot: at.slot[i] ?? 0, pool: at.pool[i] ?? 0 }
    const told = { answered: at.answered[i] ?? 0, outcome: at.outcome[i] ?? 0, sequence: at.sequence[i] ?? 0 }
    const none = { answered: Number.POSITIVE_INFINITY, outcome: NO_ANSWER, sequence: 0, vouchers: 0 }
    history.push({ ...row, ...told, vouchers: at.vouchers[i] ?? 0, connection: 0, ...(left(i) ? none : {}) })
  }
  return history
}
