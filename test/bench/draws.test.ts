/**
 * The bench of drawn rounds as its users start it; what run.test.ts is for a release in the order of claims.
 *
 * The draw that the bench repeats from the published files is a real one of a real engine, over both transports.
 */
import { afterAll, expect, test } from 'vitest'
import { BENCH_PATIENCE_MS, BenchRoom } from '../support/bench-room.ts'

const room = new BenchRoom()
afterAll(() => room[Symbol.asyncDispose]())

test('a window draw over both transports: the draw is repeated, everybody is told, bots gain nothing', {
  timeout: BENCH_PATIENCE_MS,
}, async () => {
  const flags = ['--profile', 'scarce', '--allocation', 'window', '--scale', '0.001']
  const { code, stdout } = await room.run([...flags, '--out', room.path('drawn')])
  expect([code, stdout.split('\n')[0]]).toEqual([0, '✓ scarce over stream'])
  const { parts } = await room.summary('drawn')
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
  timeout: BENCH_PATIENCE_MS,
}, async () => {
  // Three thousand entrants one by one are more than a window of 50 ms can take, on any machine.
  const flags = ['--allocation', 'window', '--window-ms', '50', '--scale', '0.002', '--transport', 'http']
  const { code } = await room.run([...flags, '--out', room.path('windows')])
  const [part] = (await room.summary('windows')).parts
  const value = (name: string) => part?.figures.find(figure => figure.name === name)?.value
  expect(code).toBe(0)
  expect(value('windows')).toBeGreaterThan(1)
  expect(value('granted')).toBeGreaterThan(0)
  expect(part?.audit?.lines.join('\n')).toContain(
    `✓ D-winners     A second implementation draws the same winners and waitlist, in the same order. (${value('windows')})`,
  )
})
