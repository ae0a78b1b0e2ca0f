/**
 * `npm run fault`: the whole fault matrix, one row after the other, in the long form, with a summary at its end.
 *
 *   npm run fault -- --help                         rows, forms, exit codes
 *   npm run fault -- --effort middle redis-kills    some rows, in the form between smoke and long
 *
 * A row is one test file; each ends with final reads, the history checker, the audit and the verdict of a witness that
 * knows the public API only (test/support/witness), and tells its figures only after they held. A row that takes longer than its bound is ended and counts as failed, so a run ends. Exit 0 when
 * every row held, 1 when not, 2 for words that are not understood. Rejected: one vitest for all of them: its time limit is for a
 * test, its report comes at the end of hours, and two rows at a time would share the load that they are to bear.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Figures } from '../support/figures.ts'

const ROOT = join(import.meta.dirname, '../..')
const BIN = join(ROOT, 'node_modules/.bin')

/** How long the soak goes on in its long form; SOAK_MINUTES asks for another number, also in the other forms. */
const SOAK_MINUTES = Number(process.env.SOAK_MINUTES ?? 30)

/** File name, what it does, and after how many minutes of the long form it is ended. */
export const ROWS = [
  { name: 'redis-kills', what: 'kill -9 of Redis under load', minutes: 40 },
  { name: 'node-kills', what: 'kill -9 of workers, supervisors, whole nodes', minutes: 60 },
  { name: 'orphans', what: 'kill -9 of a supervisor whose workers are under load', minutes: 5 },
  { name: 'rolling-restart', what: 'two nodes behind a balancer, restarted in turns', minutes: 15 },
  { name: 'cut-connections', what: 'cuts at random bytes of requests and replies', minutes: 20 },
  { name: 'redis-outages', what: 'freezes, black holes, absence, a replica', minutes: 20 },
  { name: 'redis-settings', what: 'script flush under load, out of memory, broken promises', minutes: 20 },
  { name: 'redis-amnesia', what: 'lost keys, FLUSHALL', minutes: 5 },
  { name: 'log-damage', what: 'torn tail and flipped bits of the append only file', minutes: 30 },
  { name: 'slow-disk', what: 'kill -9 and loss of power in the middle of a slow sync', minutes: 20 },
  { name: 'full-disk', what: 'no room, torn writes, syncs that fail', minutes: 15 },
  { name: 'log-rewrites', what: 'kill -9 while Redis rewrites its log or saves', minutes: 15 },
  { name: 'replicas', what: 'fail-overs at the level replicated, frozen replicas', minutes: 20 },
  { name: 'lost-history', what: 'what nodes show after a fail-over that lost changes, below fenced', minutes: 10 },
  { name: 'failover', what: 'fail-overs that lose grants at the level fenced, split brain', minutes: 120 },
  { name: 'sentinel', what: 'fail-overs that Sentinels decide, at the level fenced', minutes: 30 },
  { name: 'cluster-kills', what: 'primaries of a cluster killed and frozen, at replicated and fenced', minutes: 90 },
  { name: 'cluster-cuts', what: 'primaries and whole shards of a cluster cut off from the others', minutes: 90 },
  { name: 'cluster-moves', what: 'slots of a cluster moved under load, at replicated and fenced', minutes: 60 },
  { name: 'overload', what: 'more claims than a worker holds', minutes: 5 },
  { name: 'frozen-nodes', what: 'what operators set while a worker of another node stands still', minutes: 20 },
  { name: 'storm', what: 'ten thousand viewers that reconnect at once, half-open connections', minutes: 10 },
  { name: 'dead-readers', what: 'viewers that are frozen while a round drains', minutes: 15 },
  { name: 'soak', what: 'mixed faults over many rounds: what grows and what stays', minutes: SOAK_MINUTES + 15 },
  { name: 'draw-kills', what: 'kill -9 at every step of a draw', minutes: 10 },
  { name: 'claim-redeem', what: 'claims redeemed at once at a node that is far from Redis', minutes: 60 },
  { name: 'operator-cuts', what: "operators' changes cut at each step and asked again", minutes: 60 },
  { name: 'proxy-reloads', what: 'nginx, HAProxy and Caddy reloaded under load, by both families', minutes: 40 },
  { name: 'client', what: 'the client behind proxies, cuts, freezes and restarts', minutes: 20 },
  { name: 'link', what: 'the link over a broken network, byte by byte', minutes: 5 },
] as const

interface Result {
  readonly name: string
  readonly held: boolean
  readonly seconds: number
  readonly figures: Figures
}

function sum(rows: readonly Figures[]): Figures {
  const total: Record<string, number> = {}
  for (const [name, value] of rows.flatMap(row => Object.entries(row))) {
    const before = total[name] ?? 0
    total[name] = name.startsWith('slowest') ? Math.max(before, value) : before + value
  }
  return total
}

const readFigures = (file: string): Figures =>
  sum(
    readFileSync(file, 'utf8')
      .split('\n')
      .filter(Boolean)
      .map(line => JSON.parse(line) as Figures),
  )

/** Ends the test file and all that it started; servers have watchers of their own. */
function end({ pid }: ChildProcess): void {
  if (pid !== undefined) process.kill(-pid, 'SIGKILL')
}

async function runRow({ name, minutes }: (typeof ROWS)[number], effort: string, folder: string): Promise<Result> {
  const file = join(folder, name)
  writeFileSync(file, '')
  const args = ['run', `test/fault/${name}.test.ts`, '--reporter=verbose']
  const PATH = `${BIN}${delimiter}${process.env.PATH ?? ''}`
  const env = { ...process.env, PATH, TEST_EFFORT: effort, FAULT_FIGURES: file }
  const from = performance.now()
  const child = spawn(join(BIN, 'vitest'), args, {
    cwd: ROOT,
    env,
    stdio: 'inherit',
    detached: true,
  })
  const bound = setTimeout(() => end(child), minutes * 60_000)
  const stop = () => {
    end(child)
    process.exit(130)
  }
  process.once('SIGINT', stop).once('SIGTERM', stop)
  const code = await new Promise<number>(done => {
    child.once('error', () => done(127))
    child.once('exit', exit => done(exit ?? 1))
  })
  clearTimeout(bound)
  process.off('SIGINT', stop).off('SIGTERM', stop)
  const seconds = (performance.now() - from) / 1000
  return { name, held: code === 0, seconds, figures: readFigures(file) }
}

const spell = ({ name, held, seconds, figures }: Result): string => {
  const counts = Object.entries(figures).map(([what, count]) => `${what} ${count.toLocaleString('en')}`)
  return `${held ? '✓' : '✗'} ${name.padEnd(16)} ${seconds.toFixed(0).padStart(5)} s   ${counts.join(', ')}`
}

const HELP = `npm run fault: the fault matrix, one row after the other

  npm run fault                               every row, in the long form: hours
  npm run fault -- replicas sentinel          some rows
  npm run fault -- --effort middle            a form between the long one and that of npm test: smoke, middle or long
  npm run fault -- --json                     the results of all rows as JSON, on the last line
  TEST_EFFORT=smoke npm run fault             the form, where --effort is left out
  SOAK_MINUTES=480 npm run fault -- soak      the soak for a night instead of half an hour

Rows:
${ROWS.map(({ name, what, minutes }) => `  ${name.padEnd(16)} ${what}; ended after ${minutes} min`).join('\n')}

Exit codes: 0 all rows held, 1 one did not, 2 wrong usage.`

const EFFORTS = ['smoke', 'middle', 'long']

interface Order {
  readonly rows: readonly (typeof ROWS)[number][]
  readonly effort: string
  readonly json: boolean
  readonly help: boolean
}

/** What the words of a command line ask for. Throws with what is wrong with them. */
export function readOrder(args: readonly string[], effortSet = 'long'): Order {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      effort: { type: 'string', default: effortSet },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false, short: 'h' },
    },
  })
  const unknown = positionals.find(wanted => !ROWS.some(({ name }) => name === wanted))
  if (unknown !== undefined) throw new Error(`there is no row ${unknown}`)
  const { effort, json, help } = values
  if (!EFFORTS.includes(effort)) throw new Error(`--effort (or TEST_EFFORT) is ${effort}, not ${EFFORTS.join(', ')}`)
  const rows = ROWS.filter(({ name }) => positionals.length === 0 || positionals.includes(name))
  return { rows, effort, json, help }
}

async function runRows({ rows, effort, json }: Order): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'fg-fault-'))
  const results: Result[] = []
  for (const [at, row] of rows.entries()) {
    console.log(`\nrow ${at + 1} of ${rows.length}: ${row.name}, ${row.what} (${effort})`)
    results.push(await runRow(row, effort, folder))
    console.log(spell(results.at(-1) as Result))
  }
  rmSync(folder, { recursive: true, force: true })
  const held = results.filter(result => result.held).length
  console.log(`\n${results.map(spell).join('\n')}\n${held} of ${results.length} rows held (${effort})`)
  if (json) console.log(JSON.stringify({ effort, held, rows: results }))
  return held === results.length ? 0 : 1
}

async function main(args: readonly string[]): Promise<number> {
  let order: Order
  try {
    order = readOrder(args, process.env.TEST_EFFORT)
  } catch (cause) {
    console.error(`${(cause as Error).message}\n\n${HELP}`)
    return 2
  }
  if (!order.help) return runRows(order)
  console.log(HELP)
  return 0
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2))
