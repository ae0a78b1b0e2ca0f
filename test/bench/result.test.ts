/**
 * What becomes of a run's records: the rates, the merged histograms, the page, the comparison, the flags.
 *
 * Records are made by hand with figures that can be checked in the head. The whole way from a real run to a folder is
 * the business of run.test.ts.
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { History, NO_ANSWER } from '../../bench/audit/history.ts'
import { compareSummaries } from '../../bench/compare.ts'
import { median, ratioOfMedians } from '../../bench/measure/bootstrap.ts'
import { drawChart, roundStep, thinned } from '../../bench/measure/chart.ts'
import { Latency, mergeLatencies } from '../../bench/measure/latency.ts'
import { machineCard } from '../../bench/measure/machine.ts'
import { costBetween, treeOf } from '../../bench/measure/process-cost.ts'
import { reportPage } from '../../bench/measure/report-page.ts'
import { figure, type PartResult, SCHEMA, type Summary } from '../../bench/measure/result.ts'
import { partLines, runLines } from '../../bench/measure/result-text.ts'
import { readStory } from '../../bench/measure/story.ts'
import { mergeTimelines, Timeline } from '../../bench/measure/timeline.ts'
import { helpText, nearest, parseOptions, UsageError } from '../../bench/stage/options.ts'
import { CODES } from '../../engine/base/codes.ts'

const row = (user: number, outcome: number, sequence: number, answered: number) => ({
  sent: answered - 1000,
  answered,
  user,
  sequence,
  vouchers: 0,
  connection: 0,
  slot: 1,
  pool: 0,
  outcome,
})

test('the story counts a grant once, at its first answer, and drains from the first to the last', () => {
  const history = new History()
  history.push(row(1, CODES.granted.number, 1, 1_000_000))
  history.push(row(1, CODES.replayed.number, 1, 900_000))
  history.push(row(2, CODES.granted.number, 2, 1_900_000))
  history.push(row(3, CODES.sold_out.number, 0, 2_000_000))
  history.push({ ...row(4, NO_ANSWER, 0, 0), sent: 1_000_000, answered: Number.POSITIVE_INFINITY })
  const timeline = new Timeline()
  const story = readStory(history, 2, timeline, 500_000)
  expect(story).toMatchObject({ decisions: 4, grants: 2, repeated: 1, unanswered: 1, drainS: 1, decisionsInDrain: 3 })
  expect(story.spanS).toBeCloseTo((2_000_000 - 899_000) / 1e6)
  expect(story.outcomes).toEqual({ granted: 2, replayed: 1, sold_out: 1, no_answer: 1 })
  const rows = timeline.rows(2)
  expect(rows.filter(({ granted }) => granted > 0).map(({ second, remaining }) => [second, remaining])).toEqual([
    [0.4, 1],
    [1.4, 0],
  ])
  expect(rows.at(-1)).toMatchObject({ second: 1.5, refused: 1, remaining: 0 })
})

test('timelines of several generators add up, holes included', () => {
  const one = new Timeline()
  const two = new Timeline()
  one.count('sent', 250_000, 5)
  two.count('sent', 250_000, 7)
  two.count('sent', 50_000, 1)
  one.inFlight(250_000, 5)
  one.inFlight(260_000, 3)
  two.inFlight(250_000, 7)
  const sum = mergeTimelines([one.columns, two.columns])
  expect(sum.rows(0).map(({ sent }) => sent)).toEqual([1, 0, 12])
  expect(sum.inFlightMax).toBe(12)
})

test('histograms merge without loss, clamp what is out of range, and print a distribution', () => {
  const parts = [new Latency(), new Latency()]
  for (let us = 1; us <= 1000; us++) parts[us % 2]!.record(us)
  parts[0]!.record(-5)
  parts[1]!.record(1e12)
  const sum = mergeLatencies(parts.map(part => part.encode()))
  expect(sum.count).toBe(1002)
  expect(sum.at(50)).toBeGreaterThan(495)
  expect(sum.at(50)).toBeLessThan(505)
  expect(sum.summary().max_us).toBeGreaterThan(299_000_000)
  expect(sum.toHgrm()).toContain('#[Mean')
  expect(new Latency().summary()).toEqual({ count: 0, p50_us: 0, p90_us: 0, p99_us: 0, p999_us: 0, max_us: 0 })
})

test('the bootstrap sees a difference that is there and none that is not', () => {
  const quiet = [100, 101, 99, 100, 102, 98, 100]
  const faster = quiet.map(value => value * 1.2)
  expect(ratioOfMedians(quiet, faster).low).toBeGreaterThan(1.1)
  const same = ratioOfMedians(quiet, [...quiet].reverse())
  expect([same.ratio, same.low <= 1, same.high >= 1]).toEqual([1, true, true])
  expect([median([]), median([3, 1, 2]), median([4, 1, 2, 3])]).toEqual([0, 2, 2.5])
})

function partWith(grantsPerS: number, extra: Partial<PartResult> = {}): PartResult {
  return {
    name: 'release <stream>',
    settings: { scale: 0.1 },
    audit: { ok: true, lines: ['✓ audit: one story'] },
    figures: [figure('grants', grantsPerS, 'grants/s', 'higher'), figure('in flight, most', grantsPerS, 'claims')],
    latencies: { 'latency-from-send': { count: 1, p50_us: 1, p90_us: 2, p99_us: 3, p999_us: 4, max_us: 5 } },
    outcomes: { granted: 1 },
    timeline: [],
    notes: [],
    problems: [],
    ...extra,
  }
}

const machine = machineCard()
const summaryOf = (part: PartResult): Summary => ({
  schema: SCHEMA,
  command: 'npm run bench',
  seed: 1,
  machine,
  tree: { version: '0.1.0', commit: 'c0ffee'.padEnd(40, '0'), dirty: true },
  engine: 'started by the bench',
  ended: 'complete',
  parts: [part],
  files: {},
  seal: '',
})

test('compare marks what got worse, and says nothing with too few runs', () => {
  const before = [100, 101, 99, 100, 102].map(value => summaryOf(partWith(value)))
  const after = [80, 81, 79, 80, 82].map(value => summaryOf(partWith(value)))
  const { lines, worse } = compareSummaries(before, after)
  expect(worse).toBe(true)
  expect(lines.filter(line => line.startsWith('✗'))).toHaveLength(1)
  expect(lines.filter(line => line.startsWith('~'))).toHaveLength(1)
  expect(compareSummaries(after, before)).toMatchObject({ worse: false })
  const few = compareSummaries(before.slice(0, 2), after.slice(0, 2))
  expect([few.worse, few.lines[0]?.includes('--repeat')]).toEqual([false, true])
  expect(lines.join('\n')).toMatch(/×[\d.]+ \[[\d.]+, [\d.]+\]/)
  expect(few.lines.slice(1).join()).not.toContain('[')
})

test('a report of a long run is one small page that loads nothing and escapes what it shows', () => {
  const timeline = Array.from({ length: 6000 }, (_, bin) => {
    return {
      second: bin / 10,
      sent: bin * 7,
      granted: bin % 900,
      refused: bin * 3,
      in_flight: bin,
      remaining: 6000 - bin,
    }
  })
  const page = reportPage({
    ...summaryOf(partWith(1, { timeline })),
    parts: [partWith(1, { timeline }), partWith(2, { timeline })],
  })
  expect(Buffer.byteLength(page)).toBeLessThan(300_000)
  expect(page).toContain('release &#60;stream&#62;')
  expect(page.match(/<svg/g)).toHaveLength(8)
  expect(page).not.toMatch(/<script|src=|href=|url\(|https?:/)
  expect(page.indexOf('verdict')).toBeLessThan(page.indexOf('<svg'))
})

test('a void part is the first thing that is said of it', () => {
  const part = partWith(1, { audit: { ok: false, lines: ['✗ audit: VOID'] }, problems: ['the run is VOID'] })
  expect(partLines(part)[0]).toBe('✗ release <stream>')
  expect(runLines(summaryOf(part))).toContain(
    'program: fairgrab 0.1.0, commit c0ffee000000, with changes that are not committed; engine: started by the bench',
  )
  expect(reportPage(summaryOf(part))).toContain('✗ VOID')
})

test('charts keep peaks when they thin, step in round numbers, and draw nothing of nothing', () => {
  const points = Array.from({ length: 5000 }, (_, x) => [x, x === 4321 ? 99 : 1] as const)
  expect(thinned(points).length).toBeLessThanOrEqual(1000)
  expect(thinned(points)).toContainEqual([4321, 99])
  expect([roundStep(10), roundStep(7), roundStep(0.3), roundStep(99_000)]).toEqual([2, 2, 0.1, 20_000])
  expect(drawChart({ title: 't', x: 'x', y: 'y', series: [{ name: 'n', points: [] }] })).toBe('')
})

test('the cost of a tree of processes is read from /proc, children included', async () => {
  const spin = 'while (process.cpuUsage().user < 200_000); process.send("spun"); setInterval(() => {}, 1000)'
  const before = treeOf(process.pid)
  const child = spawn(process.execPath, ['-e', spin], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  await once(child, 'message')
  const use = costBetween(before, treeOf(process.pid))
  child.kill()
  await once(child, 'exit')
  expect(use[0]).toMatchObject({ pid: process.pid, name: 'supervisor' })
  const spun = use.find(({ pid }) => pid === child.pid)
  expect(spun?.cpuUs).toBeGreaterThan(100_000)
  expect(spun?.rssBytes).toBeGreaterThan(10_000_000)
})

test('a flag that the scenario does not use is refused by its name', () => {
  const wrong: [string, string][] = [
    [
      '--scenario rounds --seconds 3',
      '--seconds is not used by --scenario rounds at the pace max; add --pace real, or leave it out',
    ],
    ['--seconds 3', '--seconds is not used by --scenario release, which takes --profile, --scale, --transport, '],
    [
      '--scenario redeem --frame 8',
      '--frame is not used by --scenario redeem, which takes --scale, --connections; leave it out',
    ],
    ['--scenario in-flight --transport http', '--transport is not used by --scenario in-flight'],
    ['--scenario viewers --mode http', '--mode http is not used by --scenario viewers'],
    ['--scenario drain --profile wuhan', '--profile is not used by --scenario drain'],
    ['--window-ms 50', '--window-ms is not used without --allocation window; add that, or leave it out'],
    [
      '--mode script --connections 4',
      '--connections is not used by --mode script, which takes --scale, --frame, --window; leave it out',
    ],
    ['--mode draw --scenario drain', '--scenario is not used by --mode draw'],
    ['--mode engine --workers 2', '--workers is not used by --mode engine'],
  ]
  for (const [line, words] of wrong) {
    expect(() => parseOptions(line.split(' '))).toThrow(UsageError)
    expect(() => parseOptions(line.split(' '))).toThrow(words)
  }
  for (const line of [
    '--scenario rounds --pace real --seconds 3',
    '--scenario viewers --seconds 3',
    '--mode stream --frame 8',
  ])
    expect(parseOptions(line.split(' '))).toMatchObject({ help: false })
})

test('flags are checked one by one, and a wrong one names the nearest', () => {
  expect(parseOptions(['--profile', 'scarce', '--scale=0.5', '--mode', 'http'])).toMatchObject({
    profile: 'scarce',
    scale: 0.5,
    transport: 'http',
    pace: 'max',
  })
  expect(parseOptions([], { FAIRGRAB_URL: 'http://h', FAIRGRAB_KEY: 'k' })).toMatchObject({ url: 'http://h', key: 'k' })
  const wrong: [string[], string][] = [
    [['--profle', 'x'], '--profle is unknown; the nearest is --profile'],
    [['--profile', 'hangzou'], 'nearest: hangzhou'],
    [['--scale', '0'], '--scale is a number'],
    [['--scale', 'many'], '--scale is a number'],
    [['--seed'], '--seed needs a value'],
    [['--url', 'http://h'], '--url needs --key'],
    [['--key', 'k'], '--key is for --url'],
    [['stray'], '"stray" is not a flag'],
    [['--allocation', 'window', '--scenario', 'drain'], 'is for the scenario release'],
  ]
  for (const [args, words] of wrong) {
    expect(() => parseOptions(args)).toThrow(UsageError)
    expect(() => parseOptions(args)).toThrow(words)
  }
  expect(nearest('redem', ['release', 'redeem'])).toBe('redeem')
  expect(helpText().match(/^ {2}npm run bench/gm)?.length).toBeGreaterThanOrEqual(2)
})
