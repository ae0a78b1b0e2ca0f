/**
 * `fairgrab call`: every operation of the API by its name in /openapi.json, for what has no command of its own. It is made of the
 * engine's table of routes, so it can do all that the API can.
 *
 * Rejected: a command for each; who needs one of these once a month looks it up anyway.
 */
import { shownLines } from '../base/shown-text.ts'
import { ConfigError, suggestion } from '../config.ts'
import { ROUTES } from '../server/routes/routes.ts'
import { LINES_TYPE } from '../wire/lines.ts'
import { type Command, type Given, ONCE, textFile } from './command.ts'
import { askBytes } from './engine-call.ts'

const OPERATIONS = ROUTES.flatMap(route => (route.operation === undefined ? [] : [{ ...route, name: route.operation }]))
type Operation = (typeof OPERATIONS)[number]
const METHODS = { get: 'GET', post: 'POST', put: 'PUT' } as const

const namesIn = (path: string): readonly string[] => [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name)

function operationOf(name: string): Operation {
  const found = OPERATIONS.find(operation => operation.name === name)
  if (found) return found
  const names = OPERATIONS.map(operation => operation.name)
  throw new ConfigError(
    `"${name}" (from the command line) is no operation; ${suggestion(name, names, 'fairgrab call lists them all')}`,
  )
}

/** The path with its parameters, from words like id=rnd_1. */
function pathOf({ name, path, query = [] }: Operation, words: readonly string[]): string {
  const known = [...namesIn(path), ...query]
  const values = new Map<string, string>()
  for (const word of words) {
    const [parameter = '', ...rest] = word.split('=')
    if (!known.some(each => each === parameter) || rest.length === 0)
      throw new ConfigError(
        `"${word}" (from the command line) is no parameter of ${name}; ${known.length === 0 ? 'it has none' : `give ${known.map(each => `${each}=…`).join(', ')}`}`,
      )
    values.set(parameter, rest.join('='))
  }
  const filled = path.replace(/\{(\w+)\}/g, (_, parameter: string) => {
    const value = values.get(parameter)
    if (!value)
      throw new ConfigError(`${parameter} is missing; give ${parameter}=…, as in fairgrab call ${name} ${parameter}=…`)
    values.delete(parameter)
    return encodeURIComponent(value)
  })
  const asked = new URLSearchParams([...values]).toString()
  return asked === '' ? filled : `${filled}?${asked}`
}

/** What --body names: a file behind @, else the text itself. */
async function bodyOf(operation: Operation, { values }: Given) {
  const { name, body, lines } = operation
  const given = values.body
  const isWanted = body !== undefined || lines !== undefined
  if (typeof given !== 'string') {
    if (!isWanted) return undefined
    throw new ConfigError(`--body is missing; ${name} takes ${lines ? 'lines of JSON' : 'JSON'}, the text or @FILE`)
  }
  if (!isWanted) throw new ConfigError(`--body (from the command line) is of no use to ${name}, which takes none`)
  const text = given.startsWith('@') ? await textFile(given.slice(1), 'JSON') : given
  return { type: lines ? LINES_TYPE : 'application/json', text }
}

const shown = ({ name, method, path, summary }: Operation): string =>
  `${name.padEnd(24)}${method.toUpperCase().padEnd(5)}${path}  ${summary}`

export const CALL: Command = {
  name: 'call',
  usage: ['call', 'call OPERATION [NAME=VALUE …] [--body JSON|@FILE] [--accept TYPE] [--idempotency-key KEY]'],
  sentence: 'any operation of the API by its name; without one, all of them',
  examples: [
    'fairgrab call reverse id=rdm_… --body \'{"type":"full"}\' --idempotency-key refund-1',
    'fairgrab call listGrants id=rnd_… --accept application/x-ndjson > grants.ndjson',
  ],
  options: {
    body: { type: 'string', says: 'what it takes: JSON, or @FILE; @- is the input' },
    accept: { type: 'string', says: 'the media type of the answer, else application/json' },
    ...ONCE,
  },
  run: async given => {
    const [name, ...words] = given.words
    if (name === undefined) {
      given.print(
        OPERATIONS.map(({ name: operation, method, path, summary }) => ({ operation, method, path, summary })),
        OPERATIONS.map(shown),
      )
      return 0
    }
    const operation = operationOf(name)
    const path = pathOf(operation, words)
    const { accept = 'application/json' } = given.values
    const answer = await askBytes(given.target, path, {
      method: METHODS[operation.method],
      sent: await bodyOf(operation, given),
      headers: { accept: String(accept) },
    })
    printAnswer(given, answer, accept === 'application/json')
    return 0
  },
}

/** JSON as people read it, or on one line; files as they came, but for a terminal, which no text of a stranger may move. */
function printAnswer(given: Given, bytes: Buffer, isJson: boolean): void {
  const value = isJson ? jsonIn(bytes) : undefined
  if (value !== undefined) return given.print(value, JSON.stringify(value, null, 2).split('\n'))
  process.stdout.write(process.stdout.isTTY ? shownLines(bytes.toString()) : bytes)
}

function jsonIn(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    return undefined
  }
}
