/**
 * The CPU time of one pass: a contender's servers, its Redis, and the whole machine, between two readings of /proc.
 *
 * A contender is given by the ids it started and charged for everything below them (nginx forks workers, the engine
 * forks workers and a redis-server), Redis apart, because that is where the designs differ. The machine's own count
 * shows what processes outside the run took meanwhile, which no other figure of a bench reveals.
 */
import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { costBetween, type ProcessUse, treeOf } from '../measure/process-cost.ts'

const TICKS_PER_S = 100

export const CORES = cpus().length

export interface CpuReading {
  readonly at: number
  readonly machineS: number
  readonly processes: readonly ProcessUse[]
}

export interface CpuSpent {
  readonly elapsedS: number
  readonly serverS: number
  readonly redisS: number
  readonly machineS: number
}

/** Seconds the whole machine worked: user, nice, system, irq and softirq; not idle, not waiting, not stolen. */
function machineBusyS(): number {
  const fields = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]!.trim().split(/\s+/).map(Number)
  return (fields[1]! + fields[2]! + fields[3]! + fields[6]! + fields[7]!) / TICKS_PER_S
}

export function readCpu(roots: readonly number[]): CpuReading {
  return { at: performance.now(), machineS: machineBusyS(), processes: roots.flatMap(treeOf) }
}

export function spent(before: CpuReading, after: CpuReading): CpuSpent {
  const used = costBetween(before.processes, after.processes)
  const seconds = (part: readonly ProcessUse[]): number => part.reduce((total, { cpuUs }) => total + cpuUs, 0) / 1e6
  return {
    elapsedS: (after.at - before.at) / 1000,
    serverS: seconds(used.filter(({ name }) => name !== 'redis')),
    redisS: seconds(used.filter(({ name }) => name === 'redis')),
    machineS: after.machineS - before.machineS,
  }
}
