/**
 * The log: pino's JSON lines, one a state change and none a claim; on a terminal the same words for a person. Credentials and
 * voucher codes never reach it: what is logged are ids, states, counts and messages of our own.
 * What an error's message carries of strangers is escaped in both forms (base/shown-text.ts): pino leaves C1 controls as they are.
 * Rejected: pino's own pretty printer, a package and a thread for what is one function.
 */
import { Writable } from 'node:stream'
import { type Logger, pino } from 'pino'
import { shownLines, shownText } from '../base/shown-text.ts'

export type Log = Pick<Logger, 'info' | 'warn' | 'error' | 'debug' | 'fatal'>

const NOT_SHOWN = ['level', 'time', 'part', 'pid', 'msg', 'err']

/** A JSON line as a person reads it: time, level, message, the rest as name=value, then the stack of an error. */
export function lineForPeople(json: string): string {
  const line = JSON.parse(json) as Readonly<Record<string, unknown>> & { readonly err?: { readonly stack?: string } }
  const { level, time, part, msg = '', err } = line
  const rest = Object.entries(line).flatMap(([name, value]) =>
    NOT_SHOWN.includes(name) ? [] : [`${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`],
  )
  const word = pino.levels.labels[Number(level)] ?? String(level)
  const head = shownText([String(time).slice(11, 23), word.padEnd(5), `${part}:`, msg, ...rest].join(' '))
  return err?.stack === undefined ? head : `${head}\n${shownLines(err.stack)}`
}

const toTerminal = () =>
  new Writable({
    decodeStrings: false,
    write: (chunk: string, _, done) => {
      process.stdout.write(`${lineForPeople(chunk)}\n`)
      done()
    },
  })

export function openLog(level: string, part: string): Log {
  const hooks = { streamWrite: (line: string) => `${shownText(line.trimEnd())}\n` }
  const options = { hooks, level, base: { part, pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime }
  return process.stdout.isTTY === true ? pino(options, toTerminal()) : pino(options)
}
