/**
 * The bench on a machine that others use, too: a run takes longer, and is not lost.
 *
 * What other load does is done here on purpose, to be sure of it: a lead that is too short for the planning, and a Redis
 * that gets no time for seconds while claims are in flight.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, expect, onTestFinished, test } from 'vitest'
import { treeOf } from '../../bench/measure/process-cost.ts'
import { runClaims } from '../../bench/scenario/claim-run.ts'
import { stressRun } from '../../bench/scenario/stress.ts'
import { foreignEngine } from '../../bench/stage/engine-process.ts'
import { LiveLine } from '../../bench/stage/live-line.ts'
import { Operator } from '../../bench/stage/operator.ts'
import { parseOptions } from '../../bench/stage/options.ts'
import { BENCH_PATIENCE_MS, BenchRoom } from '../support/bench-room.ts'
import { KEYS } from '../support/engine.ts'
import { useWorker } from '../support/use-worker.ts'

const worker = useWorker()
const room = new BenchRoom()
afterAll(() => room[Symbol.asyncDispose]())

/** How long Redis stands still: longer than the engine lets a claim wait. */
const FROZEN_MS = 3000

test('a round that opened before the crew was ready is followed by another one', {
  timeout: BENCH_PATIENCE_MS,
}, async () => {
  const scratch = await mkdtemp(join(tmpdir(), 'bench-busy-'))
  onTestFinished(() => rm(scratch, { recursive: true }))
  const options = parseOptions(['--scenario', 'drain', '--scale', '0.001', '--pace', 'real', '--seconds', '1'])
  const operator = new Operator(worker.url, KEYS.operator)
  const engine = foreignEngine(worker.url, KEYS.operator)
  const { signal: interrupted } = new AbortController()
  const stage = { engine, operator, options, scratch, interrupted, live: new LiveLine() }
  const part = await runClaims(stage, { ...stressRun(options, 'drain'), leadMs: 1 })
  expect([part.audit?.ok, part.problems, part.outcomes]).toEqual([true, [], { granted: 1000 }])
})

test('claims that a busy engine sheds are right answers: the run is sound, and says so', {
  timeout: BENCH_PATIENCE_MS,
}, async () => {
  let frozen = false
  const flags = ['--scenario', 'drain', '--scale', '1', '--connections', '8', '--window', '16']
  const { code, stdout } = await room.run([...flags, '--out', room.path('frozen')], (text, bench) => {
    if (frozen || !/[1-9]\d* answered/.test(text)) return
    frozen = true
    void freezeRedis(bench.pid as number)
  })
  expect([code, frozen]).toEqual([0, true])
  expect(stdout).toContain('! ENGINE OVERLOADED: ')
})

async function freezeRedis(benchPid: number): Promise<void> {
  for (const { pid } of treeOf(benchPid)) {
    if (!(await readFile(`/proc/${pid}/cmdline`, 'utf8')).includes('redis-server')) continue
    process.kill(pid, 'SIGSTOP')
    await delay(FROZEN_MS)
    process.kill(pid, 'SIGCONT')
  }
}
