/**
 * How long the audit takes: `node test/bench/speed.ts [claims] [seed]`, a million claims unless told otherwise.
 *
 * It makes a sound run, writes its ledger as the NDJSON that the engine exports, and then times what a bench run has
 * to wait for at its end: taking over the history of another process, reading the ledger, and the audit itself,
 * three times each and the median printed, with the slowest beside it. The audit must pass, else the exit code is 1:
 * the time of an audit that fails is not a time of anything.
 *
 * Rejected: timing inside the tests only. A test machine is busy; a figure needs its own quiet run.
 */
import { performance } from 'node:perf_hooks'
import { History } from '../../bench/audit/history.ts'
import { type Ledger, readLedger } from '../../bench/audit/ledger.ts'
import { auditRun, printVerdict } from '../../bench/audit/verdict.ts'
import { ledgerChunks, makeRun } from './synthetic.ts'

const ROUNDS = 3
const claims = Number(process.argv[2] ?? 1_000_000)
const seed = Number(process.argv[3] ?? 1)

async function time<T>(title: string, work: () => T | Promise<T>): Promise<T> {
  const durations: number[] = []
  let result = await timed(work, durations)
  while (durations.length < ROUNDS) result = await timed(work, durations)
  durations.sort((a, b) => a - b)
  const [median, slowest] = [durations[ROUNDS >> 1]!, durations.at(-1)!]
  console.log(`${title.padEnd(34)} ${median.toFixed(0).padStart(6)} ms  (slowest ${slowest.toFixed(0)} ms)`)
  return result
}

async function timed<T>(work: () => T | Promise<T>, durations: number[]): Promise<T> {
  const started = performance.now()
  const result = await work()
  durations.push(performance.now() - started)
  return result
}

async function* inTurn(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks
}

console.log(`seed ${seed}, ${claims.toLocaleString('en-US')} claims`)
const run = makeRun(seed, claims)
const chunks = [...ledgerChunks(run)]
const buffer = await time('history to one buffer', () => run.history.toBuffer())
const history = await time('history taken over', () => {
  const taken = new History()
  taken.append(buffer)
  return taken
})
const context = { users: run.users, pools: run.round.pools.map(pool => pool.name) }
const ledger = await time<Ledger>('ledger read from NDJSON', () => readLedger(inTurn(chunks), context))
const verdict = await time('audit', () => auditRun({ ...run, history, ledger }))
console.log(printVerdict(verdict).join('\n'))
const megabytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MB`
console.log(
  `memory: history ${megabytes(buffer.byteLength)}, process ${megabytes(process.memoryUsage().rss)} with the making`,
)
process.exitCode = verdict.ok ? 0 : 1
