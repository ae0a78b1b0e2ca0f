/**
 * A process that runs lines of `fairgrab` for tests (fairgrab.ts), one after the other: engine/cli.ts is evaluated anew for
 * each, with the line's words and environment alone, and a line has ended when nothing is left to do, as a process has. So
 * exit codes, both streams and what would hang are what they are for a person; the parts are loaded once, which is nearly all
 * that a line costs.
 *
 * A line that ends its process is told by that end. Rejected: worker threads, which load all parts again.
 */
import { registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'
import { strippedSource } from '../../engine/server/http/stripped-source.mjs'

export interface Line {
  readonly words: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
}

export interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

const CLI = new URL('../../engine/cli.ts', import.meta.url)
const PATH = fileURLToPath(CLI)
const source = strippedSource(PATH)
registerHooks({
  load: (url, context, next) =>
    url.startsWith(`${CLI.href}?`) ? { format: 'module', source, shortCircuit: true } : next(url, context),
})

const said = { stdout: [] as Buffer[], stderr: [] as Buffer[] }
for (const name of ['stdout', 'stderr'] as const)
  process[name].write = (chunk: Uint8Array | string) => said[name].push(Buffer.from(chunk as string)) > 0

const take = (name: keyof typeof said): string => Buffer.concat(said[name].splice(0)).toString('utf8')

let lines = 0
process.on('message', ({ words, env }: Line) => {
  for (const name of Object.keys(process.env)) delete process.env[name]
  Object.assign(process.env, env)
  process.argv = [process.execPath, PATH, ...words]
  process.exitCode = undefined
  // From now on only what the line does keeps this process from ending.
  process.channel?.unref()
  void import(`${CLI.href}?line=${++lines}`)
})

process.on('beforeExit', code => {
  if (!process.connected) return
  process.channel?.ref()
  process.send?.({ code, out: take('stdout'), err: take('stderr') } satisfies Ran)
})
