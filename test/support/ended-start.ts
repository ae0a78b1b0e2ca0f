/**
 * `fairgrab up` where it is to end by itself: its exit code, its words and how long it took. A start that does not end is
 * killed, so that the test says what was printed and no process stays.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { bareEnv } from './bare-env.ts'
import { freePort } from './node-process.ts'

const CLI = fileURLToPath(new URL('../../engine/cli.ts', import.meta.url))
/** What a start that cannot succeed may take. */
export const ENDS_WITHIN_MS = 10_000

export interface Ended {
  readonly code: number | null
  readonly words: string
  readonly ms: number
}

/** Runs it until it ends. */
export async function upEnds(settings: Readonly<Record<string, string>>): Promise<Ended> {
  const from = performance.now()
  const child = spawn(process.execPath, [CLI, 'up'], {
    env: bareEnv({ PORT: String(await freePort()), FAIRGRAB_WORKERS: '1', ...settings }),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let words = ''
  for (const output of [child.stdout, child.stderr])
    output.on('data', (data: Buffer) => {
      words += data.toString('utf8')
    })
  const bound = setTimeout(() => child.kill('SIGKILL'), 3 * ENDS_WITHIN_MS)
  const [code] = (await once(child, 'close')) as [number | null]
  clearTimeout(bound)
  return { code, words, ms: performance.now() - from }
}
