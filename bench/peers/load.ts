/**
 * The two generators: wrk for everything that speaks HTTP, redis-benchmark for the ceiling without HTTP.
 *
 * Both are closed loops: a connection asks again when it was answered. That gives the highest rate a contender can
 * hold at so many connections, and no latency worth printing (a slow answer delays the next question, so waiting
 * hides itself); latency is measured by the open-loop bench. Every request is a different user.
 * A generator ends in the middle of requests: some claims are executed whose answers nobody counts, at most one a
 * connection, and the exactness check allows exactly that.
 * redis-benchmark reads no answers, so its claims are counted by Redis itself.
 * Rejected: a generator of our own here (the outside check should be a program that others trust), autocannon
 * (its own CPU is the limit before the servers').
 */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { treeOf } from '../measure/process-cost.ts'
import { KEYS, SCRIPT_SHA } from './redis.ts'
import type { Target } from './target.ts'

const runFile = promisify(execFile)
const DIFFERENT_USERS = join(import.meta.dirname, 'different-users.lua')

export interface Pass {
  readonly seconds: number
  readonly connections: number
  readonly threads: number
  /** Begins every user id of the pass, so that the users of two passes never meet. */
  readonly prefix: string
  /** Look at the status of every answer; costs the generator, so not in a measured pass. */
  readonly tally: boolean
  /** Ends the generator early; the pass is then an error. */
  readonly signal: AbortSignal
}

export interface Driven {
  /** Requests that were answered. */
  readonly claims: number
  /** The answers among them that were grants; null where the generator does not read answers. */
  readonly granted: number | null
  readonly seconds: number
  readonly generatorCpuS: number
  /** How full the generator's threads were, 0..1: its CPU time over what its threads could have used. */
  readonly generatorFull: number
  /** What should not have happened, one sentence each. */
  readonly troubles: readonly string[]
}

export type Load = (target: Target, pass: Pass) => Promise<Driven>

interface WrkReport {
  readonly requests: number
  readonly seconds: number
  readonly cpu_s: number
  readonly above_399: number
  readonly socket_errors: number
  readonly timeouts: number
  readonly created: number
  readonly refused: number
  readonly strange: number
  readonly strange_status: number
}

export const wrk: Load = async (target, pass) => {
  const headers = Object.entries(target.headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  const shape = ['-t', `${pass.threads}`, '-c', `${pass.connections}`, '-d', `${pass.seconds}s`]
  const script = ['-s', DIFFERENT_USERS, ...headers, target.url, '--', pass.prefix, pass.tally ? 'tally' : 'count']
  const { stdout } = await runFile('wrk', [...shape, ...script], { signal: pass.signal })
  const line = stdout.trimEnd().split('\n').at(-1)!
  return readWrk(JSON.parse(line) as WrkReport, pass)
}

/** What wrk's report means. Without a tally an answer that is no error is a grant: every user is a new one. */
export function readWrk(report: WrkReport, { tally, threads }: Pick<Pass, 'tally' | 'threads'>): Driven {
  const found: readonly (readonly [number, string])[] = [
    [report.socket_errors, 'errors on sockets'],
    [report.timeouts, 'answers later than 2 s'],
    [report.strange, `answers that are neither 201 nor 409 (one was ${report.strange_status})`],
  ]
  return {
    claims: report.requests,
    granted: tally ? report.created : report.requests - report.above_399,
    seconds: report.seconds,
    generatorCpuS: report.cpu_s,
    generatorFull: report.cpu_s / (report.seconds * threads),
    troubles: found.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`),
  }
}

/**
 * One EVALSHA a claim straight to Redis, `pipeline` of them under way on each connection. The id is two random
 * numbers of 31 bits, because one alone would repeat users within a run.
 */
export function redisBenchmark(pipeline: number): Load {
  return async ({ redis }, pass) => {
    if (!redis) throw new Error('redis-benchmark speaks to Redis and to nothing else')
    const { executed } = redis
    const shape = ['-s', redis.socket, '-c', `${pass.connections}`, '-P', `${pipeline}`, '-n', '2000000000', '-q']
    const user = `${pass.prefix}__rand_int____rand_int__`
    const claim = ['-r', '2147483647', 'EVALSHA', SCRIPT_SHA, `${KEYS.length}`, ...KEYS, user, `${redis.stock}`]
    const child = spawn('redis-benchmark', [...shape, ...claim], { stdio: 'ignore' })
    await once(child, 'spawn')
    const ended = once(child, 'exit')
    try {
      const [claimsBefore, began] = [await executed(), performance.now()]
      await pause(pass.seconds * 1000, undefined, { signal: pass.signal })
      const [claimsAfter, seconds] = [await executed(), (performance.now() - began) / 1000]
      const itself = treeOf(child.pid!)[0]
      if (!itself) throw new Error('redis-benchmark ended by itself')
      const generatorCpuS = itself.cpuUs / 1e6
      return {
        claims: claimsAfter - claimsBefore,
        granted: null,
        seconds,
        generatorCpuS,
        generatorFull: generatorCpuS / seconds,
        troubles: [],
      }
    } finally {
      child.kill('SIGTERM')
      await ended
    }
  }
}
