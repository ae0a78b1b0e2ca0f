/**
 * Which runs `bench compare` refuses, and what it says beside a ratio: runs are made by hand, sealed as the bench seals
 * them, and compared; that the program does as much is shown in truth.test.ts.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { figure, type PartResult, SCHEMA, type Summary } from '../../bench/measure/result.ts'
import { sealed } from '../../bench/record/seal.ts'
import { BenchRoom } from '../support/bench-room.ts'

const room = new BenchRoom()
afterAll(() => room[Symbol.asyncDispose]())

const PART: PartResult = {
  name: 'hangzhou over http',
  settings: { scale: 0.1, transport: 'http', people: 940, stock: 750 },
  audit: { ok: true, lines: ['✓ audit: one story'] },
  figures: [figure('grants', 100, 'grants/s', 'higher')],
  latencies: {},
  outcomes: { granted: 750 },
  timeline: [],
  notes: [],
  problems: [],
}
const RUN: Summary = {
  schema: SCHEMA,
  command: 'fairgrab bench --scale 0.1 --out before',
  seed: 1,
  machine: {
    ...{ cpu: 'One', cores: 2, memory_gb: 24, kernel: 'Linux 6', node: 'v22', redis: 'redis-server 7.0.15' },
    ...{ load_before: 0, busy: false, taken_at: '2026-11-29T17:37:05.599Z' },
  },
  tree: { version: '0.1.0', commit: 'c0ffee'.padEnd(40, '0'), dirty: false },
  engine: 'started by the bench',
  ended: 'complete',
  parts: [PART],
  files: {},
  seal: '',
}
const partly = (change: Partial<PartResult>): Partial<Summary> => ({ parts: [{ ...PART, ...change }] })

/** Writes runs as `--repeat` does and gives their folder. */
async function written(name: string, ...runs: readonly Partial<Summary>[]): Promise<string> {
  for (const [place, run] of runs.entries()) {
    const folder = join(room.path(name), `run-${place + 1}`)
    await mkdir(folder, { recursive: true })
    await writeFile(join(folder, 'summary.json'), sealed({ ...RUN, ...run }).text)
  }
  return room.path(name)
}

const VOID = { ok: false, lines: ['✗ audit: the run is VOID'] }
test.each<[string, Partial<Summary>, string]>([
  ['a void run', partly({ audit: VOID }), 'hangzhou over http is VOID'],
  ['a run that failed', { ended: 'failed: ECONNREFUSED' }, 'did not end: failed: ECONNREFUSED'],
  ['a run that goes on', { ended: 'running' }, 'did not end: running'],
  ['a part that stands twice', { parts: [PART, PART] }, 'has the part hangzhou over http twice'],
  [
    'another load',
    partly({ settings: { ...PART.settings, people: 2, stock: 1 } }),
    '✗ hangzhou over http: people 940 before, 2 after\n✗ hangzhou over http: stock 750 before, 1 after',
  ],
  [
    'a setting that one side lacks',
    partly({ settings: { ...PART.settings, allocation: 'strict' } }),
    'allocation none before, strict after',
  ],
  ['no part in common', partly({ name: 'else' }), 'no part was run before and after'],
])('%s is refused by name, on either side', async (what, change, words) => {
  const [sound, other] = [await written(`${what} sound`, RUN), await written(`${what} other`, change)]
  expect(await room.look(['compare', sound, other])).toMatchObject({
    ...{ code: 99, stdout: '' },
    stderr: expect.stringContaining(words),
  })
  expect(await room.look(['compare', other, sound])).toMatchObject({ code: 99, stdout: '' })
})

test('one run that stands for five is refused', async () => {
  const seeds = [1, 2, 3, 4].map(seed => ({ seed }))
  const [sound, other] = [await written('five', ...seeds, { seed: 5 }), await written('copied', ...seeds, { seed: 4 })]
  expect(await room.look(['compare', sound, other])).toMatchObject({
    code: 99,
    stderr: expect.stringMatching(/run-5 is .*run-4 once more/),
  })
  expect((await room.look(['compare', sound, sound])).code).toBe(0)
})

test('what only colours a ratio is said in a line each, and nothing is said of runs that are alike', async () => {
  const sound = await written('plain', RUN)
  const coloured = await written('coloured', {
    machine: { ...RUN.machine, cpu: 'Other', cores: 64, busy: true },
    tree: { ...RUN.tree, commit: 'f'.repeat(40), dirty: true },
    command: 'fairgrab bench --scale 0.1 --out after --durability memory',
    parts: [
      { ...PART, notes: ['pace max is a closed loop', 'ENGINE OVERLOADED: 3 claims were shed'], problems: ['unfair'] },
      { ...PART, name: 'else' },
    ],
  })
  const { code, stdout } = await room.look(['compare', sound, coloured])
  const run = join(coloured, 'run-1')
  expect([code, stdout.split('\n').filter(line => line.startsWith('!'))]).toEqual([
    0,
    [
      '! program fairgrab 0.1.0, commit c0ffee000000 before, fairgrab 0.1.0, commit ffffffffffff after',
      '! command fairgrab bench --scale 0.1 before, fairgrab bench --scale 0.1 --durability memory after',
      '! cpu One before, Other after',
      '! cores 2 before, 64 after',
      `! ${run} had changes that are not committed`,
      `! ${run} began on a busy machine`,
      `! ${run} hangzhou over http: unfair`,
      `! ${run} hangzhou over http: ENGINE OVERLOADED: 3 claims were shed`,
      '! else was run after only',
    ],
  ])
  expect(stdout).toContain('×1.000')
  const alike = await written('alike', { command: 'fairgrab bench --scale 0.1 --out alike --repeat 1' })
  expect((await room.look(['compare', sound, alike])).stdout).not.toContain('!')
})
