/**
 * I1: no oversell and no undersell.
 *
 * The stock is what was ordered and added by those who ran the round; what the engine shows of it is a claim to be
 * checked like any other. Oversell is read off the ledger: every sequence 1..n once, none above the stock, each pool
 * within its total, and the state that the engine shows says the same. Undersell needs the clients: whoever was told `sold_out` was
 * told that the last grant of his pool had been made. With C the pool's stock at that moment, the pool's C-th grant
 * must exist, and must have been possible before the answer came; otherwise stock remained while a person was
 * refused. This one comparison finds a refusal that came too early, and stock that was left at the end.
 *
 * Where stock was added during the run, the smallest stock that may have stood between asking and answering counts,
 * so an addition in flight excuses a refusal and never accuses one.
 *
 * Rejected: comparing only the counters at the end, which cannot see a refusal that was false when it was given.
 */
import { CODES } from '../../engine/base/codes.ts'
import { type Evidence, type Run, type StockChange, tellAnswer, tellGrant } from './evidence.ts'
import type { Check, Finding } from './finding.ts'

function lookAtSequences(evidence: Evidence, finding: Finding): void {
  const { ledger, setAside } = evidence.run
  const { rowOf } = evidence
  const last = sum(stockOf(evidence.run)) + sum(setAside.map(({ from, to }) => to - from + 1))
  finding.checked = ledger.length
  for (let row = 0; row < ledger.length; row++) {
    const sequence = ledger.at.sequence[row]!
    if (sequence === 0 || sequence > last) {
      finding.violate(() => `${tellGrant(evidence, row)} is outside 1..${last}`)
    } else if (sequence < rowOf.length && rowOf[sequence] !== row + 1) {
      finding.violate(
        () => `${tellGrant(evidence, row)} was granted before: ${tellGrant(evidence, rowOf[sequence]! - 1)}`,
      )
    }
  }
}

function lookForGaps(evidence: Evidence, finding: Finding): void {
  const { rowOf, run } = evidence
  let last = rowOf.length - 1
  while (last > 0 && rowOf[last] === 0) last--
  finding.checked = last
  for (let sequence = 1; sequence <= last; sequence++) {
    if (rowOf[sequence]! > 0 || run.setAside.some(({ from, to }) => sequence >= from && sequence <= to)) continue
    finding.violate(() => `nobody holds sequence ${sequence}, yet ${tellGrant(evidence, rowOf[last]! - 1)} exists`)
  }
  const { sequence } = run.ledger.at
  for (let row = 0; row < run.ledger.length; row++) {
    if (sequence[row]! < rowOf.length || sequence[row]! > run.round.stock.total) continue
    finding.violate(() => `${tellGrant(evidence, row)} stands far above the ${run.ledger.length} grants there are`)
  }
}

function lookAtState({ run }: Evidence, finding: Finding): void {
  const { stock, pools } = run.round
  const agree = (what: string, shown: number, found: number): void => {
    finding.checked++
    if (shown !== found)
      finding.violate(() => `${what}: the state shows ${shown}, the ledger and its sums give ${found}`)
  }
  agree('granted in all', stock.granted, run.ledger.length)
  agree('total', stock.total, stock.granted + stock.remaining + (stock.quarantined ?? 0))
  agree('granted beyond the total', 0, Math.max(0, run.ledger.length - stock.total))
  agree('granted over the pools', stock.granted, sum(pools.map(pool => pool.granted)))
  agree('total over the pools', stock.total, sum(pools.map(pool => pool.total)))
  const counts = new Uint32Array(256)
  for (let row = 0; row < run.ledger.length; row++) counts[run.ledger.at.pool[row]!]!++
  for (const [number, pool] of pools.entries()) {
    agree(`granted in pool ${pool.name}`, pool.granted, counts[number]!)
    agree(`total of pool ${pool.name}`, pool.total, pool.granted + pool.remaining + (pool.quarantined ?? 0))
    agree(`granted beyond the total of pool ${pool.name}`, 0, Math.max(0, counts[number]! - pool.total))
  }
}

/** What the engine shows as stock, in its state and to every viewer, against what was ordered and added. */
function lookAtOrder({ run }: Evidence, finding: Finding): void {
  const stock = stockOf(run)
  const agree = (what: string, shown: number, right: number): void => {
    finding.checked++
    if (shown !== right) finding.violate(() => `${what}: the engine shows ${shown}, ordered and added were ${right}`)
  }
  agree('total', run.round.stock.total, sum(stock))
  for (const [number, pool] of run.round.pools.entries())
    agree(`total of pool ${pool.name}`, pool.total, stock[number] ?? 0)
  if (run.round.pools.length < stock.length) agree('pools', run.round.pools.length, stock.length)
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0)

/** The smallest stock that a pool may have had between two moments. */
function leastStock(first: number, changes: readonly StockChange[], [from, to]: readonly [number, number]): number {
  let stock = first
  let least = Number.POSITIVE_INFINITY
  for (const change of changes) {
    if (change.sent >= to) break
    if (change.answered > from) least = Math.min(least, stock)
    stock += change.add
  }
  return Math.min(least, stock)
}

/** By pool: what was ordered and added in all. */
const stockOf = ({ ordered, changes }: Run): readonly number[] =>
  ordered.map((stock, pool) => stock + sum(changes.filter(change => change.pool === pool).map(({ add }) => add)))

/** Takes the engine's word for what was ordered: for rounds whose maker is not there to be asked. */
export const orderedAsShown = ({ pools }: Run['round'], changes: readonly StockChange[] = []): readonly number[] =>
  pools.map((pool, number) => pool.total - sum(changes.filter(change => change.pool === number).map(({ add }) => add)))

/** By pool: its changes in order, and the stock it began with. */
export function poolChanges(run: Run): readonly { readonly first: number; readonly changes: readonly StockChange[] }[] {
  return run.round.pools.map((_, number) => {
    const changes = run.changes.filter(change => change.pool === number).sort((a, b) => a.sent - b.sent)
    return { first: run.ordered[number] ?? 0, changes }
  })
}

function lookAtSoldOut(evidence: Evidence, finding: Finding): void {
  const { run, poolRows, notBefore } = evidence
  const { outcome, pool, sent, answered } = run.history.at
  const stocks = poolChanges(run)
  for (let i = 0; i < run.history.length; i++) {
    if (outcome[i] !== CODES.sold_out.number) continue
    const number = pool[i]!
    const own = stocks[number]
    if (own === undefined) continue
    finding.checked++
    const stock = leastStock(own.first, own.changes, [sent[i]!, answered[i]!])
    if (stock <= 0) continue
    const last = poolRows[number]![stock - 1]
    if (last === undefined) {
      finding.violate(
        () => `${tellAnswer(evidence, i)}, but only ${poolRows[number]!.length} of ${stock} were ever granted`,
      )
    } else if (answered[i]! < notBefore[last]!) {
      finding.violate(() => `${tellAnswer(evidence, i)}, before the last of ${stock}: ${tellGrant(evidence, last)}`)
    }
  }
}

export const STOCK_CHECKS: readonly Check[] = [
  {
    id: 'I1-once',
    title: 'No oversell: every granted sequence lies within the stock and has one holder.',
    look: lookAtSequences,
  },
  { id: 'I1-gaps', title: 'The sequence has no gap that was not reported as set aside.', look: lookForGaps },
  {
    id: 'I1-state',
    title: 'The state the engine shows, its pools and its ledger are one and the same sum.',
    look: lookAtState,
  },
  {
    id: 'I1-ordered',
    title: 'The stock that the engine shows is what was ordered and added, no more and no less.',
    look: lookAtOrder,
  },
  {
    id: 'I1-sold-out',
    title: 'No undersell: nobody was told sold_out while stock remained that he could use.',
    look: lookAtSoldOut,
  },
]
