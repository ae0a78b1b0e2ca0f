/**
 * What a node's processes hold, to be compared before and after a fault: open files and resident memory.
 *
 * Files are counted in /proc and not asked of the engine, whose own count could forget the same socket twice. A process
 * that ended meanwhile holds nothing. Rejected: `lsof`, which takes seconds for ten thousand sockets.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { treeOf } from '../../bench/measure/process-cost.ts'

export interface Held {
  readonly pid: number
  /** `supervisor`, `worker` or `redis`. */
  readonly name: string
  readonly files: number
  readonly residentMiB: number
}

function filesOf(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).length
  } catch {
    return 0
  }
}

/** Alive and not only unburied: where its parent is dead, whoever inherits it may take a moment. */
export function isRunning(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
  } catch {
    return false
  }
}

/** What each process of the tree below `root` holds. */
export const heldBy = (root: number): readonly Held[] =>
  treeOf(root).map(({ pid, name, rssBytes }) => ({
    pid,
    name: name.startsWith('worker') ? 'worker' : name,
    files: filesOf(pid),
    residentMiB: rssBytes / 2 ** 20,
  }))

/** The same of the processes with one name, together. */
export function heldTogether(root: number, name: Held['name']): Pick<Held, 'files' | 'residentMiB'> {
  const all = heldBy(root).filter(held => held.name === name)
  return {
    files: all.reduce((sum, { files }) => sum + files, 0),
    residentMiB: all.reduce((sum, { residentMiB }) => sum + residentMiB, 0),
  }
}
