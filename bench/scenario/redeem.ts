/**
 * Redemption: packs are granted in batches, then their vouchers are locked, redeemed, repeated and reversed in a loop.
 *
 * The loop is closed (256 tills, each waits for its answer) and made for correctness first: every answer has one right
 * status, a sample of the vouchers is read back, which must be in the state that the answers said, and the whole ledger
 * is compared with what the tills were told (audit/redemption-audit.ts).
 * Redemption is a thousand times lighter than the grab, so one process of tills is enough to show whether ten thousand
 * a second are there.
 */

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { AuditSummary } from '../audit/finding.ts'
import { judgeRedemptions, type ToldByTills } from '../audit/redemption-audit.ts'
import { Member } from '../load/member.ts'
import type { FromRedeemer, RedeemReport, ToRedeemer } from '../load/redeemer.ts'
import { userIdOf } from '../load/user-id.ts'
import type { Keeper } from '../measure/kept-files.ts'
import { Latency } from '../measure/latency.ts'
import { costBetween, type ProcessUse, useOf } from '../measure/process-cost.ts'
import { figure, type MeasuredPart } from '../measure/result.ts'
import { vouchersUsed } from '../people/order.ts'
import { Random } from '../people/random.ts'
import { keepEntries, keepRedemptions } from '../record/redemption-record.ts'
import { latencyFigures } from './claim-part.ts'
import { engineFigures } from './cost-figures.ts'
import { openKeeper, type Stage } from './stage.ts'

const PEOPLE = 100_000
const SCALE_DEFAULT = 0.2
const CONNECTIONS_DEFAULT = 256
const BATCH = 2000
const SAMPLE = 300

/** The codes that people will use, in the order of their owners shuffled by the seed. */
async function grantVouchers(stage: Stage, people: number): Promise<{ campaignId: string; codes: string[] }> {
  const { operator, options } = stage
  const opensAt = new Date(Date.now() - 1000)
  const round = await operator.createRound({ name: 'redemption', stock: people, opensAt })
  const random = new Random(options.seed, 0x5eed)
  const codes: string[] = []
  for (let first = 0; first < people; first += BATCH) {
    const users = Array.from({ length: Math.min(BATCH, people - first) }, (_, place) => userIdOf(first + place))
    for (const { outcome, vouchers } of await operator.claimBatch(round.id, users)) {
      if (outcome !== 'granted' || vouchers === undefined) throw new Error(`a pack was not granted: ${outcome}`)
      codes.push(...vouchers.slice(0, vouchersUsed(random, vouchers.length)).map(voucher => voucher.code))
    }
  }
  for (let place = codes.length - 1; place > 0; place--) {
    const other = Math.floor(random.uniform() * (place + 1))
    ;[codes[place], codes[other]] = [codes[other]!, codes[place]!]
  }
  return { campaignId: round.campaign_id, codes }
}

/** The ledger against what the tills were told; both are kept. */
async function audit({ operator }: Stage, campaignId: string, { toldFile, keeper }: Told): Promise<AuditSummary> {
  const entries = await operator.whole(
    () => operator.ledgerEntries(campaignId),
    chunks => keepEntries(keeper, chunks),
  )
  const balances = await operator.balances(campaignId)
  const told = await readFile(toldFile, 'utf8')
  await keepRedemptions(keeper, { told, balances })
  return judgeRedemptions({ ...(JSON.parse(told) as ToldByTills), entries, balances })
}

interface Told {
  readonly toldFile: string
  readonly keeper: Keeper
}

/** How many vouchers of a sample are in each state. */
async function sampleStates({ operator }: Stage, codes: readonly string[]): Promise<Record<string, number>> {
  const states: Record<string, number> = {}
  const step = Math.max(1, Math.floor(codes.length / SAMPLE))
  for (let place = 0; place < codes.length; place += step) {
    const { state } = await operator.voucher(codes[place]!)
    states[state] = (states[state] ?? 0) + 1
  }
  return states
}

interface Run {
  readonly report: RedeemReport
  readonly use: readonly ProcessUse[]
  readonly states: Readonly<Record<string, number>>
  readonly audit: AuditSummary
  readonly keeper: Keeper
}

function partOf(stage: Stage, { report, use, states, audit, keeper }: Run): MeasuredPart {
  const { counts } = report
  const latency = new Latency(report.latency)
  const lockLatency = new Latency(report.lockLatency)
  const requests = Object.values(counts).reduce((sum, count) => sum + count, 0)
  const seconds = report.wallUs / 1e6
  // Abandoned vouchers and full reversals stay active; nothing that was touched may be locked or lost when all is done.
  const strange = Object.keys(states).filter(
    state => state !== 'redeemed' && state !== 'active' && state !== 'deactivated',
  )
  return {
    name: 'redemption',
    settings: {
      scenario: 'redeem',
      scale: stage.options.scale ?? SCALE_DEFAULT,
      connections: stage.options.connections ?? CONNECTIONS_DEFAULT,
    },
    audit,
    figures: [
      figure('redemptions', counts.redeem / seconds, 'redemptions/s', 'higher'),
      figure('requests', requests / seconds, 'requests/s', 'higher'),
      ...latencyFigures('redeem', latency),
      ...latencyFigures('lock', lockLatency),
      ...engineFigures(use, requests),
      figure('generator cpu', report.cpuUs / Math.max(1, requests), 'µs a claim'),
      figure('generator busy', (report.cpuUs / report.wallUs) * 100, '% of a core'),
    ],
    latencies: { redeem: latency.summary(), lock: lockLatency.summary() },
    recordFolder: keeper.folder,
    hgrm: { 'redeem-latency': latency.toHgrm() },
    outcomes: {
      ...counts,
      ...Object.fromEntries(Object.entries(states).map(([state, count]) => [`sampled ${state}`, count])),
    },
    timeline: [],
    notes: report.lost > 0 ? [`${report.lost} connections were lost and opened again`] : [],
    problems: [
      ...(report.wrong > 0 ? [`${report.wrong} answers were wrong: ${report.examples.join(' | ')}`] : []),
      ...strange.map(state => `${states[state]} sampled vouchers are ${state} after the run`),
    ],
  }
}

export async function* playRedeem(stage: Stage): AsyncGenerator<MeasuredPart> {
  const { engine, options, interrupted, live } = stage
  const { campaignId, codes } = await grantVouchers(
    stage,
    Math.max(1, Math.round(PEOPLE * (options.scale ?? SCALE_DEFAULT))),
  )
  const codesFile = join(stage.scratch, 'codes.json')
  await writeFile(codesFile, JSON.stringify(codes))
  live.say(`redemption: ${codes.length} vouchers will be used`)
  const member = new Member<ToRedeemer, FromRedeemer>('./redeemer.ts')
  const connections = options.connections ?? CONNECTIONS_DEFAULT
  const stop = () => member.send({ type: 'stop' })
  interrupted.addEventListener('abort', stop)
  try {
    const toldFile = join(stage.scratch, 'told.json')
    const job = { url: engine.url, key: engine.key, codesFile, toldFile, connections, seed: options.seed }
    member.send({ type: 'job', job })
    await member.wait('ready')
    const before = useOf(engine)
    member.send({ type: 'start' })
    const { report } = await member.wait('done')
    const use = costBetween(before, useOf(engine))
    const states = await sampleStates(stage, codes)
    const keeper = await openKeeper(stage)
    const found = await audit(stage, campaignId, { toldFile, keeper })
    yield partOf(stage, { report, use, states, audit: found, keeper })
  } finally {
    interrupted.removeEventListener('abort', stop)
    member.kill()
  }
}
