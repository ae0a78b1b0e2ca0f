/**
 * `fairgrab` as a person types it: its exit code, and what it prints where, in a process that is kept (kept-programs.ts). What the
 * start of its process does is shown by command-line.test.ts with processes of their own.
 */
import { fileURLToPath } from 'node:url'
import { bareEnv } from './bare-env.ts'
import type { Ran } from './command-host.ts'
import { runLine } from './kept-programs.ts'

export type { Ran } from './command-host.ts'
export type Env = Readonly<Record<string, string>>

const CLI = fileURLToPath(new URL('../../engine/cli.ts', import.meta.url))

/** Types these words, in an environment that has nothing but `env`. Rejects when the line ends its process. */
export const typed = (words: readonly string[], env: Env = {}): Promise<Ran> =>
  runLine({ program: CLI, words, env: bareEnv(env) })

/** The same of a line whose words stand between spaces, without what ends the last line of each stream. */
export async function fairgrab(line: string, env: Env = {}): Promise<Ran> {
  const { code, out, err } = await typed(line.split(' ').filter(Boolean), env)
  return { code, out: out.trimEnd(), err: err.trimEnd() }
}
