/**
 * `fairgrab` as a process of its own, as a person types it: its exit code, and what it prints where.
 *
 * Rejected: calling the commands as functions. Exit codes and streams are half of what scripts rely on.
 */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { bareEnv } from './bare-env.ts'

const CLI = fileURLToPath(new URL('../../engine/cli.ts', import.meta.url))

export type Env = Readonly<Record<string, string>>

export interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** Runs a line, whose words stand between spaces, in an environment that has nothing but `env`. */
export function fairgrab(line: string, env: Env = {}): Promise<Ran> {
  const args = [CLI, ...line.split(' ').filter(Boolean)]
  return new Promise(done => {
    execFile(process.execPath, args, { env: bareEnv(env) }, (error, out, err) =>
      done({ code: error === null ? 0 : Number(error.code), out: out.trimEnd(), err: err.trimEnd() }),
    )
  })
}
