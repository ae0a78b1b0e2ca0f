/**
 * `fairgrab` as a person types it: its exit code, and what it prints where.
 *
 * Lines run in processes that are kept for the next line (command-host.ts), since all but a tenth of a line's time is the start of
 * its process; two of them, so that two people may type at once. What the start itself does is shown by command-line.test.ts
 * with processes of their own. Rejected: calling the commands as functions. Exit codes and streams are half of what scripts
 * rely on.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { bareEnv } from './bare-env.ts'
import type { Line, Ran } from './command-host.ts'

export type { Ran } from './command-host.ts'
export type Env = Readonly<Record<string, string>>

const PROGRAM = fileURLToPath(new URL('command-host.ts', import.meta.url))
const HOSTS = 2

const idle: ChildProcess[] = []
const waiting: ((host: ChildProcess) => void)[] = []
let hosts = 0

function newHost(): ChildProcess {
  hosts++
  const host = fork(PROGRAM, { execArgv: [], env: bareEnv(), stdio: ['ignore', 'ignore', 'ignore', 'ipc'] })
  // It ends with this process, and does not keep it.
  host.unref()
  host.channel?.unref()
  return host
}

async function freeHost(): Promise<ChildProcess> {
  const host = idle.pop()
  if (host) return host
  return hosts < HOSTS ? newHost() : new Promise(take => waiting.push(take))
}

function release(host: ChildProcess): void {
  const next = waiting.shift()
  if (next) next(host)
  else idle.push(host)
}

/** Types these words, in an environment that has nothing but `env`. Rejects when the line ends its process. */
export async function typed(words: readonly string[], env: Env = {}): Promise<Ran> {
  const host = await freeHost()
  const { promise, resolve, reject } = Promise.withResolvers<Ran>()
  const ended = (code: number | null) => reject(new Error(`fairgrab ${words.join(' ')} ended its process with ${code}`))
  host.once('message', resolve)
  host.once('exit', ended)
  host.send({ words, env: bareEnv(env) } satisfies Line)
  const ran = await promise
  host.off('exit', ended)
  release(host)
  return ran
}

/** The same of a line whose words stand between spaces, without what ends the last line of each stream. */
export async function fairgrab(line: string, env: Env = {}): Promise<Ran> {
  const { code, out, err } = await typed(line.split(' ').filter(Boolean), env)
  return { code, out: out.trimEnd(), err: err.trimEnd() }
}
