/**
 * The cost of a run as figures: CPU per claim of every process of the engine and of the generators, memory, and the
 * sentence that says when the generator was the limit.
 *
 * CPU per claim counts every decision, refusals too. A generator that used nine tenths of a core, or sent later than
 * planned, could not have shown more: its rate is then a lower bound and is called that.
 */

import type { GeneratorReport } from '../load/job.ts'
import { mergeLatencies } from '../measure/latency.ts'
import type { ProcessUse } from '../measure/process-cost.ts'
import { type Figure, figure } from '../measure/result.ts'

const BUSY_GENERATOR = 0.9
const SLIP_P99_US_MAX = 20_000
const MIB = 2 ** 20

/** `engine cpu` is of all processes, its Redis among them; `redis cpu` of all servers of a cluster together. */
export function engineFigures(use: readonly ProcessUse[], decisions: number): Figure[] {
  const total = use.reduce((sum, { cpuUs }) => sum + cpuUs, 0)
  const perClaim = (cpuUs: number) => cpuUs / Math.max(1, decisions)
  if (use.length === 0) return []
  const servers = use.filter(({ name }) => name.startsWith('redis '))
  const ofServers = servers.reduce((sum, { cpuUs }) => sum + cpuUs, 0)
  return [
    figure('engine cpu', perClaim(total), 'µs a claim', 'lower'),
    ...(servers.length > 0 ? [figure('redis cpu', perClaim(ofServers), 'µs a claim', 'lower')] : []),
    ...use.map(({ name, cpuUs }) => figure(`${name} cpu`, perClaim(cpuUs), 'µs a claim', 'lower')),
    ...use.map(({ name, rssBytes }) => figure(`${name} resident`, rssBytes / MIB, 'MiB', 'lower')),
  ]
}

export function generatorFigures(reports: readonly GeneratorReport[], decisions: number): Figure[] {
  if (reports.length === 0) return []
  const cpuUs = reports.reduce((sum, report) => sum + report.cpuUs, 0)
  const slip = mergeLatencies(slipsOf(reports))
  return [
    figure('generator cpu', cpuUs / Math.max(1, decisions), 'µs a claim'),
    figure('generator busy', busiest(reports) * 100, '% of a core'),
    figure('generator loop delay p99', Math.max(...reports.map(report => report.loopDelayP99Us)), 'µs'),
    ...(slip.count === 0
      ? []
      : [figure('schedule slip p50', slip.at(50), 'µs'), figure('schedule slip p99', slip.at(99), 'µs')]),
  ]
}

const slipsOf = (reports: readonly GeneratorReport[]): string[] =>
  reports.flatMap(({ rounds }) => rounds.map(round => round.slip))

function busiest(reports: readonly GeneratorReport[]): number {
  return Math.max(...reports.map(report => report.cpuUs / report.wallUs))
}

/** The sentences that take a maximum back. */
export function generatorLimits(reports: readonly GeneratorReport[]): string[] {
  if (reports.length === 0) return []
  const limits: string[] = []
  const busy = busiest(reports)
  if (busy > BUSY_GENERATOR) {
    limits.push(
      `GENERATOR LIMITED: it used ${Math.round(busy * 100)} % of a core; the rates are what it could send, not what the engine can decide`,
    )
  }
  const slip = mergeLatencies(slipsOf(reports))
  if (slip.count > 0 && slip.at(99) > SLIP_P99_US_MAX) {
    limits.push(
      `GENERATOR LIMITED: 1 % of the claims left more than ${Math.round(slip.at(99) / 1000)} ms after their planned time`,
    )
  }
  const lost = reports.flatMap(({ rounds }) => rounds).reduce((sum, round) => sum + round.lostConnections, 0)
  if (lost > 0) limits.push(`${lost} connections were lost and opened again`)
  return limits
}
