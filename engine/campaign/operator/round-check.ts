/**
 * Whether a round's three keys agree: each grant stands in the log and in the holders' table, the numbers run
 * from 1 without a gap, and the counts of the state are those of the log.
 *
 * Redis loads a flipped bit of its own append only file without a word. Every grant is kept twice, in forms that have
 * no byte in common, so one flip cannot change who holds what in both; this check reads the log once, in order, and
 * looks up each batch in the table, with the memory of one page. A time or a version that was flipped is not found.
 *
 * Rejected: a hash chain in claim.lua. It would cost every batch, and could not say which of two copies is right.
 */
import { Fault } from '../../base/assert.ts'
import type { ClaimStore, LogBatch } from '../../store/data/claim-store.ts'
import { grantedOf } from '../../store/data/notice.ts'
import type { RoundStore } from '../../store/data/round-store.ts'

export interface RoundKeys {
  readonly claims: Pick<ClaimStore, 'batches' | 'holdings' | 'holders'>
  readonly rounds: Pick<RoundStore, 'read'>
}

/** More of them say nothing new. */
const FINDINGS_MAX = 10

interface Walk {
  /** The last sequence that the log granted, and how many it granted. */
  last: number
  grants: number
  readonly pools: number[]
  readonly findings: string[]
}

/** What was wrong with bytes that could not be read; a Redis that did not answer is no finding and is thrown on. */
function nonsense(cause: unknown): string {
  if (cause instanceof Fault && cause.cause === undefined) throw cause
  return cause instanceof Error ? (cause.message.split('\n', 1)[0] as string) : String(cause)
}

async function checkBatch(keys: RoundKeys, roundId: string, batch: LogBatch, walk: Walk): Promise<void> {
  const held = await keys.claims.holdings(roundId, batch.holders)
  for (const [i, holding] of held.entries()) {
    const sequence = batch.firstSequence + i
    const pool = batch.poolOf(i)
    walk.pools[pool] = (walk.pools[pool] ?? 0) + 1
    if (holding?.sequence === sequence && holding.pool === pool) continue
    const has = holding ? `sequence ${holding.sequence} of pool ${holding.pool}` : 'nothing'
    walk.findings.push(`sequence ${sequence} of pool ${pool} is ${batch.holders[i]}'s in the log, who holds ${has}`)
  }
  walk.last = batch.firstSequence + batch.holders.length - 1
  walk.grants += batch.holders.length
}

async function walkLog(keys: RoundKeys, roundId: string): Promise<Walk> {
  const walk: Walk = { last: 0, grants: 0, pools: [], findings: [] }
  try {
    for await (const batch of keys.claims.batches(roundId, 1)) {
      await checkBatch(keys, roundId, batch, walk)
      if (walk.findings.length >= FINDINGS_MAX) break
    }
  } catch (cause) {
    walk.findings.push(`the log cannot be read behind sequence ${walk.last}: ${nonsense(cause)}`)
  }
  return walk
}

/** What does not agree, in words; nothing for a sound round. Run it while nothing is granted, else counts move. */
export async function checkRound(keys: RoundKeys, roundId: string): Promise<readonly string[]> {
  const read = await keys.rounds.read(roundId).catch(nonsense)
  if (read === undefined) return ['the state is missing']
  if (typeof read === 'string') return [`the state cannot be read: ${read}`]
  const walk = await walkLog(keys, roundId)
  if (walk.findings.length > 0) return walk.findings
  const { pools } = read.notice
  const granted = grantedOf(read.notice)
  const holders = await keys.claims.holders(roundId)
  const counts = [
    ['the log', walk.grants],
    ["the holders' table", holders],
  ] as const
  const findings = counts.flatMap(([where, count]) =>
    count === granted ? [] : [`${where} has ${count} grants, the state says ${granted}`],
  )
  for (const [pool, { granted }] of pools.entries())
    if (granted !== (walk.pools[pool] ?? 0))
      findings.push(`pool ${pool} has ${walk.pools[pool] ?? 0} grants in the log, the state says ${granted}`)
  const { sequence, aside } = read.notice
  if (!aside && walk.last !== sequence && walk.grants === granted)
    findings.push(`the log ends with sequence ${walk.last}, the state says ${sequence}`)
  return findings
}
