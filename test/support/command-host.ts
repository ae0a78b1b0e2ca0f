/**
 * A process that runs programs for tests (kept-programs.ts), one after the other: the program's file is evaluated anew for
 * each line, with the line's words and environment alone, and a line has ended when nothing is left to do, as a process has. So
 * exit codes, both streams and what would hang are what they are for a person; the parts are loaded once, which is nearly all
 * that a line costs.
 *
 * A line that ends its process is told by that end. Rejected: worker threads, which load all parts again.
 */
import { registerHooks } from 'node:module'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { strippedSource } from '../../engine/server/http/stripped-source.mjs'

export interface Line {
  /** The path of its file. */
  readonly program: string
  readonly words: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
}

export interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** Behind a program's address: one more evaluation of its file, and of no other. */
const LINE = '?line='
registerHooks({
  load: (url, context, next) =>
    url.includes(LINE)
      ? { format: 'module', source: strippedSource(fileURLToPath(url)), shortCircuit: true }
      : next(url, context),
})

const said = { stdout: [] as Buffer[], stderr: [] as Buffer[] }
for (const name of ['stdout', 'stderr'] as const)
  process[name].write = (chunk: Uint8Array | string) => said[name].push(Buffer.from(chunk as string)) > 0

const take = (name: keyof typeof said): string => Buffer.concat(said[name].splice(0)).toString('utf8')

let lines = 0
process.on('message', ({ program, words, env }: Line) => {
  for (const name of Object.keys(process.env)) delete process.env[name]
  Object.assign(process.env, env)
  process.argv = [process.execPath, program, ...words]
  process.exitCode = undefined
  // From now on only what the line does keeps this process from ending.
  process.channel?.unref()
  void import(`${pathToFileURL(program).href}${LINE}${++lines}`)
})

process.on('beforeExit', code => {
  if (!process.connected) return
  process.channel?.ref()
  process.send?.({ code, out: take('stdout'), err: take('stderr') } satisfies Ran)
})
