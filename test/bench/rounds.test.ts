/**
 * Many rounds at once, and the Redis that a bench starts beside its engine: a real cluster of three, one server over TCP.
 *
 * Twenty small rounds are played over both transports and audited one by one; the servers are gone with the bench, also with one
 * that was killed.
 */
import { cp, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { auditResult, resultLines } from '../../bench/audit-again.ts'
import { treeOf } from '../../bench/measure/process-cost.ts'
import type { PartResult, Summary } from '../../bench/measure/result.ts'
import { openResult, sealed } from '../../bench/record/seal.ts'
import { sharesOf } from '../../bench/scenario/played-claims.ts'
import { ROUNDS, roundRun } from '../../bench/scenario/rounds.ts'
import { parseOptions, UsageError } from '../../bench/stage/options.ts'
import { BENCH_PATIENCE_MS, BenchRoom } from '../support/bench-room.ts'
import { untilHolds } from '../support/polled.ts'

const room = new BenchRoom()
afterAll(() => room[Symbol.asyncDispose]())

const SMALL = ['--scenario', 'rounds', '--scale', '0.0008', '--connections', '40']
const valueIn = (part: PartResult | undefined, name: string): number | undefined =>
  part?.figures.find(figure => figure.name === name)?.value
const serversOf = (pid: number): number[] => treeOf(pid).flatMap(use => (use.name === 'redis' ? [use.pid] : []))
const isThere = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
/** Resolves when none of the processes is there any more; a zombie waits for its parent, which is this machine's init. */
const untilGone = (pids: readonly number[]): Promise<void> => untilHolds(() => !pids.some(isThere))

describe('twenty rounds on a cluster of three', () => {
  test('each is audited by itself, each shard has its share, and the servers end with the bench', {
    timeout: BENCH_PATIENCE_MS,
  }, async () => {
    const seen = new Set<number>()
    const { code, stdout } = await room.run([...SMALL, '--cluster', '3', '--out', room.path('cluster')], (_, bench) => {
      for (const pid of serversOf(bench.pid as number)) seen.add(pid)
    })
    expect([code, seen.size]).toEqual([0, 3])
    expect([...seen].filter(isThere)).toEqual([])
    expect((await readdir(room.path('tmp'))).filter(name => name.startsWith('fairgrab-'))).toEqual([])
    expect(stdout).toContain('engine: started by the bench, on a Redis Cluster of 3 primaries\n')
    expect(stdout).toMatch(
      /^✓ round 1 of 20 rounds over stream; one story \(40 claims, 36 grants, .*\); on shard [123]\n✓ round 2/,
    )
    const { parts } = await room.summary('cluster')
    expect(parts.length).toBe(2 * (ROUNDS + 1))
    for (const transport of ['stream', 'http']) {
      const whole = parts.find(part => part.name === `20 rounds over ${transport}`)
      const rounds = parts.filter(part => part.summedIn === whole?.name)
      expect(rounds.map(({ audit, outcomes, problems }) => [audit?.ok, outcomes, problems])).toEqual(
        Array(ROUNDS).fill([true, { granted: 36, sold_out: 4 }, []]),
      )
      expect([1, 2, 3].map(shard => valueIn(whole, `rounds on shard ${shard}`))).toEqual([7, 7, 6])
      expect(whole?.outcomes).toEqual({ granted: 720, sold_out: 80 })
      // So few grants weigh less than the buffers of connections that come and go: only that all servers were asked is held.
      expect(valueIn(whole, 'redis memory a grant')).toBeDefined()
      const cpu = [1, 2, 3].map(server => valueIn(whole, `redis ${server} cpu`) ?? Number.NaN)
      expect(valueIn(whole, 'redis cpu')).toBeCloseTo(cpu[0]! + cpu[1]! + cpu[2]!, 3)
      expect(valueIn(whole, 'engine cpu')).toBeGreaterThan(valueIn(whole, 'redis cpu') as number)
      expect(rounds.flatMap(({ figures }) => figures.filter(({ name }) => / cpu$/.test(name)))).toEqual([])
    }
  })

  test('its records say the same again, and contradict a sum that was forged', async () => {
    await cp(room.path('cluster'), room.path('forged'), { recursive: true })
    const path = join(room.path('forged'), 'summary.json')
    const summary = JSON.parse(await readFile(path, 'utf8')) as Summary
    const parts = summary.parts.map(part =>
      part.name === '20 rounds over http' ? { ...part, outcomes: { ...part.outcomes, granted: 721 } } : part,
    )
    await writeFile(path, sealed({ ...summary, parts }).text)
    const forged = await auditResult(await openResult(room.path('forged')))
    // All the others are as they were, the sum of the other transport among them.
    expect(
      forged.parts.slice(0, -1).filter(({ audit, differences }) => audit?.ok === false || differences.length > 0),
    ).toEqual([])
    expect(resultLines(forged)).toContain('✓ 20 rounds over stream: it counts what its 20 parts count')
    expect([forged.ok, forged.parts.at(-1)?.differences]).toEqual([false, [expect.stringContaining('outcomes: ')]])
  })
})

test('twenty rounds on one Redis over TCP', { timeout: BENCH_PATIENCE_MS }, async () => {
  const flags = ['--redis', 'tcp', '--transport', 'stream', '--record', 'none', '--out', room.path('one')]
  const { code, stdout } = await room.run([...SMALL, '--connections', '16', ...flags])
  const { parts } = await room.summary('one')
  const raised = '--connections 16 became 20: each of the 20 rounds has as many as the others, and one at least'
  expect(parts.at(-1)).toMatchObject({ settings: { connections: 20 }, notes: expect.arrayContaining([raised]) })
  expect(stdout).toContain(`  ! ${raised}\n`)
  expect([code, parts.length]).toEqual([0, ROUNDS + 1])
  expect(stdout).toContain('engine: started by the bench, on one Redis over TCP\n')
  expect(
    parts
      .at(-1)
      ?.figures.map(({ name }) => name)
      .filter(name => /^redis|shard/.test(name)),
  ).toEqual(['redis cpu', 'redis resident', 'redis memory a grant'])
})

test('a bench that was killed leaves neither servers nor an engine', { timeout: BENCH_PATIENCE_MS }, async () => {
  let left: number[] = []
  const flags = [
    '--scenario',
    'drain',
    '--scale',
    '2',
    '--cluster',
    '1',
    '--redis',
    'tcp',
    '--out',
    room.path('killed'),
  ]
  await room.run(flags, (text, bench) => {
    if (left.length > 0 || !/[1-9]\d* answered/.test(text)) return
    left = treeOf(bench.pid as number).map(({ pid }) => pid)
    bench.kill('SIGKILL')
  })
  expect(left.length).toBeGreaterThan(3)
  await untilGone(left)
})

test('wishes that cannot be are refused by their name', () => {
  const wrong: [string[], string][] = [
    [['--cluster', '0'], '--cluster is a whole number from 1 to 16; not "0"'],
    [['--cluster', '2.5'], '--cluster is a whole number from 1 to 16; not "2.5"'],
    [['--cluster', 'three'], '--cluster is a whole number from 1 to 16; not "three"'],
    [['--cluster', '17'], '--cluster is a whole number'],
    [['--cluster', '3', '--url', 'http://h', '--key', 'k'], '--cluster is for an engine that the bench starts'],
    [['--redis', 'tcp', '--url', 'http://h', '--key', 'k'], '--redis is for an engine that the bench starts'],
    [['--cluster', '3', '--mode', 'engine'], '--mode engine looks inside'],
    [['--cluster', '3', '--redis', 'embedded'], '--redis embedded is the other one'],
    [['--redis', 'socket'], '--redis may be embedded, tcp'],
  ]
  for (const [args, words] of wrong) {
    expect(() => parseOptions(args)).toThrow(UsageError)
    expect(() => parseOptions(args)).toThrow(words)
  }
  expect(parseOptions(['--cluster', '3', '--redis', 'tcp', '--mode', 'http'])).toMatchObject({
    cluster: 3,
    redis: 'tcp',
  })
  expect(parseOptions([])).toMatchObject({ cluster: undefined, redis: 'embedded' })
})

test('the plan of a round: nine of ten get a pack, and each round has its part of the connections', () => {
  const sizes = (args: string[], transport: 'http' | 'stream') => {
    const { plan, connections } = roundRun(parseOptions(['--scenario', 'rounds', ...args]), transport)
    return [plan.sizes.people, plan.sizes.stock, connections]
  }
  expect(sizes([], 'stream')).toEqual([10_000, 9000, 1])
  expect(sizes([], 'http')).toEqual([2500, 2250, 20])
  expect(sizes(['--scale', '1', '--connections', '41'], 'http')).toEqual([50_000, 45_000, 3])
  expect(sizes(['--scale', '0.00001'], 'stream')).toEqual([2, 2, 1])
})

test('shares of shards differ by one at most and are all rounds', () => {
  expect([sharesOf(20, 3), sharesOf(20, 1), sharesOf(20, 8)]).toEqual([[7, 7, 6], [20], [3, 3, 3, 3, 2, 2, 2, 2]])
  expect(sharesOf(2, 3)).toEqual([1, 1, 0])
})
