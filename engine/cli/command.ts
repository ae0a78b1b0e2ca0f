/**
 * What every command that talks to an engine has in common: its arguments, its help, how it prints and how it fails.
 *
 * A command is a row: usage, a sentence, two examples, options, and what it does. Help is made of the row, so it cannot
 * lack what the command takes. A wrong argument is a ConfigError (exit code 2) that names the value, where it came from
 * and the fix; what the engine refuses ends with 1. Rejected: a library for arguments; Node's own reads them, and the
 * words are what matters.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util'
import { KEY_BYTES_MAX } from '../base/limits.ts'
import { shownJson, shownText } from '../base/shown-text.ts'
import { GARBLED, utf8Text } from '../base/text.ts'
import { ConfigError, suggestion } from '../config.ts'
import type { Target } from './engine-call.ts'

export interface Given {
  readonly target: Target
  readonly words: readonly string[]
  readonly values: Readonly<Record<string, string | boolean | undefined>>
  /** Prints the answer as JSON where that was asked for, else a line or some; what a stranger wrote ends none and moves nothing. */
  readonly print: (answer: unknown, shown: string | readonly string[]) => void
}

export interface Command {
  readonly name: string
  readonly usage: readonly string[]
  readonly sentence: string
  readonly examples: readonly [string, string]
  readonly options: Readonly<Record<string, { readonly type: 'string' | 'boolean'; readonly says: string }>>
  /** It works on the environment and Redis alone, so --url and --key would be ignored: they are refused. */
  readonly asksNoEngine?: true
  readonly run: (given: Given) => Promise<number>
}

/** For those that ask an engine. */
const TARGET: Command['options'] = {
  url: { type: 'string', says: 'the engine, else FAIRGRAB_URL, else http://127.0.0.1:8080' },
  key: { type: 'string', says: 'the key, else FAIRGRAB_KEY' },
}
/** Of every lever. */
export const DRY_RUN = { type: 'boolean', says: 'show what it would change, and change nothing' } as const
/** Of every change. */
export const ONCE = {
  'idempotency-key': { type: 'string', says: 'asked again with the same key it is done once; else a new one' },
} as const

const COMMON: Command['options'] = {
  json: { type: 'boolean', says: 'the answer as one line of JSON' },
  help: { type: 'boolean', says: 'this text' },
}

const optionsOf = ({ options, asksNoEngine }: Command): Command['options'] => ({
  ...options,
  ...(asksNoEngine ? {} : TARGET),
  ...COMMON,
})

export function helpOf(command: Command): string {
  const { name, usage, sentence, examples } = command
  const rows = Object.entries(optionsOf(command)).map(
    ([option, { type, says }]) => `  ${`--${option}${type === 'string' ? ' …' : ''}`.padEnd(22)}${says}`,
  )
  const lines = [
    `fairgrab ${name}: ${sentence}`,
    '',
    ...usage.map(line => `  fairgrab ${line}`),
    '',
    'options',
    ...rows,
  ]
  return [...lines, '', 'examples', ...examples.map(line => `  ${line}`)].join('\n')
}

function parsed(command: Command, args: readonly string[]) {
  const known = optionsOf(command)
  const options: ParseArgsOptionsConfig = Object.fromEntries(
    Object.entries(known).map(([name, { type }]) => [name, name === 'help' ? { type, short: 'h' } : { type }]),
  )
  const help = `try fairgrab ${command.name} --help`
  for (const [i, arg] of args.entries()) {
    if (arg.includes(GARBLED))
      throw new ConfigError(`word ${i + 1} (from the command line) is not UTF-8; set the terminal to UTF-8. ${help}`)
    const name = /^--([^=]+)/.exec(arg)?.[1]
    if (name !== undefined && !(name in known) && name in TARGET)
      throw new ConfigError(
        `--${name} (from the command line) is of no use to fairgrab ${command.name}, which asks no engine; ${help}`,
      )
    if (name !== undefined && !(name in known))
      throw new ConfigError(
        `--${name} (from the command line) is no option of fairgrab ${command.name}; ${suggestion(
          `--${name}`,
          Object.keys(known).map(each => `--${each}`),
          help,
        )}`,
      )
  }
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true })
  } catch (cause) {
    const { message } = cause as Error
    // Node names the way to give a value that begins with a dash two lines below.
    const way = /use '(--[a-z-]+=)/.exec(message)?.[1]
    const first = message.split('\n')[0]?.replace(/\.$/, '')
    throw new ConfigError(
      `${first}; ${way === undefined ? '' : `a value that begins with a dash goes behind ${way}; `}${help}`,
    )
  }
}

/** The Idempotency-Key that was given. The server library cuts off what is not ASCII, so two such keys could be one. */
function onceIn(given: unknown): string | undefined {
  if (typeof given !== 'string') return undefined
  if (/^[!-~]+$/.test(given) && given.length <= KEY_BYTES_MAX) return given
  throw new ConfigError(
    `--idempotency-key: ${JSON.stringify(given)} (from the command line) is no key; give 1 to ${KEY_BYTES_MAX} visible characters of ASCII without spaces`,
  )
}

/** The words that a line of usage has behind the name: what stands before its options. */
const wordsIn = (line: string): readonly string[] => {
  const words = line.split(' ').slice(1)
  const options = words.findIndex(word => /^\[?--/.test(word))
  return options < 0 ? words : words.slice(0, options)
}

/** A word that no line of usage has a place for would be ignored, so it is refused. */
function refuseMore({ name, usage }: Command, given: readonly string[]): void {
  const lines = usage
    .map(wordsIn)
    .filter(([verb = '']) => /^[^a-z]*$/.test(verb) || verb.split('|').includes(given[0] ?? ''))
  if (lines.length === 0 || lines.flat().some(word => word.includes('…'))) return
  const most = Math.max(...lines.map(words => words.length))
  if (given.length > most)
    throw new ConfigError(
      `"${given[most]}" (from the command line) is one word more than fairgrab ${name} takes; try fairgrab ${name} --help`,
    )
}

/** Runs a command with what stands behind its name. Gives the exit code. */
export async function runCommand(command: Command, args: readonly string[]): Promise<number> {
  const { values, positionals } = parsed(command, args)
  if (values.help === true) {
    console.log(helpOf(command))
    return 0
  }
  refuseMore(command, positionals)
  return command.run({
    target: {
      url: values.url as string | undefined,
      key: values.key as string | undefined,
      once: onceIn(values['idempotency-key']),
    },
    words: positionals,
    values: values as Given['values'],
    print: (answer, shown) =>
      console.log(values.json === true ? shownJson(answer) : [shown].flat().map(shownText).join('\n')),
  })
}

/** The verb that a command begins with. */
export function verbOf({ name, usage }: Command, { words }: Given, verbs: readonly string[]): string {
  const [verb] = words
  if (verb === undefined)
    throw new ConfigError(`fairgrab ${name} needs a verb: ${verbs.join(', ')}; for example fairgrab ${usage[0]}`)
  if (verbs.includes(verb)) return verb
  throw new ConfigError(
    `"${verb}" (from the command line) is no verb of fairgrab ${name}; ${suggestion(verb, verbs, `It has ${verbs.join(', ')}`)}`,
  )
}

/** The word at a place, percent-encoded for a path. */
export function wordAt({ words }: Given, place: number, what: string, usage: string): string {
  const word = words[place]
  if (word === undefined || word === '') throw new ConfigError(`which ${what}? Type fairgrab ${usage}`)
  return encodeURIComponent(word)
}

export const isDry = ({ values }: Given): boolean => values['dry-run'] === true

/** A lever's path, for a dry run where that was asked for. */
export const leverPath = (given: Given, path: string): string => (isDry(given) ? `${path}?dry_run=true` : path)

/** What holds now and what would hold, a line each. */
export const nowThen = (before: string, after: string): readonly string[] => [`now   ${before}`, `then  ${after}`]

/** An option that has to be there. */
export function textOf({ values }: Given, name: string, example: string): string {
  const value = values[name]
  if (typeof value !== 'string' || value === '')
    throw new ConfigError(`--${name} is missing; give it, for example --${name} ${example}`)
  return value
}

/** An option that is a whole number within bounds. */
export function countOf(given: Given, name: string, [min, max]: readonly [number, number]): number {
  const text = textOf(given, name, String(Math.max(1, min)))
  const value = Number(text)
  if (!/^-?\d+$/.test(text) || value < min || value > max)
    throw new ConfigError(
      `--${name}: "${text}" (from the command line) is not a whole number from ${min} to ${max}; give one`,
    )
  return value
}

const NO_FOLDER = 'a folder of its path is a file'
const NOT_READ: Readonly<Record<string, string>> = {
  ENOENT: 'it is not there',
  EISDIR: 'it is a folder',
  ENOTDIR: NO_FOLDER,
  EACCES: 'this user may not read it',
  EPERM: 'this user may not read it',
}
const FULL = 'the disk is full; free some of it, or name a file elsewhere'
const NOT_ALLOWED = 'this user may not write there; name a file elsewhere'
const NOT_WRITTEN: Readonly<Record<string, string>> = {
  EISDIR: 'it is a folder; name a file in it',
  ENOTDIR: `${NO_FOLDER}; name a file elsewhere`,
  EEXIST: 'it is a file; name a folder',
  ENOSPC: FULL,
  EDQUOT: FULL,
  EACCES: NOT_ALLOWED,
  EPERM: NOT_ALLOWED,
  EROFS: NOT_ALLOWED,
}

/** A file or folder that a line names: its path, and the option that it stood behind. */
export interface NamedFile {
  readonly path: string
  readonly option?: string
}

const placeOf = ({ path, option }: NamedFile): string =>
  `${option === undefined ? '' : `--${option}: `}${path} (from the command line)`

/** Reads what a line names; `help` says what to name. Throws ConfigError with the cause in words. */
export async function readNamed<T>(file: NamedFile, read: Promise<T>, help: string, causes = NOT_READ): Promise<T> {
  return read.catch(({ code = '', message }: NodeJS.ErrnoException) => {
    throw new ConfigError(`${placeOf(file)} cannot be read: ${causes[code] ?? message}; ${help}`)
  })
}

/** The same of a folder. */
export const readNamedFolder = <T>(file: NamedFile, read: Promise<T>, help: string): Promise<T> =>
  readNamed(file, read, help, { ...NOT_READ, ENOTDIR: 'it is no folder' })

/** Writes into what a line names. Throws ConfigError with the cause in words and what to do. */
export async function writeNamed<T>(file: NamedFile, write: Promise<T>): Promise<T> {
  return write.catch(({ code = '', message }: NodeJS.ErrnoException) => {
    const folder = dirname(file.path)
    const away = `there is no folder ${folder}; make it with mkdir -p ${folder}, or name a file elsewhere`
    const why = code === 'ENOENT' ? away : (NOT_WRITTEN[code] ?? `${message}; name a file elsewhere`)
    throw new ConfigError(`${placeOf(file)} cannot be written: ${why}`)
  })
}

/** Writes the file that an option names, where it was given. */
export async function writeOption({ values }: Given, option: string, textOfIt: () => string): Promise<void> {
  const path = values[option]
  if (typeof path === 'string') await writeNamed({ path, option }, writeFile(path, textOfIt()))
}

/**
 * A file that somebody names on the command line, as text; `-` is the input, `holds` what should be in it. What is not UTF-8 is
 * refused: read as something else, names would be lost.
 */
export async function textFile(path: string, holds: string): Promise<string> {
  const help = `give a file of ${holds}, or - for the input`
  const bytes = await readNamed({ path }, readFile(path === '-' ? '/dev/stdin' : path), help)
  const text = utf8Text(bytes)
  if (text === undefined)
    throw new ConfigError(`${placeOf({ path })} is not UTF-8; save it as UTF-8, or names would be lost`)
  return text
}
