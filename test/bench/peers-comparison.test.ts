/**
 * What bench/peers concludes: when a run is void, what a ratio is taken of, what wrk's report means, what the
 * arguments ask for.
 *
 * The rules that void a run are given runs that must be void, one fault each, because a check of exactness that
 * cannot fail would wave every figure through. The generator's user ids are read off the wire by a real server
 * while a real wrk drives it: that all are different is what every grant count of the bench rests on.
 */

import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { compare, spreadOf, table } from '../../bench/peers/comparison.ts'
import { CONTENDERS } from '../../bench/peers/contenders.ts'
import { readWrk, wrk } from '../../bench/peers/load.ts'
import { disagreements, type Run } from '../../bench/peers/measurement.ts'
import { readOrder } from '../../bench/peers/order.ts'

const runFile = promisify(execFile)

const answered = (claims: number, granted: number | null) => ({ claims, granted })

test.each([
  ['all counted', answered(1000, 1000), 1000, 'granted'],
  ['one in flight on each connection', answered(1000, 1000), 1256, 'granted'],
  ['a floor that keeps nothing', answered(1000, 1000), null, 'granted'],
  ['a generator that reads no answers', answered(1000, null), 1010, 'granted'],
  ['everyone refused', answered(1000, 0), 0, 'sold_out'],
] as const)('a right run is not void: %s', (_, driven, kept, state) => {
  expect(disagreements(driven, kept, state, 256)).toEqual([])
})

test.each([
  ['a phantom win', answered(1000, 1000), 999, 'granted'],
  ['more grants than were in flight', answered(1000, 1000), 1257, 'granted'],
  ['a refusal while there was stock', answered(1000, 999), 1000, 'granted'],
  ['a grant after the end', answered(1000, 1), 1, 'sold_out'],
  ['a grant after the end that nobody was told of', answered(1000, 0), 1, 'sold_out'],
  ['no answers', answered(0, 0), 0, 'granted'],
] as const)('a planted fault voids the run: %s', (_, driven, kept, state) => {
  expect(disagreements(driven, kept, state, 256)).not.toEqual([])
})

const quiet = {
  requests: 1000,
  seconds: 2,
  cpu_s: 1.9,
  above_399: 10,
  socket_errors: 0,
  timeouts: 0,
  created: 980,
  refused: 10,
  strange: 0,
  strange_status: 0,
} as const

test("wrk's report is read by what was asked of it", () => {
  expect(readWrk(quiet, { tally: false, threads: 1 })).toMatchObject({
    granted: 990,
    generatorFull: 0.95,
    troubles: [],
  })
  expect(readWrk(quiet, { tally: true, threads: 2 })).toMatchObject({ granted: 980, generatorFull: 0.475 })
})

test.each(['socket_errors', 'timeouts', 'strange'] as const)('%s in wrk are a trouble', name => {
  expect(readWrk({ ...quiet, [name]: 1 }, { tally: true, threads: 1 }).troubles).toHaveLength(1)
})

function run(contender: string, round: number, claimsPerS: number, serverUs: number, troubles: string[] = []): Run {
  const generator = { generatorUs: 5, generatorShare: 0.2, generatorLimited: false, othersShare: 0 }
  const grants = { claims: 10, grantsCounted: 10, grantsKept: 10 }
  return { contender, round, claimsPerS, serverUs, redisUs: 2, ...generator, ...grants, troubles }
}

const pair = CONTENDERS.filter(({ name }) => name === 'fairgrab' || name === 'nginx-1')

test('ratios are taken inside each round, and only then summarised', () => {
  const runs = [
    run('fairgrab', 1, 100, 8),
    run('nginx-1', 1, 50, 38),
    run('fairgrab', 2, 10, 18),
    run('nginx-1', 2, 20, 18),
  ]
  const rival = compare(pair, runs)[1]
  expect(rival?.rate).toEqual({ median: 1.25, min: 0.5, max: 2 })
  expect(rival?.cpu).toEqual({ median: 2.5, min: 1, max: 4 })
})

test('a void run is counted, and is in no figure of either side', () => {
  const runs = [run('fairgrab', 1, 1e9, 8, ['a phantom win']), run('nginx-1', 1, 50, 38)]
  const [ours, rival] = compare(pair, runs)
  expect(ours).toMatchObject({ void: 1, claimsPerS: null })
  expect(rival).toMatchObject({ void: 0, rate: null, cpu: null })
  expect(table([ours!, rival!])).toMatch(/✗ 1 of 1 void[\s\S]*✓ 1$/)
})

test('a contender without a run has no tick and no figure', () => {
  const [ours] = compare(pair, [])
  expect(ours).toMatchObject({ runs: 0, claimsPerS: null, grantsCounted: null })
  expect(table([ours!])).toMatch(/✗ not measured$/)
})

test('the middle of an even number of values is between two of them', () => {
  expect(spreadOf([4, 1, 2, 3])).toEqual({ median: 2.5, min: 1, max: 4 })
  expect(spreadOf([])).toBeNull()
})

test('names are prefixes, numbers have bounds', () => {
  const order = readOrder(['--only', 'nginx-1,floor', '--rounds', '3'])
  expect(order?.rounds).toBe(3)
  expect(order?.contenders.every(({ name }) => /^(nginx-1|floor)/.test(name))).toBe(true)
  expect(readOrder([])?.contenders).toEqual(CONTENDERS)
  expect(readOrder(['--help'])).toBeNull()
})

test.each([
  ['--rounds', '0'],
  ['--seconds', '1.5'],
  ['--only', 'express'],
  ['--connections', '2', '--threads', '3'],
  ['--speed', '9'],
])('arguments that mean nothing are refused: %s %s', (...args) => {
  expect(() => readOrder(args)).toThrow()
})

test('each rival stands beside a row of ours with the same promise', () => {
  for (const { against, durability, state } of CONTENDERS.filter(row => row.against !== null)) {
    expect(CONTENDERS.find(({ name }) => name === against)).toMatchObject({ durability, state, against: null })
  }
})

test('every request of wrk is a different user, in a body of one length', async () => {
  const users = new Set<string>()
  const lengths = new Set<string | undefined>()
  let requests = 0
  const server = createServer((request, response) => {
    let text = ''
    request.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
    request.on('end', () => {
      requests += 1
      users.add((JSON.parse(text) as { user_id: string }).user_id)
      lengths.add(request.headers['content-length'])
      response.writeHead(requests % 2 === 0 ? 201 : 409).end()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const target = { url: `http://127.0.0.1:${address.port}/claims`, headers: {}, pids: [], granted: null }
  const pass = {
    seconds: 1,
    connections: 8,
    threads: 2,
    prefix: 'w',
    tally: true,
    signal: new AbortController().signal,
  }
  const driven = await wrk(target, pass)
  server.closeAllConnections()
  server.close()
  expect(driven.troubles).toEqual([])
  expect(driven.claims).toBeGreaterThan(0)
  expect(users.size).toBe(requests)
  expect(lengths.size).toBe(1)
  expect(requests - driven.claims).toBeLessThanOrEqual(pass.connections)
  expect(Math.abs((driven.granted ?? 0) - driven.claims / 2)).toBeLessThanOrEqual(pass.connections)
})

test('the command says what it can do, and refuses what it cannot', async () => {
  const command = ['bench/run.ts', 'peers']
  const { stdout } = await runFile(process.execPath, [...command, '--help'])
  expect(stdout).toContain('--rounds')
  await expect(runFile(process.execPath, [...command, '--rounds', 'many'])).rejects.toMatchObject({ code: 2 })
})
