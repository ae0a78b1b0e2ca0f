/**
 * What the person at the terminal asked for: the arguments of `npm run bench -- peers` as an order, and the help text.
 *
 * Every number has bounds and every name must match a contender, because a bench that quietly runs something else
 * than what was asked prints figures under the wrong heading. Names are prefixes: `--only nginx,floor` is short.
 * Rejected: settings through the environment (they would not stand beside the figures in the shell's history).
 */
import { parseArgs } from 'node:util'
import { CONTENDERS, type Contender } from './contenders.ts'
import { CORES } from './cpu.ts'
import type { Plan } from './measurement.ts'

export const HELP = `Measure the engine beside its rivals on this machine.

  npm run bench -- peers [options]

  --rounds N         interleaved rounds (default 5)
  --seconds S        whole seconds of each measured pass (default 5)
  --warm-up S        whole seconds before it, every answer read (default 2)
  --connections N    connections kept busy (default 256)
  --threads N        threads of wrk (default half of the cores, at least 1)
  --only A,B         contenders whose names begin so (default all)
  --json FILE        also write runs, summaries and the machine to FILE
  --help             this text

Contenders: ${CONTENDERS.map(({ name }) => name).join(', ')}

Examples:
  npm run bench -- peers
  npm run bench -- peers --only fairgrab,nginx-1 --rounds 3 --json bench-results/peers.json
`

/** The load's user ids have room for the numbers of many more threads; more cores than this we have not seen. */
const THREADS_MAX = 512

const OPTIONS = {
  rounds: { type: 'string', default: '5' },
  seconds: { type: 'string', default: '5' },
  'warm-up': { type: 'string', default: '2' },
  connections: { type: 'string', default: '256' },
  threads: { type: 'string', default: `${Math.max(1, Math.floor(CORES / 2))}` },
  only: { type: 'string' },
  json: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const

export interface Order extends Plan {
  readonly rounds: number
  readonly contenders: readonly Contender[]
  readonly json: string | undefined
}

class UsageError extends Error {}

/** What the arguments ask for, or null when they ask for help. Throws on arguments that mean nothing. */
export function readOrder(args: readonly string[]): Order | null {
  const { values } = parseArgs({ args: [...args], options: OPTIONS, strict: true })
  if (values.help) return null
  const count = (name: 'rounds' | 'seconds' | 'warm-up' | 'connections' | 'threads'): number => {
    if (!/^[1-9]\d{0,4}$/.test(values[name])) throw new UsageError(`--${name} must be a whole number from 1 on`)
    return Number(values[name])
  }
  const wanted = values.only?.split(',') ?? ['']
  const unknown = wanted.find(prefix => !CONTENDERS.some(({ name }) => name.startsWith(prefix)))
  if (unknown !== undefined) throw new UsageError(`--only: no contender's name begins with ${unknown}`)
  const order = { connections: count('connections'), threads: count('threads') }
  if (order.threads > Math.min(order.connections, THREADS_MAX)) {
    throw new UsageError(`--threads cannot be more than --connections, nor more than ${THREADS_MAX}`)
  }
  return {
    ...order,
    rounds: count('rounds'),
    seconds: count('seconds'),
    warmUpSeconds: count('warm-up'),
    contenders: CONTENDERS.filter(({ name }) => wanted.some(prefix => name.startsWith(prefix))),
    json: values.json,
  }
}
