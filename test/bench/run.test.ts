/**
 * The bench as its users start it: a real engine, a real Redis, a small release, a result folder, an exit code.
 *
 * These tests and those of bench-draws and bench-scenarios are the slowest of the bench, and the only ones that prove
 * that its parts fit the engine. They assert soundness and shape, never a speed. An interrupted bench must still
 * report, and must leave no engine behind.
 */
import { readdir } from 'node:fs/promises'
import { afterAll, expect, test } from 'vitest'
import { BENCH_PATIENCE_MS, BenchRoom } from '../support/bench-room.ts'

const room = new BenchRoom()
afterAll(() => room[Symbol.asyncDispose]())

test('a small release over both transports is sound and leaves a whole result', {
  timeout: BENCH_PATIENCE_MS,
}, async () => {
  const { code, stdout, stderr } = await room.run(['--scale', '0.002', '--out', room.path('both')])
  expect([code, stderr.includes('Error')]).toEqual([0, false])
  expect(stdout).toMatch(/^✓ hangzhou over stream\n {2}✓ audit: one story/)
  const { schema, parts } = await room.summary('both')
  expect([schema, parts.map(part => part.name)]).toEqual([3, ['hangzhou over stream', 'hangzhou over http']])
  for (const part of parts) {
    const value = (name: string) => part.figures.find(figure => figure.name === name)?.value
    expect(part.audit?.ok).toBe(true)
    expect(value('granted')).toBe(3000)
    expect(value('engine cpu')).toBeGreaterThan(0)
    expect(value('redis memory a grant')).toBeGreaterThan(0)
    expect(part.timeline.at(-1)?.remaining).toBe(0)
    expect(part.outcomes.granted).toBe(3000)
    expect(part.fairness).toMatchObject({ mode: 'fcfs', winners: 3000, order: { rightful: 3000 } })
  }
  expect((await readdir(room.path('both'))).toSorted()).toEqual([
    'latency-from-send-1.hgrm',
    'latency-from-send-2.hgrm',
    'record-1',
    'record-2',
    'report.html',
    'summary.json',
    'timeline-1.csv',
    'timeline-2.csv',
  ])
})

test('at the real pace latency counts from the plan, and an interrupt still reports', {
  timeout: BENCH_PATIENCE_MS,
}, async () => {
  const flags = ['--profile', 'wuhan', '--scale', '0.01', '--pace', 'real', '--transport', 'stream']
  let interrupted = false
  const { code } = await room.run([...flags, '--out', room.path('real')], (text, bench) => {
    if (!interrupted && /[1-9]\d* told granted/.test(text)) {
      interrupted = true
      bench.kill('SIGINT')
    }
  })
  const [part] = (await room.summary('real')).parts
  const wrong = [...(part?.problems ?? []), ...(part?.audit?.lines.filter(line => line.startsWith('✗')) ?? [])]
  expect([code, interrupted, wrong]).toEqual([0, true, []])
  expect(Object.keys(part?.latencies ?? {})).toEqual(['latency-from-plan', 'latency-from-send'])
  expect(part?.notes[0]).toContain('interrupted')
  // The engine's data and the generators' records live there while they run, and go when they are stopped.
  expect((await readdir(room.path('tmp'))).filter(name => name.startsWith('fairgrab-'))).toEqual([])
})

test('wrong usage ends with 2 and a sentence', async () => {
  expect(await room.run(['--scneario', 'redeem'])).toMatchObject({
    code: 2,
    stderr: '--scneario is unknown; the nearest is --scenario\n',
  })
  expect(await room.run(['compare', room.folder])).toMatchObject({ code: 2 })
})
