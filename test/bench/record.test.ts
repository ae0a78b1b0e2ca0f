/**
 * A summary that was sealed anew by somebody who knows how: what the record and the other files of the folder contradict
 * is named, and what they cannot contradict is known.
 *
 * One real run, kept twice over (over the stream and over HTTP), is forged one thing at a time.
 */
import { cp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { History } from '../../bench/audit/history.ts'
import { auditResult, resultLines } from '../../bench/audit-again.ts'
import { keptBytes, keptJson, markOf } from '../../bench/measure/kept-files.ts'
import type { PartResult, Summary } from '../../bench/measure/result.ts'
import { openResult, sealed } from '../../bench/record/seal.ts'
import { CODES } from '../../engine/base/codes.ts'
import { BENCH_PATIENCE_MS, BenchRoom } from '../support/bench-room.ts'

const room = new BenchRoom()
afterAll(() => room[Symbol.asyncDispose]())
const sound = room.path('sound')

beforeAll(async () => {
  expect((await room.run(['--scale', '0.001', '--processes', '2', '--out', sound])).code).toBe(0)
}, BENCH_PATIENCE_MS)

type Forge = (folder: string, summary: Summary) => Summary | undefined | Promise<Summary | undefined>

/** Forges a copy of the sound result, makes all its hashes and the seal anew, and audits it. */
async function audited(forge: Forge) {
  const folder = room.path('forged')
  await rm(folder, { recursive: true, force: true })
  await cp(sound, folder, { recursive: true })
  const before = JSON.parse(await readFile(join(folder, 'summary.json'), 'utf8')) as Summary
  const after = (await forge(folder, before)) ?? before
  const names = Object.keys(after.files)
  const marks = await Promise.all(names.map(name => markOf(join(folder, name))))
  const files = Object.fromEntries(names.map((name, place) => [name, marks[place]!]))
  await writeFile(join(folder, 'summary.json'), sealed({ ...after, files }).text)
  const result = await auditResult(await openResult(folder))
  return { ok: result.ok, told: resultLines(result).filter(line => /[✗!]/.test(line)) }
}

/** Changes the part over HTTP, which is the second one. */
const partly =
  (change: (part: PartResult) => Partial<PartResult>): Forge =>
  (_, summary) => ({
    ...summary,
    parts: summary.parts.map((part, n) => (n === 1 ? { ...part, ...change(part) } : part)),
  })
const figureOf = (part: PartResult, name: string, value: number): Partial<PartResult> => ({
  figures: part.figures.map(figure => (figure.name === name ? { ...figure, value } : figure)),
})
const latencyOf = (part: PartResult, change: object): Partial<PartResult> => ({
  latencies: { ...part.latencies, 'latency-from-send': { ...part.latencies['latency-from-send']!, ...change } },
})
const rowsOf = (part: PartResult, change: (row: PartResult['timeline'][number], place: number) => object) => ({
  timeline: part.timeline.map((row, place) => ({ ...row, ...change(row, place) })),
})
const append =
  (name: string, text: string): Forge =>
  async folder => {
    await writeFile(join(folder, name), (await readFile(join(folder, name), 'utf8')) + text)
    return undefined
  }
const without = ({ files, ...summary }: Summary, folder: string): Summary => ({
  ...summary,
  files: Object.fromEntries(Object.entries(files).filter(([name]) => !name.startsWith(folder))),
})

test('the result as it is has nothing against it', async () => {
  expect(await audited(() => undefined)).toEqual({ ok: true, told: [] })
})

describe('a summary that its record contradicts', () => {
  const AUDIT_LINE = 7
  test.each<[string, Forge, string]>([
    [
      'people',
      partly(({ settings }) => ({ settings: { ...settings, people: 94_000 } })),
      'people: the summary says 94000',
    ],
    [
      'stock',
      partly(({ settings }) => ({ settings: { ...settings, stock: 75_000 } })),
      'stock: the summary says 75000',
    ],
    [
      'connections',
      partly(({ settings }) => ({ settings: { ...settings, connections: 2 } })),
      'connections: the summary says 2, the record has number',
    ],
    [
      'count of latencies',
      partly(part => latencyOf(part, { count: 1 })),
      'latency-from-send: the summary says {"count":1,',
    ],
    ['p99', partly(part => latencyOf(part, { p99_us: 1 })), 'latency-from-send: the summary says'],
    [
      'figure of a latency',
      partly(part => figureOf(part, 'latency from send p50', 0.1)),
      'latency from send p50: the sum',
    ],
    ['distribution', append('latency-from-send-2.hgrm', ' '), 'latency-from-send-2.hgrm: it is not what'],
    ['csv', append('timeline-2.csv', '9,1,1,1,1,1\n'), 'timeline-2.csv: it is not what'],
    [
      'grants of a tenth',
      partly(part => rowsOf(part, (row, place) => (place === 3 ? { granted: row.granted + 1000 } : {}))),
      'timeline: the summary says',
    ],
    [
      'remaining',
      partly(part => rowsOf(part, (_, place) => (place === 2 ? { remaining: 1 } : {}))),
      'timeline: at 0.2 s',
    ],
    [
      'claims that moved',
      partly(({ timeline }) => ({ timeline: timeline.map((row, n) => ({ ...row, sent: timeline.at(-1 - n)!.sent })) })),
      'timeline: the moments of the record do not fit',
    ],
    [
      'a line of the audit',
      partly(({ audit }) => ({ audit: { ok: true, lines: audit!.lines.toSpliced(AUDIT_LINE, 1) } })),
      'audit: the summary lacks the line: ✓ I10-outcomes',
    ],
    [
      'a mark of another program’s audit',
      (folder, { tree, ...summary }) =>
        partly(({ audit }) => ({
          audit: { ok: true, lines: audit!.lines.map(line => line.replace('– I6-version', '✓ I6-version')) },
        }))(folder, { ...summary, tree: { ...tree, version: '0.0.1' } }),
      'audit, I6-version: the summary says "✓", the record gives "–"',
    ],
    [
      'a part twice',
      (_, run) => ({ ...run, parts: [...run.parts, run.parts[1]!] }),
      'the part hangzhou over http stands twice',
    ],
    [
      'a record outside',
      partly(() => ({ record: '../sound/record-2' })),
      'record: the summary names "../sound/record-2"',
    ],
    ['the record of another part', partly(() => ({ record: 'record-1' })), 'record: the summary names "record-1"'],
    ['no record, by null', partly(() => ({ record: null as unknown as string })), 'record: the summary names null'],
    [
      'a record that is not named',
      (_, summary) => ({
        ...summary,
        parts: summary.parts.map(({ record, ...part }, n) => (n === 0 ? { ...part, record: record! } : part)),
      }),
      'record: record-2 is in the folder, the summary does not name it',
    ],
    [
      'a record that is gone',
      async (folder, summary) => {
        await rm(join(folder, 'record-2'), { recursive: true })
        const parts = summary.parts.map(({ record, ...part }, n) => (n === 0 ? { ...part, record: record! } : part))
        return without({ ...summary, parts }, 'record-2/')
      },
      'record: record-2 is missing, other parts have theirs',
    ],
    [
      'a record that is not sealed',
      (_, summary) => without(summary, 'record-2/history'),
      'record: record-2/history.bin.gz is not among the files that were sealed',
    ],
    [
      'a torn record',
      async folder => {
        const bytes = await keptBytes(join(folder, 'record-2'), 'history.bin')
        await writeFile(join(folder, 'record-2/history.bin.gz'), gzipSync(bytes.subarray(0, -29)))
        return undefined
      },
      'record: record-2 cannot be held against the summary: The record of',
    ],
    [
      'the distributions of two parts',
      async folder => {
        await rename(join(folder, 'latency-from-send-1.hgrm'), join(folder, 'other'))
        await rename(join(folder, 'latency-from-send-2.hgrm'), join(folder, 'latency-from-send-1.hgrm'))
        await rename(join(folder, 'other'), join(folder, 'latency-from-send-2.hgrm'))
        return undefined
      },
      'latency-from-send-1.hgrm: it is not what',
    ],
  ])('%s', async (_, forge, words) => {
    const { ok, told } = await audited(forge)
    expect([ok, told.join('\n')]).toEqual([false, expect.stringContaining(`  ✗ ${words}`)])
  })

  test('how the run ended is said, since nothing but the seal stands for it', async () => {
    const { ok, told } = await audited((_, summary) => ({ ...summary, ended: 'failed: ECONNREFUSED' }))
    expect([ok, told]).toEqual([true, ['! the run did not end: failed: ECONNREFUSED']])
  })
})

describe('a history that was changed', () => {
  /** Changes one row of the history over HTTP and audits. */
  const changed = (change: (history: History, row: (code: 'granted' | 'replayed' | 'sold_out') => number) => void) =>
    audited(async folder => {
      const history = new History(1)
      const bytes = await keptBytes(join(folder, 'record-2'), 'history.bin')
      history.append(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer)
      change(history, code => history.at.outcome.indexOf(CODES[code].number, 200))
      await writeFile(join(folder, 'record-2/history.bin.gz'), gzipSync(new Uint8Array(history.toBuffer())))
      return undefined
    })

  test.each<[string, Parameters<typeof changed>[0], string]>([
    [
      'who asked',
      ({ at }, row) => {
        at.user[row('granted')]! ^= 1
      },
      'I3-acked',
    ],
    [
      'a sequence',
      ({ at }, row) => {
        at.sequence[row('replayed')]! ^= 1
      },
      'I3-acked',
    ],
    [
      'a sequence of a refusal',
      ({ at }, row) => {
        at.sequence[row('sold_out')]! ^= 1
      },
      'H-record',
    ],
    [
      'vouchers told twice',
      ({ at }, row) => {
        at.vouchers[row('replayed')]! ^= 1
      },
      'I9-vouchers',
    ],
    [
      'vouchers of a refusal',
      ({ at }, row) => {
        at.vouchers[row('sold_out')]! ^= 1
      },
      'H-record',
    ],
    [
      'a slot of a refusal',
      ({ at }, row) => {
        at.slot[row('sold_out')]! ^= 4
      },
      'somebody asked for slot 5',
    ],
    [
      'a connection of no generator',
      ({ at }, row) => {
        at.connection[row('granted')]! ^= 1 << 14
      },
      'connections: the summary says',
    ],
    [
      'a slot',
      ({ at }, row) => {
        at.slot[row('granted')]! ^= 4
      },
      'I3-acked',
    ],
    [
      'a pool',
      ({ at }, row) => {
        at.pool[row('sold_out')]! ^= 1
      },
      'H-record',
    ],
    [
      'an outcome',
      ({ at }, row) => {
        at.outcome[row('replayed')] = CODES.granted.number
      },
      'I9-once',
    ],
    [
      'a connection',
      ({ at }, row) => {
        at.connection[row('granted')]! ^= 512
      },
      'connections: the summary says',
    ],
    [
      'another connection',
      ({ at }, row) => {
        at.connection[row('granted')]! ^= 1
      },
      'two claims at once on connection',
    ],
    [
      'when it was sent',
      ({ at }, row) => {
        at.sent[row('granted')]! -= 50_000
      },
      'latency-from-send',
    ],
    [
      'when it was answered',
      ({ at }, row) => {
        at.answered[row('sold_out')]! += 50_000
      },
      'latency-from-send',
    ],
    [
      'both moments',
      ({ at }, row) => {
        at.sent[row('sold_out')]! += 20_000_000
        at.answered[row('sold_out')]! += 20_000_000
      },
      'timeline: the moments of the record do not fit',
    ],
  ])('%s is found', async (_, change, words) => {
    const { ok, told } = await changed(change)
    expect([ok, told.join('\n')]).toEqual([false, expect.stringContaining(words)])
  })

  test('what nothing else in the folder knows is not: vouchers told once, less than a microsecond', async () => {
    const { people } = await keptJson<{ people: number }>(join(sound, 'record-2'), 'about.json')
    const { ok } = await changed(({ at, length }, row) => {
      const told = new Uint8Array(people)
      for (let i = 0; i < length; i++) told[at.user[i]!]!++
      const once = at.outcome.findIndex((code, i) => code === CODES.granted.number && told[at.user[i]!] === 1)
      at.vouchers[once]! ^= 1
      at.sent[row('sold_out')]! += 0.001
    })
    expect(ok).toBe(true)
  })
})
