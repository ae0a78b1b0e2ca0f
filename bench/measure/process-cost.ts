/**
 * What each process of the engine used: CPU seconds (user + system) and resident memory, from /proc.
 *
 * Rates on a shared machine vary by a third from run to run; CPU per claim repeats, so it is the figure to compare.
 * The engine is a tree of processes (a supervisor, its workers, the embedded Redis), found by walking the parents of
 * all processes; servers that the bench started beside it count with it. A process that was replaced during the run appears with what it used since it was born.
 *
 * Sampling with `top` was rejected: it averages over time, and the counters of /proc are exact to ten milliseconds.
 */

import { readdirSync, readFileSync } from 'node:fs'
import type { RunningEngine } from '../stage/engine-process.ts'

/** USER_HZ; it has been 100 on every Linux that Node runs on. */
const TICKS_PER_S = 100

export interface ProcessUse {
  readonly pid: number
  readonly name: string
  readonly cpuUs: number
  readonly rssBytes: number
}

interface Stat {
  readonly parent: number
  readonly comm: string
  readonly cpuUs: number
}

function statOf(pid: number): Stat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name is in parentheses and may hold spaces; the fields are counted after the last one.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    const ticks = Number(fields[11]) + Number(fields[12])
    const comm = text.slice(text.indexOf('(') + 1, text.lastIndexOf(')'))
    return { parent: Number(fields[1]), comm, cpuUs: (ticks * 1e6) / TICKS_PER_S }
  } catch {
    return undefined
  }
}

function rssOf(pid: number): number {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}

/** The processes of the tree below `root`, the root first. */
export function treeOf(root: number): ProcessUse[] {
  const stats = new Map<number, Stat>()
  for (const entry of readdirSync('/proc')) {
    const stat = /^\d+$/.test(entry) ? statOf(Number(entry)) : undefined
    if (stat !== undefined) stats.set(Number(entry), stat)
  }
  const tree: ProcessUse[] = []
  let workers = 0
  const visit = (pid: number): void => {
    const stat = stats.get(pid)
    if (stat === undefined) return
    const isRedis = /redis|valkey/.test(stat.comm)
    const name = isRedis ? 'redis' : pid === root ? 'supervisor' : `worker ${++workers}`
    tree.push({ pid, name, cpuUs: stat.cpuUs, rssBytes: rssOf(pid) })
    for (const [child, { parent }] of stats) if (parent === pid) visit(child)
  }
  visit(root)
  return tree
}

/** All processes of an engine that the bench started and of its Redis; nothing of somebody else's. */
export function useOf({ pid, beside }: Pick<RunningEngine, 'pid' | 'beside'>): ProcessUse[] {
  if (pid === undefined) return []
  const servers = beside?.servers ?? []
  const nameOf = (place: number) => (servers.length === 1 ? 'redis' : `redis ${place + 1}`)
  const ofServers = servers.flatMap((server, place) => treeOf(server.pid).map(use => ({ ...use, name: nameOf(place) })))
  return [...treeOf(pid), ...ofServers]
}

/** What each process used between two readings. */
export function costBetween(before: readonly ProcessUse[], after: readonly ProcessUse[]): ProcessUse[] {
  return after.map(use => {
    const earlier = before.find(other => other.pid === use.pid)
    return { ...use, cpuUs: use.cpuUs - (earlier?.cpuUs ?? 0) }
  })
}
