#!/usr/bin/env node
/**
 * The command line. `up` starts a node; the others talk to a running one over its public API. Exit codes: 0 done,
 * 1 error, 2 usage, 99 a check that failed.
 */
import './processes/stripped-types.mjs'
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { causesText } from './base/causes.ts'
import { shownLines } from './base/shown-text.ts'
import type { Command } from './cli/command.ts'
import { ConfigError, nearest, readConfig, suggestion } from './config.ts'
import type { StartedNode } from './processes/supervisor.ts'
import { SETTINGS } from './settings.ts'

const HELP = `fairgrab: the engine in front of a flash release of coupons

  fairgrab up                 start a node (npm start): workers, and an embedded Redis unless REDIS_URL is set
  fairgrab bench [...]        run the benchmark; fairgrab bench --help
  fairgrab report CAMPAIGN    what became of a campaign; --html FILE, --csv FILE, --json, --url, --key
  fairgrab draw COMMAND       the proof of a draw: export, verify, check; fairgrab draw --help
  fairgrab doctor             whether machine, settings and Redis are sound; --rounds, --json
  fairgrab apply FILE         make what a file has: a campaign, its rounds, merchants, rates; twice is once
  fairgrab campaign …         list, show and create campaigns
  fairgrab round …            list, show, create and turn rounds: open, pause, resume, close, stock
  fairgrab claim ROUND USER   claim a pack for a user
  fairgrab redeem CODE …      redeem a voucher for an order
  fairgrab watch [ROUND …]    the stock of rounds as it moves
  fairgrab rates …            what callers may ask a second, set on every node
  fairgrab merchant …         hold and release a merchant, take back what is not settled
  fairgrab voucher …          a voucher with its history; take one out of use
  fairgrab call OPERATION …   any operation of the API by its name; alone, all of them
  fairgrab audit              who changed what, and whether the chain of it holds
  fairgrab token USER         make a user's token with FAIRGRAB_JWT_SECRET
  fairgrab keys [ROLE …]      make API keys
  fairgrab config …           check the environment as a start would; change what all nodes agreed on
  fairgrab version            which version this is, and of Node
  fairgrab help [COMMAND]     this text, or a command's own

examples
  fairgrab up
  PORT=9000 REDIS_URL=redis://10.0.0.5:6379 FAIRGRAB_KEYS=operator:… fairgrab up

Each of them has --help. Settings come from the environment; docs/config.md has them all. What the engine's answers mean, by
their codes: docs/errors.md. Words such as epoch, lever and quarantine: docs/glossary.md.
`

const UP_HELP = `fairgrab up: start a node, with an embedded Redis unless REDIS_URL is set

  fairgrab up

It takes its settings from the environment; docs/config.md says more of each:

${SETTINGS.map(({ name, sentence }) => `  ${name.padEnd(30)}${sentence}`).join('\n')}

examples
  fairgrab up
  PORT=9000 REDIS_URL=redis://10.0.0.5:6379 FAIRGRAB_KEYS=operator:… fairgrab up`

/** A word behind `up` would be ignored, so it is refused, with the setting that it may stand for. */
function refuseWords([word = '']: readonly string[]): void {
  if (word === '') return
  const plain = word.replace(/^-*/, '').split('=', 1)[0] as string
  const wanted = plain.toUpperCase().replaceAll('-', '_')
  const setting = nearest(
    wanted,
    SETTINGS.flatMap(({ name }) => [name, name.replace('FAIRGRAB_', '')]),
  )
  const name = SETTINGS.find(known => known.name === setting || known.name === `FAIRGRAB_${setting}`)?.name
  throw new ConfigError(
    `"${word}" (from the command line) is nothing that fairgrab up takes: settings come from the environment, like ${name}=… fairgrab up; try fairgrab up --help`,
  )
}

/** Resolves when the node shall end. A terminal that closes ends it, too, unless SIGHUP means that keys are read again. */
function stopAsked(readsKeys: boolean): Promise<void> {
  // From the first moment on, before there is anything to read again.
  if (readsKeys) process.on('SIGHUP', () => {})
  const { promise, resolve } = Promise.withResolvers<void>()
  for (const signal of readsKeys ? (['SIGTERM', 'SIGINT'] as const) : (['SIGTERM', 'SIGINT', 'SIGHUP'] as const))
    process.on(signal, () => resolve())
  return promise
}

async function upCommand(): Promise<number> {
  if (asksHelp()) {
    console.log(UP_HELP)
    return 0
  }
  refuseWords(process.argv.slice(3))
  const { up } = await import('./processes/supervisor.ts')
  const config = readConfig()
  const asked = stopAsked(config.keysFile !== '')
  const serving = ({ url, madeKey, redis }: StartedNode) => {
    console.log(`fairgrab serves ${url}   (Redis: ${redis})`)
    if (madeKey) console.log(`operator key, shown once: ${madeKey}`)
  }
  const node = await up(config, serving, asked)
  if (!node) return 0
  await Promise.race([asked, node.failed]).catch(async (cause: Error) => {
    await node.stop()
    throw cause
  })
  await node.stop()
  return 0
}

const BENCH = fileURLToPath(new URL('../bench/run.ts', import.meta.url))
/** Whether the benchmark is there: the installed command has none. */
const hasBench = (): boolean => existsSync(BENCH)

/** The benchmark is a program of its own beside the engine. */
function benchCommand(): Promise<number> {
  if (!hasBench())
    throw new ConfigError('the benchmark is no part of the installed command; run npm run bench in a clone')
  const child = spawn(process.execPath, [BENCH, ...process.argv.slice(3)], { stdio: 'inherit' })
  return new Promise(done => child.once('exit', code => done(code ?? 1)))
}

/** A command that talks to an engine: its row is loaded when it is asked for. */
const row =
  <Name extends string>(name: Name, load: () => Promise<Readonly<Record<Name, Command>>>) =>
  async (): Promise<number> =>
    (await import('./cli/command.ts')).runCommand((await load())[name], process.argv.slice(3))

const release = () => import('./cli/release-commands.ts')
const user = () => import('./cli/user-commands.ts')
const control = () => import('./cli/control-commands.ts')
const setup = () => import('./cli/setup-commands.ts')

const COMMANDS: Readonly<Record<string, () => Promise<number>>> = {
  up: upCommand,
  bench: benchCommand,
  report: row('REPORT', () => import('./cli/report.ts')),
  draw: async () => (await import('./cli/draw.ts')).drawCommand(process.argv.slice(3)),
  doctor: row('DOCTOR', () => import('./cli/doctor.ts')),
  apply: row('APPLY', () => import('./cli/apply.ts')),
  campaign: row('CAMPAIGN', release),
  round: row('ROUND', release),
  claim: row('CLAIM', user),
  redeem: row('REDEEM', user),
  watch: row('WATCH', user),
  rates: row('RATES_COMMAND', control),
  merchant: row('MERCHANT', control),
  voucher: row('VOUCHER', control),
  call: row('CALL', () => import('./cli/call.ts')),
  audit: row('AUDIT', setup),
  token: row('TOKEN', setup),
  keys: row('KEYS', setup),
  config: row('CONFIG', setup),
  version: versionCommand,
  help: helpCommand,
}

const asksHelp = (): boolean => ['--help', '-h'].includes(process.argv[3] ?? '')

/** What a report of a fault has to name. */
async function versionCommand(): Promise<number> {
  if (asksHelp()) {
    console.log('fairgrab version: which version this is, and of Node\n\n  fairgrab version')
    return 0
  }
  refuseMore('version', process.argv.slice(3))
  const { VERSION } = await import('./server/routes/routes.ts')
  console.log(`fairgrab ${VERSION} (Node ${process.version}, ${process.platform} ${process.arch})`)
  return 0
}

function refuseMore(name: string, [word]: readonly string[]): void {
  if (word === undefined) return
  throw new ConfigError(`"${word}" (from the command line) is one word more than fairgrab ${name} takes`)
}

/** The list of commands, or one command's own help. */
async function helpCommand(): Promise<number> {
  const [name, ...more] = asksHelp() ? [] : process.argv.slice(3)
  const command = name === undefined || name === 'help' ? undefined : COMMANDS[name]
  if (name !== undefined && !command) throw unknownCommand(name)
  refuseMore('help', more)
  if (!command) {
    console.log(hasBench() ? HELP : HELP.replace(/^ *fairgrab bench .*\n/m, ''))
    return 0
  }
  process.argv.splice(2, 2, name as string, '--help')
  return command()
}

function unknownCommand(name: string): ConfigError {
  const known = Object.keys(COMMANDS).filter(each => each !== 'bench' || hasBench())
  return new ConfigError(`there is no command "${name}"; ${suggestion(name, known, `There are ${known.join(', ')}`)}`)
}

/** Commands as options, as people type them. */
const SHORT: Readonly<Record<string, string>> = {
  '--help': 'help',
  '-h': 'help',
  '--version': 'version',
  '-v': 'version',
}

async function main(): Promise<number> {
  const name = process.argv[2] ?? 'help'
  const command = COMMANDS[SHORT[name] ?? name]
  if (!command) throw unknownCommand(name)
  return command()
}

main().then(
  code => {
    process.exitCode = code
  },
  (cause: Error) => {
    console.error(shownLines(`fairgrab: ${causesText(cause)}`))
    process.exitCode = cause instanceof ConfigError ? 2 : 1
  },
)
