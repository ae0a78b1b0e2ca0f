/**
 * Whether this worker may grant: judged every few seconds from what the store found, from the connections, and from
 * the drain. Any problem stops the grants and is reported in words with what to do, but for what concerns single rounds, whose
 * scripts stop them; warnings are reported and do not stop.
 */
import { Fault } from '../base/assert.ts'
import { type Clock, every } from '../base/clock.ts'
import type { Code } from '../base/codes.ts'
import { type Finding, type Findings, helpAgainst } from '../base/finding.ts'

/** What a check of the server found. */
export interface Checked extends Findings {
  /** On a cluster, problems of single shards, which stop their rounds and nothing else; undefined on one Redis. */
  readonly damages?: readonly Finding[]
  readonly stoppedShards?: number
  readonly declared: boolean
  readonly version: string
  readonly usedMemoryBytes: number
  readonly nodes: number
  readonly commands: number
  readonly aheadMs: number
}

interface AllFindings extends Findings {
  /** Problems of single rounds: shown as problems, and they stop nothing else. */
  readonly damages: readonly Finding[]
}

/**
 * What a part above the store has to say of the server, at each check of it and beside it: what does not answer is waited for once. One that
 * cannot be asked (what it reads waits for the replica that is missing) says less than what the check found, so it never stands in its place.
 */
export type Watch = (checking: Promise<Checked>) => Promise<Partial<AllFindings>>

export interface HealthReport extends Findings {
  readonly ready: boolean
  readonly draining: boolean
  readonly durability: string
  /** Present where an operator declares the level because the server's settings cannot be read. */
  readonly declared?: true
  readonly redisVersion: string
  readonly redisMemoryBytes: number
  /** Nodes that share this Redis, this one among them; 0 where that is not known. */
  readonly nodes: number
  /** Commands that Redis processed since its start. */
  readonly redisCommands: number
  /** How far Redis's clock is ahead of this machine's at least, at the last check. */
  readonly redisAheadMs: number
  /** Of a cluster: shards with a problem, at the last check. */
  readonly stoppedShards: number
  /** The file of keys is refused, and the keys that were read before stay in force. */
  readonly keysRefused: boolean
}

const CHECK_MS = 5000
const RETRY_MS = 200

export interface HealthOptions {
  readonly check: () => Promise<Checked>
  readonly connected: () => boolean
  /** Between two checks while grants go on, milliseconds; CHECK_MS where it is left out. */
  readonly checkMs?: number | undefined
  readonly clock: Clock
  readonly durability: string
  /** Called when the list of problems or warnings is another one than before; grants are stopped where it is not ready. */
  readonly changed: (report: HealthReport) => void
}

function unreachable(cause: unknown): Finding {
  const what = cause instanceof Error ? cause.message : 'Redis cannot be reached'
  return { what, mend: helpAgainst(what) ?? 'start it, or correct REDIS_URL; it is tried again' }
}

/**
 * What the watches found; where the server itself has problems, one that cannot be asked finds nothing. Of a cluster a shard may
 * be away, and which one is found by itself: a watch that asked it finds nothing.
 */
function merged(found: Checked, watched: readonly PromiseSettledResult<Partial<AllFindings>>[]): AllFindings {
  const all = watched.map(result => {
    if (result.status === 'fulfilled') return result.value
    if (result.reason instanceof Fault && (found.problems.length > 0 || found.damages)) return {}
    throw result.reason
  })
  return {
    problems: all.flatMap(({ problems = [] }) => problems),
    damages: all.flatMap(({ damages = [] }) => damages),
    warnings: all.flatMap(({ warnings = [] }) => warnings),
  }
}

export class Health {
  readonly #options: HealthOptions
  readonly #watches: Watch[] = []
  #report: HealthReport
  #reported = ''
  #keys: readonly Finding[] = []
  #stops = true
  #stop: () => void = () => {}

  constructor(options: HealthOptions) {
    this.#options = options
    this.#report = {
      ready: false,
      draining: false,
      durability: options.durability,
      redisVersion: '',
      redisMemoryBytes: 0,
      nodes: 0,
      redisCommands: 0,
      redisAheadMs: 0,
      stoppedShards: 0,
      keysRefused: false,
      problems: [unreachable('not asked yet')],
      warnings: [],
    }
  }

  get report(): HealthReport {
    const { problems, warnings } = this.#report
    const known = { ...this.#report, warnings: [...warnings, ...this.#keys], keysRefused: this.#keys.length > 0 }
    if (this.#options.connected()) return known
    return { ...known, ready: false, problems: problems.length > 0 ? problems : [unreachable('not now')] }
  }

  /** The code that refuses every grant, or undefined. */
  readonly gate = (): Code | undefined => {
    if (this.#stops) return 'fenced'
    return this.#report.draining ? 'overloaded' : undefined
  }

  /** Checks once, then every few seconds until `stop`. */
  async start(): Promise<void> {
    await this.check()
    const { checkMs = CHECK_MS } = this.#options
    const next = () => (this.#stops ? RETRY_MS : checkMs)
    let waited = 0
    this.#stop = every(
      this.#options.clock,
      RETRY_MS,
      async () => {
        waited += RETRY_MS
        if (waited < next()) return
        waited = 0
        await this.check()
      },
      () => {},
    )
  }

  /** Asks this part, too, from the next check on. */
  watch(watch: Watch): void {
    this.#watches.push(watch)
  }

  /** Warns of a file of keys that is refused from now on; of none where the reason is empty. The supervisor's log has it. */
  refuseKeys(what: string): void {
    const mend = 'correct the file: a key that was taken out of it still works'
    this.#keys = what === '' ? [] : [{ what, mend }]
  }

  drain(): void {
    this.#report = { ...this.#report, ready: false, draining: true }
  }

  stop(): void {
    this.#stop()
  }

  /** Judges the server now. */
  async check(): Promise<void> {
    const { draining } = this.#report
    const checking = this.#options.check()
    const watching = Promise.allSettled(this.#watches.map(watch => watch(checking)))
    try {
      const found = await checking
      const watched = merged(found, await watching)
      const problems = [...found.problems, ...watched.problems]
      this.#stops = problems.length > 0
      const { declared: _, ...before } = this.#report
      this.#report = {
        ...before,
        ...(found.declared ? { declared: true } : {}),
        ready: !this.#stops && !draining,
        redisVersion: found.version,
        redisMemoryBytes: found.usedMemoryBytes,
        nodes: found.nodes,
        redisCommands: found.commands,
        redisAheadMs: found.aheadMs,
        stoppedShards: found.stoppedShards ?? 0,
        problems: [...problems, ...(found.damages ?? []), ...watched.damages],
        warnings: [...found.warnings, ...watched.warnings],
      }
    } catch (cause) {
      this.#stops = true
      this.#report = { ...this.#report, ready: false, problems: [unreachable(cause)] }
      await watching
    }
    const found = JSON.stringify([this.#report.problems, this.#report.warnings])
    if (found !== this.#reported) this.#options.changed(this.#report)
    this.#reported = found
  }
}
