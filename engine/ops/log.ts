/**
 * The log: pino's JSON lines, one a state change and none a claim. Credentials and voucher codes never reach it: what
 * is logged are ids, states, counts and messages of our own.
 */
import { type Logger, pino } from 'pino'

export type Log = Pick<Logger, 'info' | 'warn' | 'error' | 'debug' | 'fatal'>

export function openLog(level: string, part: string): Log {
  return pino({ level, base: { part, pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime })
}
