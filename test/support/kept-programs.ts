/**
 * Programs that tests run as a person types them: exit code, and what is printed where.
 *
 * Lines run in processes that are kept for the next line (command-host.ts), since all but a tenth of a short line's time is the
 * start of its process; two of them, so that two people may type at once. What is to be watched or killed while it runs is
 * started by its test. Rejected: calling commands as functions. Exit codes and streams are half of what scripts rely on.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { bareEnv } from './bare-env.ts'
import type { Line, Ran } from './command-host.ts'

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

/** Runs a line to its end. Rejects when the line ends its process. */
export async function runLine(line: Line): Promise<Ran> {
  const host = await freeHost()
  const { promise, resolve, reject } = Promise.withResolvers<Ran>()
  const ended = (code: number | null) =>
    reject(new Error(`${line.program} ${line.words.join(' ')} ended its process with ${code}`))
  host.once('message', resolve)
  host.once('exit', ended)
  host.send(line)
  const ran = await promise
  host.off('exit', ended)
  release(host)
  return ran
}
