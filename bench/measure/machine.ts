/**
 * The machine card: what a figure was measured on, and whether the machine was quiet when it was.
 *
 * Every result carries it, because a rate without its machine cannot be compared with anything. The load average is
 * read before the run; more than a fifth of a core already busy is said aloud with the result.
 */

import { execFileSync } from 'node:child_process'
import os from 'node:os'

export interface MachineCard {
  readonly cpu: string
  readonly cores: number
  readonly memory_gb: number
  readonly kernel: string
  readonly node: string
  readonly redis: string
  readonly load_before: number
  readonly busy: boolean
  readonly taken_at: string
}

const BUSY_SHARE = 0.2

function redisVersion(): string {
  for (const program of ['redis-server', 'valkey-server']) {
    try {
      const text = execFileSync(program, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
      return `${program} ${/v=(\S+)/.exec(text)?.[1] ?? text.trim()}`
    } catch {
      // The other program may be there.
    }
  }
  return 'none on this machine'
}

export function machineCard(): MachineCard {
  const load = os.loadavg()[0] ?? 0
  return {
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.cpus().length,
    memory_gb: Math.round(os.totalmem() / 2 ** 30),
    kernel: `${os.type()} ${os.release()}`,
    node: process.version,
    redis: redisVersion(),
    load_before: Math.round(load * 100) / 100,
    busy: load > os.cpus().length * BUSY_SHARE,
    taken_at: new Date().toISOString(),
  }
}
