/**
 * A command that gets its terminal as an argument (bench/terminal.ts), run in the test's own process: how it ended and what it said.
 * What a program is, is shown with one process each; the others would start one for every wrong word.
 */
import type { Terminal } from '../../bench/terminal.ts'

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export async function endOf(command: (terminal: Terminal) => Promise<number>): Promise<Ended> {
  const said = { stdout: '', stderr: '' }
  const code = await command({
    out: text => {
      said.stdout += text
    },
    err: text => {
      said.stderr += text
    },
  })
  return { code, ...said }
}
