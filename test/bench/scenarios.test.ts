/**
 * Every other scenario of the bench as its users start it, small; what run.test.ts is for a release.
 *
 * Each has to end with 0 and say that it is sound: no figure is looked at but that it is there.
 */
import { afterAll, expect, test } from 'vitest'
import { BENCH_PATIENCE_MS, BenchRoom } from '../support/bench-room.ts'

const room = new BenchRoom()
afterAll(() => room[Symbol.asyncDispose]())

test.each(['sold-out', 'duplicates', 'in-flight'])('%s is sound', { timeout: BENCH_PATIENCE_MS }, async scenario => {
  const { code, stdout } = await room.run(['--scenario', scenario, '--scale', '0.002', '--out', room.path(scenario)])
  expect([code, stdout.split('\n')[0]]).toEqual([0, `✓ ${scenario} over stream`])
})

test('viewers see the last frame, and their frames are audited', { timeout: BENCH_PATIENCE_MS }, async () => {
  const flags = ['--scenario', 'viewers', '--connections', '40', '--seconds', '1', '--scale', '0.2']
  const { code } = await room.run([...flags, '--out', room.path('viewers')])
  const [alone, part] = (await room.summary('viewers')).parts
  expect(code).toBe(0)
  expect(alone?.figures.map(({ name }) => name)).not.toContain('viewers')
  expect(part?.figures.map(({ name }) => name)).toContain('grants/s against no viewers')
  expect(part?.latencies['frame-age']?.count).toBeGreaterThan(40)
  expect(part?.audit?.lines.find(line => line.includes('I6-version'))).toMatch(/✓/)
})

test('redemptions are answered rightly', { timeout: BENCH_PATIENCE_MS }, async () => {
  const { code } = await room.run(['--scenario', 'redeem', '--scale', '0.005', '--out', room.path('redeem')])
  const [part] = (await room.summary('redeem')).parts
  expect([code, part?.problems]).toEqual([0, []])
  expect(part?.outcomes.redeem).toBeGreaterThan(1000)
})

test.each(['script', 'engine'])(
  'mode %s: each grant that was told is in the log once',
  {
    timeout: BENCH_PATIENCE_MS,
  },
  async mode => {
    // An odd number of people: every other claim of a batch is of one who holds, and nothing may be left over.
    const flags = ['--mode', mode, '--scale', '0.000734', '--frame', '512']
    const { code, stdout } = await room.run([...flags, '--out', room.path(mode)])
    expect([code, stdout.split('\n')[1]]).toEqual([0, '  ✓ told 1101 grants; the log has 1101, 1101 holders, 0 gaps'])
  },
)
