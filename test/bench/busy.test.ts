/**
 * The bench on a machine that others use, too: a run takes longer, and is not lost.
 *
 * What other load does is done here on purpose, to be sure of it: a lead that is too short for the planning, and a Redis
 * that gets no time for seconds while claims are in flight.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, expect, onTestFinished, test } from 'vitest'
import { runClaims } from '../../bench/scenario/claim-run.ts'
import { stressRun } from '../../bench/scenario/stress.ts'
import { foreignEngine } from '../../bench/stage/engine-process.ts'
import { LiveLine } from '../../bench/stage/live-line.ts'
import { Operator } from '../../bench/stage/operator.ts'
import { parseOptions } from '../../bench/stage/options.ts'
import { roundHolders } from '../../engine/store/connection/keys.ts'
import { BENCH_PATIENCE_MS, BenchRoom } from '../support/bench-room.ts'
import { KEYS } from '../support/engine.ts'
import { untilHolds } from '../support/polled.ts'
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
  const flags = ['--scenario', 'drain', '--scale', '0.2', '--connections', '8', '--window', '16']
  const [{ code, stdout }] = await Promise.all([room.run([...flags, '--out', room.path('frozen')]), freezeRedis()])
  expect(code).toBe(0)
  expect(stdout).toContain('! ENGINE OVERLOADED: ')
})

/** Freezes the bench's Redis for a while, as soon as somebody was granted something. */
async function freezeRedis(): Promise<void> {
  const redis = await room.redis()
  await untilHolds(async () => (await redis.keys(roundHolders('*'))).length > 0)
  const pid = Number(/process_id:(\d+)/.exec(await redis.info('server'))?.[1])
  redis.disconnect()
  process.kill(pid, 'SIGSTOP')
  await delay(FROZEN_MS)
  process.kill(pid, 'SIGCONT')
}
