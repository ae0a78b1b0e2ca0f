/**
 * Where a command of the bench says what it has to say, and how it ends: 0 sound, 1 an error, 2 wrong usage, 99 a ✗ stands in
 * the result. Commands that only read folders get it as an argument, so that whoever calls them hears what a user would.
 */
import { causesText } from '../engine/base/causes.ts'
import { UsageError } from './stage/options.ts'

export const EXIT = { sound: 0, error: 1, usage: 2, unsound: 99 } as const

export interface Terminal {
  readonly out: (text: string) => void
  readonly err: (text: string) => void
}

export const TERMINAL: Terminal = {
  out: text => void process.stdout.write(text),
  err: text => void process.stderr.write(text),
}

/** What went wrong with everything behind it, then where. */
const failureText = (error: unknown): string =>
  error instanceof Error ? `${causesText(error)}\n${error.stack}` : String(error)

/** The exit code of a command; what it throws is said. */
export async function exitOf(command: () => Promise<number>, { err }: Terminal): Promise<number> {
  try {
    return await command()
  } catch (error) {
    err(`${error instanceof UsageError ? error.message : failureText(error)}\n`)
    return error instanceof UsageError ? EXIT.usage : EXIT.error
  }
}
