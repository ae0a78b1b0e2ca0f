/**
 * What the people of one simulated round were told, and the judgement over it at the end.
 *
 * The record has the form of the bench's (bench/audit), so the same auditor judges simulated and real runs: nothing sold
 * twice, nothing acknowledged lost, no certain refusal that was false, no answer that changed, real time kept. The
 * engine's side of the story is read from the raw keys of the server that is primary at the end: the log gives owners
 * and times, and must agree with the holders and the state. Rejected: a checker of the simulation's own, which
 * would have to be tested with planted faults all over again.
 */

import type { StockChange } from '../../bench/audit/evidence.ts'
import { Frames } from '../../bench/audit/frames.ts'
import { History } from '../../bench/audit/history.ts'
import { Ledger, STRANGER } from '../../bench/audit/ledger.ts'
import { seededUsers } from '../../bench/audit/users.ts'
import { auditRun } from '../../bench/audit/verdict.ts'
import type { Code } from '../../engine/base/codes.ts'
import { holdersIn, partsOf } from '../../engine/base/holder.ts'
import * as keys from '../../engine/store/keys.ts'
import type { Keyspace } from './redis/keyspace.ts'

/** All that a claim may be told beside a grant. */
const EXPECTED = new Set<Code>([
  ...(['sold_out', 'limit_reached', 'paused', 'not_open', 'closed'] as const),
  ...(['fenced', 'overloaded', 'unknown', 'unavailable'] as const),
])
const STARTED_MS = Date.UTC(2026, 10, 1)
const EXAMPLES = 2

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
}

export class RoundRecord {
  readonly options: RoundOptions
  readonly history = new History(256)
  readonly users: ReturnType<typeof seededUsers>
  /** Each with an amount that no other one has, by which it is found in the log. */
  readonly restocks: Restock[] = []

  constructor(options: RoundOptions) {
    this.options = options
    this.users = seededUsers(options.seed, options.users)
  }

  /** What does not hold, in words; empty when all of it is one story. */
  judge(redis: Keyspace): readonly string[] {
    const { id, pools, perUser } = this.options
    const state = redis.hash(keys.roundState(id))
    if (!state) return [`round ${id} has no state`]
    const count = (field: string) => Number(state.get(field))
    const counts = pools.map((name, pool) => {
      const [total, granted] = [count(`t${pool}`), count(`g${pool}`)]
      return { name, total, granted, remaining: total - granted }
    })
    const total = counts.reduce((sum, pool) => sum + pool.total, 0)
    const granted = count('sequence')
    const { ledger, problems, applied } = this.#readLog(redis)
    const verdict = auditRun({
      ...{ history: this.history, users: this.users, ledger, perUser, mode: 'fcfs', expected: EXPECTED },
      round: { stock: { total, granted, remaining: total - granted }, pools: counts },
      ...{ changes: this.#changes(applied), frames: new Frames(1), setAside: [] },
    })
    const untrue = verdict.checks.filter(({ ok }) => !ok)
    return [
      ...problems,
      ...untrue.flatMap(({ id: check, title, examples }) => [
        `${check} NOT TRUE: ${title}`,
        ...examples.slice(0, EXAMPLES),
      ]),
    ]
  }

  /** The grants as the log has them, and what contradicts the holders. */
  #readLog(redis: Keyspace) {
    const { id } = this.options
    const holders = redis.hash(keys.roundHolders(id))
    const ledger = new Ledger(Math.max(1, holders?.size ?? 1))
    const [problems, applied]: [string[], Set<string>] = [[], new Set()]
    for (const { id: entry, fields } of redis.stream(keys.roundLog(id))?.entries ?? []) {
      const kind = fields[3] ?? ''
      if (fields[2] === 'kind' && kind.startsWith('restock')) applied.add(`${kind} ${fields[7]}`)
      if (fields[2] !== 'users') continue
      const [names, pools] = [holdersIn(Buffer.from(kind, 'latin1')), fields[5] ?? '']
      const grantedAt = Number(fields[1]) - STARTED_MS
      for (const [i, holder] of names.entries()) {
        const sequence = Number.parseInt(entry, 10) - names.length + 1 + i
        const pool = pools.charCodeAt(pools.length === 1 ? 0 : i)
        const grant = Buffer.from(holders?.get(holder) ?? '', 'latin1')
        if (grant.length !== 5 || grant.readUInt32BE(0) !== sequence || grant[4] !== pool)
          problems.push(
            `the log gives ${holder} sequence ${sequence} of pool ${pool}, the holders ${grant.toString('hex')}`,
          )
        const { userId, slot } = partsOf(holder)
        const user = this.users.indexOf(userId)
        ledger.push({ grantedAt, sequence, user: user < 0 ? STRANGER : user, slot, pool })
      }
    }
    if (holders && holders.size !== ledger.length)
      problems.push(`there are ${holders.size} holders and ${ledger.length} grants in the log`)
    return { ledger, problems: problems.slice(0, EXAMPLES), applied }
  }

  /** The changes of stock that were made; when one was made that was answered by a doubt, nobody can say. */
  #changes(applied: ReadonlySet<string>): readonly StockChange[] {
    return this.restocks.filter(({ pool, add }) => applied.has(`restock ${pool} ${add}`))
  }
}
