/**
 * The bench as its users start it: a real engine, a real Redis, a small release, a result folder, an exit code.
 *
 * These are the slowest tests of the bench and the only ones that prove that its parts fit the engine. They assert
 * soundness and shape, never a speed. An interrupted bench must still report, and must leave no engine behind.
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Summary } from '../../bench/measure/result.ts'

const RUN = fileURLToPath(new URL('../../bench/run.ts', import.meta.url))
const PATIENCE_MS = 240_000
let folder = ''

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bench-test-'))
  await mkdir(join(folder, 'tmp'))
})

afterAll(() => rm(folder, { recursive: true, force: true }))

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs the bench; `watch` sees its stderr as it comes and may interrupt it. */
async function bench(args: readonly string[], watch?: (text: string, interrupt: () => void) => void): Promise<Ended> {
  const child = spawn(process.execPath, [RUN, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TMPDIR: join(folder, 'tmp') },
  })
  const said = { stdout: '', stderr: '' }
  child.stdout.on('data', chunk => {
    said.stdout += String(chunk)
  })
  child.stderr.on('data', chunk => {
    said.stderr += String(chunk)
    watch?.(said.stderr, () => child.kill('SIGINT'))
  })
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, ...said }
}

async function summaryIn(name: string): Promise<Summary> {
  return JSON.parse(await readFile(join(folder, name, 'summary.json'), 'utf8')) as Summary
}

test('a small release over both transports is sound and leaves a whole result', { timeout: PATIENCE_MS }, async () => {
  const { code, stdout, stderr } = await bench(['--scale', '0.002', '--out', join(folder, 'both')])
  expect([code, stderr.includes('Error')]).toEqual([0, false])
  expect(stdout).toMatch(/^✓ hangzhou over stream\n {2}✓ audit: one story/)
  const { schema, parts } = await summaryIn('both')
  expect([schema, parts.map(part => part.name)]).toEqual([2, ['hangzhou over stream', 'hangzhou over http']])
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
  expect((await readdir(join(folder, 'both'))).toSorted()).toEqual([
    'latency-from-send-1.hgrm',
    'latency-from-send-2.hgrm',
    'report.html',
    'summary.json',
    'timeline-1.csv',
    'timeline-2.csv',
  ])
})

test('a window draw over both transports: the draw is repeated, everybody is told, bots gain nothing', {
  timeout: PATIENCE_MS,
}, async () => {
  const flags = ['--profile', 'scarce', '--allocation', 'window', '--scale', '0.001']
  const { code, stdout } = await bench([...flags, '--out', join(folder, 'drawn')])
  expect([code, stdout.split('\n')[0]]).toEqual([0, '✓ scarce over stream'])
  const { parts } = await summaryIn('drawn')
  expect(parts.map(part => part.name)).toEqual(['scarce over stream', 'scarce over http'])
  for (const part of parts) {
    const value = (name: string) => part.figures.find(figure => figure.name === name)?.value
    expect([value('entrants'), value('windows'), value('granted')]).toEqual([1914, 1, 50])
    expect(part.audit?.lines.filter(line => /✓ D-/.test(line)).length).toBeGreaterThanOrEqual(11)
    expect(part.fairness).toMatchObject({ claim: 'one whole run', mode: 'drawn', competitors: 1914, winners: 50 })
    expect(part.fairness?.tests?.filter(({ mark }) => mark === 'pass').length).toBeGreaterThanOrEqual(5)
    expect(part.outcomes.entered).toBeGreaterThan(1914)
  }
  expect(parts[1]?.audit?.lines.join('\n')).toContain(
    '✓ D-included    Everybody who has a receipt is in a published list. (1,914)',
  )
})

test('one window follows the other, and each is drawn again', {
  timeout: PATIENCE_MS,
}, async () => {
  // Three thousand entrants one by one are more than a window of 50 ms can take, on any machine.
  const flags = ['--allocation', 'window', '--window-ms', '50', '--scale', '0.002', '--transport', 'http']
  const { code } = await bench([...flags, '--out', join(folder, 'windows')])
  const [part] = (await summaryIn('windows')).parts
  const value = (name: string) => part?.figures.find(figure => figure.name === name)?.value
  expect(code).toBe(0)
  expect(value('windows')).toBeGreaterThan(1)
  expect(value('granted')).toBeGreaterThan(0)
  expect(part?.audit?.lines.join('\n')).toContain(
    `✓ D-winners     A second implementation draws the same winners and waitlist, in the same order. (${value('windows')})`,
  )
})

test('at the real pace latency counts from the plan, and an interrupt still reports', {
  timeout: PATIENCE_MS,
}, async () => {
  const flags = ['--profile', 'wuhan', '--scale', '0.01', '--pace', 'real', '--transport', 'stream']
  let interrupted = false
  const { code } = await bench([...flags, '--out', join(folder, 'real')], (text, interrupt) => {
    if (!interrupted && /[1-9]\d* told granted/.test(text)) {
      interrupted = true
      interrupt()
    }
  })
  const [part] = (await summaryIn('real')).parts
  expect([code, interrupted, part?.audit?.ok]).toEqual([0, true, true])
  expect(Object.keys(part?.latencies ?? {})).toEqual(['latency-from-plan', 'latency-from-send'])
  expect(part?.notes[0]).toContain('interrupted')
  // The engine's data and the generators' records live there while they run, and go when they are stopped.
  expect((await readdir(join(folder, 'tmp'))).filter(name => name.startsWith('fairgrab-'))).toEqual([])
})

test.each(['sold-out', 'duplicates', 'in-flight'])('%s is sound', { timeout: PATIENCE_MS }, async scenario => {
  const { code, stdout } = await bench(['--scenario', scenario, '--scale', '0.002', '--out', join(folder, scenario)])
  expect([code, stdout.split('\n')[0]]).toEqual([0, `✓ ${scenario} over stream`])
})

test('viewers see the last frame, and their frames are audited', { timeout: PATIENCE_MS }, async () => {
  const flags = ['--scenario', 'viewers', '--connections', '40', '--seconds', '1', '--scale', '0.2']
  const { code } = await bench([...flags, '--out', join(folder, 'viewers')])
  const [alone, part] = (await summaryIn('viewers')).parts
  expect(code).toBe(0)
  expect(alone?.figures.map(({ name }) => name)).not.toContain('viewers')
  expect(part?.figures.map(({ name }) => name)).toContain('grants/s against no viewers')
  expect(part?.latencies['frame-age']?.count).toBeGreaterThan(40)
  expect(part?.audit?.lines.find(line => line.includes('I6-version'))).toMatch(/✓/)
})

test('redemptions are answered rightly', { timeout: PATIENCE_MS }, async () => {
  const { code } = await bench(['--scenario', 'redeem', '--scale', '0.005', '--out', join(folder, 'redeem')])
  const [part] = (await summaryIn('redeem')).parts
  expect([code, part?.problems]).toEqual([0, []])
  expect(part?.outcomes.redeem).toBeGreaterThan(1000)
})

test('wrong usage ends with 2 and a sentence', async () => {
  expect(await bench(['--scneario', 'redeem'])).toMatchObject({
    code: 2,
    stderr: '--scneario is unknown; the nearest is --scenario\n',
  })
  expect(await bench(['compare', folder])).toMatchObject({ code: 2 })
})
