/**
 * `npm run matrix`: all of test/script and test/server and some faults on each server that people have, alone, with a replica and
 * as a cluster; the table of passes at its end.
 *
 *   npm run matrix -- --help               servers, forms, parts
 *   npm run matrix -- --list               which servers are here, and what would run; downloads nothing
 *   npm run matrix -- --only valkey-9.1    one server in all forms
 *
 * A server comes first on PATH for the tests (servers.ts), so engines with a server of their own start it as well. Each
 * part is one run of vitest, whose words go to a file in the cache; what failed is named here. A part that takes longer than
 * its bound is ended and counts as failed. Nothing is tried again. Rejected: a part of `npm test`, which would take hours
 * and need a network; a second list of what a server has to pass.
 */
import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { type Form, filesOf, HELP, type Order, readOrder, UsageError } from './plan.ts'
import { exitOf, type PartResult, type Row, readReport, type Skipped, tableOf } from './result.ts'
import { type Found, ServerShelf } from './servers.ts'

const ROOT = join(import.meta.dirname, '../..')
const BIN = join(ROOT, 'node_modules/.bin')
const CACHE = join(ROOT, 'node_modules/.cache/matrix')
/** How long one part may take, milliseconds. */
const PART_MS = 3_600_000

type Had = Extract<Found, { bin: string }>
type Part = Order['parts'][number]

interface Cell {
  readonly name: string
  readonly form: Form
  readonly part: Part
  readonly found: Had
  readonly workers: number
}

function environment({ form, found }: Cell): NodeJS.ProcessEnv {
  const { REDIS_URL: _, TEST_CLUSTER: __, TEST_REPLICAS: ___, ...rest } = process.env
  const PATH = [found.bin, BIN, process.env.PATH ?? ''].join(delimiter)
  return { ...rest, ...form.env, PATH, TEST_REDIS: 'local', TEST_EFFORT: 'smoke', NO_COLOR: '1' }
}

/** Runs vitest to its end, or to the end of its time. */
async function runVitest(cell: Cell, report: string, log: number): Promise<number> {
  const output = ['--reporter=verbose', '--reporter=json', `--outputFile.json=${report}`]
  const args = ['run', ...output, `--maxWorkers=${cell.workers}`, ...filesOf(cell.form, cell.part)]
  const stdio = ['ignore', log, log] as const
  const child = spawn(join(BIN, 'vitest'), args, {
    cwd: ROOT,
    env: environment(cell),
    stdio: [...stdio],
    detached: true,
  })
  const end = () => {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  }
  const stop = () => {
    end()
    process.exit(130)
  }
  const bound = setTimeout(end, PART_MS)
  process.once('SIGINT', stop).once('SIGTERM', stop)
  const code = await new Promise<number>(done => {
    child.once('error', () => done(127))
    child.once('exit', exit => done(exit ?? 1))
  })
  clearTimeout(bound)
  process.off('SIGINT', stop).off('SIGTERM', stop)
  return code
}

async function runPart(cell: Cell): Promise<PartResult> {
  const { name, form, part } = cell
  const logs = join(CACHE, 'logs')
  mkdirSync(logs, { recursive: true })
  const [report, log] = ['json', 'log'].map(kind => join(logs, `${name}-${form.name}-${part}.${kind}`)) as [
    string,
    string,
  ]
  rmSync(report, { force: true })
  const file = openSync(log, 'w')
  const from = performance.now()
  const code = await runVitest(cell, report, file)
  closeSync(file)
  const seconds = Math.round((performance.now() - from) / 1000)
  try {
    return { part, seconds, ...readReport(readFileSync(report, 'utf8'), code, ROOT) }
  } catch {
    return { part, seconds, passed: 0, failed: 1, failures: [`vitest gave no report: ${log}`] }
  }
}

async function runServer(order: Order, name: string, found: Had): Promise<Row[]> {
  const rows: Row[] = []
  for (const form of order.forms) {
    const parts: PartResult[] = []
    for (const part of order.parts) {
      const result = await runPart({ name, form, part, found, workers: order.workers })
      parts.push(result)
      const { passed, failed, seconds, failures } = result
      const mark = failed === 0 ? '✓' : '✗'
      console.log(`${mark} ${name} ${form.name} ${part}: ${passed} passed, ${failed} failed (${seconds} s)`)
      for (const failure of failures) console.log(`    ${failure}`)
    }
    rows.push({ server: name, version: found.version, from: found.from, form: form.name, parts })
  }
  return rows
}

/** What is here, and what would run. Whether the others can be had is known when they are fetched. */
function listAll({ servers, forms, parts }: Order, shelf: ServerShelf): number {
  for (const server of servers) {
    const found = shelf.look(server)
    console.log(`${server.name}: ${'missing' in found ? found.missing : `${found.version} of ${found.from}`}`)
  }
  for (const form of forms)
    for (const part of parts) console.log(`${form.name} ${part}: ${filesOf(form, part).length} files`)
  return 0
}

async function runAll(order: Order): Promise<number> {
  const shelf = new ServerShelf(CACHE)
  if (order.list) return listAll(order, shelf)
  const rows: Row[] = []
  const skipped: Skipped[] = []
  for (const server of order.servers) {
    const { name } = server
    const found = shelf.find(server)
    if ('missing' in found) {
      console.log(`- ${name}: skipped, ${found.missing}`)
      skipped.push({ server: name, why: found.missing })
      continue
    }
    console.log(`${name}: ${found.version} of ${found.from}`)
    rows.push(...(await runServer(order, name, found)))
  }
  console.log(`\n${tableOf(rows, skipped)}`)
  if (order.json !== undefined) {
    const result = { date: new Date().toISOString(), node: process.version, rows, skipped }
    writeFileSync(order.json, `${JSON.stringify(result, null, 2)}\n`)
  }
  return exitOf(order, rows, skipped)
}

async function main(args: readonly string[]): Promise<number> {
  try {
    const order = readOrder(args)
    if (order) return await runAll(order)
    console.log(HELP)
    return 0
  } catch (cause) {
    if (!(cause instanceof UsageError)) throw cause
    console.error(`${cause.message}\n\n${HELP}`)
    return 2
  }
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2))
