/**
 * A new round as options of the command line: a row a field of the API, so that one can be given wherever the other can. What does
 * not belong to the round's way of choosing is refused here, before the engine is asked.
 */
import { STOCK_MAX } from '../base/limits.ts'
import { ConfigError } from '../config.ts'
import { type Command, countOf, type Given, textOf } from './command.ts'

interface RoundOption {
  readonly type: 'string' | 'boolean'
  readonly says: string
  /** Where its value goes in the body. */
  readonly field: string
  /** The modes of `allocation` that it is for; all where it is left out. */
  readonly modes?: readonly string[]
  readonly read: (given: Given, name: string) => unknown
}

const plain = ({ values }: Given, name: string): unknown => values[name]
const counted =
  (least: number, most = STOCK_MAX) =>
  (given: Given, name: string) =>
    countOf(given, name, [least, most])

const oneOf =
  (choices: readonly string[], what: string) =>
  ({ values }: Given, name: string): unknown => {
    const value = values[name]
    if (choices.some(choice => choice === value)) return value
    throw new ConfigError(
      `--${name}: "${value}" (from the command line) is no ${what}; give one of ${choices.join(', ')}`,
    )
  }

function poolOf(text: string) {
  const [, name, stock] = /^([a-z0-9_-]+)=(\d+)$/.exec(text) ?? []
  if (name === undefined)
    throw new ConfigError(
      `--pool: "${text}" (from the command line) is not a pool; give its name and its packs, like assisted=500`,
    )
  return { name, stock: Number(stock) }
}

const MODES = ['fcfs', 'window', 'lottery']
const DRAWN = ['window', 'lottery']

export const ROUND_OPTIONS: Readonly<Record<string, RoundOption>> = {
  stock: { type: 'string', says: 'packs of a new round', field: 'stock', read: counted(1) },
  name: { type: 'string', says: 'its name, which everybody may read', field: 'name', read: plain },
  'opens-at': {
    type: 'string',
    says: 'a time of RFC 3339, like 2026-12-01T10:00:00Z; without it an operator opens it',
    field: 'opens_at',
    read: plain,
  },
  'closes-at': {
    type: 'string',
    says: 'a time of RFC 3339, like 2026-12-01T12:00:00Z; without it an operator closes it',
    field: 'closes_at',
    read: plain,
  },
  pool: {
    type: 'string',
    says: 'NAME=N,… of a new round; NAME of the stock to change',
    field: 'pools',
    read: (given, name) => textOf(given, name, 'assisted=500').split(',').map(poolOf),
  },
  allocation: {
    type: 'string',
    says: 'fcfs, window or lottery; else fcfs',
    field: 'allocation.mode',
    read: oneOf(MODES, 'mode'),
  },
  strict: {
    type: 'boolean',
    says: 'first come by the moment of arrival over all workers',
    field: 'allocation.strict',
    modes: ['fcfs'],
    read: plain,
  },
  'window-ms': {
    type: 'string',
    says: 'length of a window, else 3000',
    field: 'allocation.window_ms',
    modes: ['window'],
    read: counted(1, 86_400_000),
  },
  'draws-at': {
    type: 'string',
    says: 'when a lottery is drawn, like 2026-12-01T20:00:00Z',
    field: 'allocation.draws_at',
    modes: ['lottery'],
    read: plain,
  },
  beacon: {
    type: 'string',
    says: 'what decides a draw: commit (a secret of the engine) or drand; else commit',
    field: 'allocation.beacon.kind',
    modes: DRAWN,
    read: oneOf(['commit', 'drand'], 'beacon'),
  },
  'quota-order': {
    type: 'string',
    says: 'general-first or pool-first: which seat an entrant of a pool takes first; else general-first',
    field: 'allocation.quota_order',
    modes: DRAWN,
    read: oneOf(['general-first', 'pool-first'], 'order'),
  },
  waitlist: {
    type: 'string',
    says: 'places behind the last seat of a draw, else 0',
    field: 'allocation.waitlist',
    modes: DRAWN,
    read: counted(0),
  },
  'may-end-early': {
    type: 'boolean',
    says: 'announces that a window may be ended before its time',
    field: 'allocation.may_end_early',
    modes: DRAWN,
    read: plain,
  },
}

/** As the help has them. */
export const roundOptions: Command['options'] = Object.fromEntries(
  Object.entries(ROUND_OPTIONS).map(([name, { type, says }]) => [name, { type, says }]),
)

type Body = Record<string, unknown>

/** Sets a field of a body by its path. */
function put(body: Body, path: string, value: unknown): void {
  const [name = '', ...rest] = path.split('.')
  if (rest.length === 0) body[name] = value
  else {
    body[name] ??= {}
    put(body[name] as Body, rest.join('.'), value)
  }
}

/** The body of a new round. */
export function newRound(given: Given): Body {
  const { allocation = 'fcfs' } = given.values
  const body: Body = {}
  // The mode comes first: what the others may be follows from it.
  put(body, 'allocation.mode', oneOf(MODES, 'mode')({ ...given, values: { allocation } }, 'allocation'))
  for (const [name, { field, modes = MODES, read }] of Object.entries(ROUND_OPTIONS)) {
    if (given.values[name] === undefined && name !== 'stock') continue
    if (!modes.includes(String(allocation)))
      throw new ConfigError(`--${name} does not fit --allocation ${allocation}; it is for ${modes.join(' and ')}`)
    put(body, field, read(given, name))
  }
  if (allocation === 'lottery') textOf(given, 'draws-at', '2026-12-01T20:00:00.000Z')
  return body
}
