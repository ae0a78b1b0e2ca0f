/**
 * A window that did not take entries when its rules said so fails its verification by name.
 *
 * Each row is a list of changes that the engine would sign under honest rules; all other checks have to pass, since the
 * operator has the key. Each is put before three verifiers that share no line: the engine's, the bench's and the browser's,
 * which have to agree. Then what an operator may do to the list itself: leave it out, change a time, sign it anew. What rules
 * of an older engine did not promise is told as not stated, never as kept.
 */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { statementOf } from '../../bench/audit/draw-bundle.ts'
import { DRAW_CHECKS, type DrawEvidence } from '../../bench/audit/draw-checks.ts'
import { runCheck } from '../../bench/audit/finding.ts'
import { stepFrom } from '../../engine/campaign/drawing/draw-files.ts'
import { windowChanges } from '../../engine/campaign/drawing/window-changes.ts'
import { type Commit, writeCommit } from '../../engine/draw/commitment.ts'
import { writeRules } from '../../engine/draw/rules.ts'
import { type Change, judgeTimes, lateness } from '../../engine/draw/times.ts'
import type { BundleFiles } from '../../engine/draw/verify/bundle.ts'
import { verifyBundle } from '../../engine/draw/verify/verification.ts'
import {
  changesOf,
  failuresOf,
  fixedEntries,
  goldenBundle,
  KEY,
  TIMED_CHANGES,
  TIMED_RULES,
  timedBundle,
  windowBundle,
} from '../support/draw-bundle.ts'

const { checkProof } = (await import(join(import.meta.dirname, '../../engine/dashboard/grab/draw-proof.js'))) as {
  checkProof(evidence: object): Promise<readonly { name: string; verdict: string; words: string }[]>
}
const read = (files: BundleFiles, name: string) => JSON.parse(String(files.get(name)))

/** What the bench's second implementation finds wrong with a window's times and with its signature. */
function benchFaults(files: BundleFiles): readonly string[] {
  const evidence = { draws: [statementOf(Object.fromEntries(files) as never)] } as unknown as DrawEvidence
  return DRAW_CHECKS.filter(({ id }) => ['D-rules', 'D-times', 'D-commit'].includes(id)).flatMap(check =>
    runCheck(check, evidence).ok ? [] : [check.id],
  )
}

/** The browser's rows for the commitment and its times. */
async function browserRows(files: BundleFiles) {
  const names = { rulesBytes: 'rules.json', commitBytes: 'commit.bytes' }
  const bytes = Object.fromEntries(Object.entries(names).map(([key, name]) => [key, files.get(name)]))
  const parts = { ...bytes, rules: read(files, 'rules.json'), commit: read(files, 'commit.json') }
  const rows = await checkProof({ receipt: {}, keys: [{ public_key: KEY.publicKey }], files: parts })
  return Object.fromEntries(rows.map(({ name, verdict, words }) => [name, { verdict, words }]))
}

/** The same verdict from the other two: whether the times hold, and whether the commitment does. */
async function expectAgreement(files: BundleFiles, failed: Readonly<Record<string, string>>): Promise<void> {
  const wrong = { rules: 'D-rules', times: 'D-times', signature: 'D-commit' }
  expect([...benchFaults(files)].sort()).toEqual(
    Object.entries(wrong)
      .flatMap(([name, id]) => (name in failed ? [id] : []))
      .sort(),
  )
  const { Commitment, Times } = await browserRows(files)
  expect(Times?.verdict).toBe('times' in failed ? 'fails' : 'holds')
  expect(Commitment?.verdict).toBe('rules' in failed || 'signature' in failed ? 'fails' : 'holds')
}

const timesOf = (files: BundleFiles) => verifyBundle(files).checks.find(({ name }) => name === 'times')
const CREATED = [
  ['create', '09:00:00.000'],
  ['window', '09:00:00.012'],
] as const
const OPENED = [...CREATED, ['open', '12:00:00.000']] as const
const ENDED = [
  ['close', '18:00:00.000'],
  ['draw', '18:00:00.090'],
] as const

test('a window that took entries as its rules say passes, and its line says from when to when', async () => {
  expect(failuresOf(timedBundle())).toEqual({})
  await expectAgreement(timedBundle(), {})
  expect(timesOf(timedBundle())?.detail).toBe('entries from 2026-12-01T12:00:00.000Z to 2026-12-01T18:00:00.000Z')
})

test.each<readonly [string, readonly Change[]]>([
  ['opened by hand before its time, for everybody', changesOf(...CREATED, ['open', '11:00:00.000'], ...ENDED)],
  ['opened a second late', changesOf(...CREATED, ['open', '12:00:01.000'], ...ENDED)],
  ['closed by hand when its time was over', changesOf(...OPENED, ['close', '18:00:00.050'], ['draw', '18:00:00.090'])],
  ['drawn without a close', changesOf(...OPENED, ['draw', '18:00:00.000'])],
  [
    'paused before its time and after it',
    changesOf(
      ...CREATED,
      ['open', '10:00:00.000'],
      ['pause', '10:30:00.000'],
      ['resume', '12:00:00.000'],
      ['pause', '18:00:00.000'],
      ['close', '18:30:00.000'],
      ['draw', '19:00:00.000'],
    ),
  ],
])('%s: within the rules', async (_, changes) => {
  expect(failuresOf(timedBundle(changes))).toEqual({})
  await expectAgreement(timedBundle(changes), {})
})

test('a worker whose clock is behind commits no list before its end', async () => {
  const made = await stepFrom('closed')?.make({
    files: { 'rules.json': timedBundle().get('rules.json') as Buffer },
    records: async () => fixedEntries(3),
    changes: async () => TIMED_CHANGES,
    at: '2026-12-01T18:00:00.010Z',
    key: KEY,
    secret: () => Buffer.alloc(32),
  })
  expect(JSON.parse(String(made?.['commit.json'])).commit.committed_at).toBe('2026-12-01T18:00:00.090Z')
})

test('a list that was committed before it was whole: its times fail, by name, in all three', async () => {
  const early = timedBundle(TIMED_CHANGES, TIMED_RULES, '2020-01-01T00:00:00.000Z')
  const failed = failuresOf(early)
  expect(failed).toEqual({
    times: expect.stringContaining('committed at 2020-01-01T00:00:00.000Z, before its list was'),
  })
  await expectAgreement(early, failed)
  const apart = timedBundle(TIMED_CHANGES, TIMED_RULES, '2026-12-01T17:59:59.090Z')
  expect(failuresOf(apart), 'two clocks of an older engine').toEqual({})
  await expectAgreement(apart, {})
})

test.each<readonly [string, readonly Change[], string]>([
  [
    'closed early',
    changesOf(...OPENED, ['close', '13:00:00.000'], ['draw', '18:00:00.090']),
    'ended early: entries ended at 2026-12-01T13:00:00.000Z, and the rules say 2026-12-01T18:00:00.000Z',
  ],
  [
    'closed a millisecond early',
    changesOf(...OPENED, ['close', '17:59:59.999'], ['draw', '18:00:00.090']),
    'ended early: entries ended at 2026-12-01T17:59:59.999Z',
  ],
  ['drawn early', changesOf(...OPENED, ['draw', '17:00:00.000']), 'ended early: entries ended at 2026-12-01T17:00:00'],
  [
    'paused until its end',
    changesOf(...OPENED, ['pause', '13:00:00.000'], ...ENDED),
    'ended early: entries ended at 2026-12-01T13:00:00.000Z',
  ],
  [
    'paused for a minute',
    changesOf(...OPENED, ['pause', '13:00:00.000'], ['resume', '13:01:00.000'], ...ENDED),
    'paused inside the window: from 2026-12-01T13:00:00.000Z to 2026-12-01T13:01:00.000Z',
  ],
  [
    'paused from before its time until after it',
    changesOf(
      ...CREATED,
      ['open', '11:00:00.000'],
      ['pause', '11:30:00.000'],
      ['resume', '12:00:00.001'],
      ['close', '18:00:00.000'],
      ['draw', '18:00:00.090'],
    ),
    'paused inside the window: from 2026-12-01T11:30:00.000Z to 2026-12-01T12:00:00.001Z',
  ],
  [
    'paused while its rules were published',
    changesOf(
      ['create', '09:00:00.000'],
      ['open', '11:00:00.000'],
      ['pause', '11:00:00.001'],
      ['window', '11:00:00.002'],
      ['resume', '14:00:00.000'],
      ...ENDED,
    ),
    'paused inside the window: from 2026-12-01T11:00:00.001Z to 2026-12-01T14:00:00.000Z',
  ],
  [
    'opened late by hand',
    changesOf(...CREATED, ['open', '12:00:01.001'], ...ENDED),
    'opened late: entries began at 2026-12-01T12:00:01.001Z, and the rules say 2026-12-01T12:00:00.000Z',
  ],
  [
    'made late',
    changesOf(['window', '11:59:59.000'], ['create', '12:30:00.000'], ['open', '12:30:00.000'], ...ENDED),
    'opened late: entries began at 2026-12-01T12:30:00.000Z',
  ],
  [
    'opened to entries late',
    changesOf(['create', '09:00:00.000'], ['open', '12:00:00.000'], ['window', '17:59:00.000'], ...ENDED),
    'opened late: entries began at 2026-12-01T17:59:00.000Z',
  ],
  ['without an opening', changesOf(...CREATED, ...ENDED), 'they do not say when the round was opened'],
  [
    'without the window',
    changesOf(['create', '09:00:00.000'], ['open', '12:00:00.000'], ...ENDED),
    'they do not say when this window was opened',
  ],
  ['without its draw', changesOf(...OPENED, ['close', '18:00:00.000']), 'they do not end with the one draw'],
  ['empty', [], 'they do not end with the one draw'],
  [
    'in another order',
    changesOf(...OPENED, ['close', '18:00:00.000'], ['draw', '17:00:00.000']),
    'change 5 is before the one that it follows',
  ],
])('%s: fails by name, and nothing else does', async (_, changes, words) => {
  const failures = failuresOf(timedBundle(changes))
  expect(Object.keys(failures)).toEqual(['times'])
  expect(failures.times).toContain(words)
  await expectAgreement(timedBundle(changes), failures)
})

test('rules that announce it let the operator end early, and pause no more than others', async () => {
  const rules = { ...TIMED_RULES, may_end_early: true }
  const closed = changesOf(...OPENED, ['close', '13:00:00.000'], ['draw', '18:00:00.090'])
  expect(failuresOf(timedBundle(closed, rules))).toEqual({})
  await expectAgreement(timedBundle(closed, rules), {})
  expect(timesOf(timedBundle(closed, rules))?.detail).toContain('ended early, as the rules said that it may')
  expect(timesOf(timedBundle(TIMED_CHANGES, rules))?.detail).not.toContain('early')
  const paused = changesOf(...OPENED, ['pause', '12:30:00.000'], ['resume', '12:31:00.000'], ['draw', '13:00:00.000'])
  expect(failuresOf(timedBundle(paused, rules)).times).toContain('paused inside the window')
  await expectAgreement(timedBundle(paused, rules), { times: '' })
})

/** Signs the commitment again, with something else in it. */
function recommitted(files: BundleFiles, change: (commit: Commit) => Commit): BundleFiles {
  const { commit } = JSON.parse(String(files.get('commit.json'))) as { commit: Commit }
  return new Map([...files, ...Object.entries(writeCommit(change(commit), KEY))])
}

const replaced = (files: BundleFiles, name: string, from: string, to: string): BundleFiles =>
  new Map(files).set(name, Buffer.from(String(files.get(name)).replace(from, to)))

const early = timedBundle(changesOf(...OPENED, ['close', '13:00:00.000'], ['draw', '18:00:00.090']))
const TIME = '13:00:00.000Z","change":"close'
const LATER = '18:00:00.000Z","change":"close'

test.each<readonly [string, BundleFiles, Readonly<Record<string, string>>]>([
  [
    'the times were taken out, signed anew',
    recommitted(early, ({ changes, ...rest }) => rest),
    { times: 'commit.json: states no changes of the window, which its rules demand' },
  ],
  [
    'a time was changed in both files',
    replaced(replaced(early, 'commit.json', TIME, LATER), 'commit.bytes', TIME, LATER),
    { signature: 'the signature over commit.bytes is not that of public_key' },
  ],
  [
    'a time was changed in commit.json',
    replaced(early, 'commit.json', TIME, LATER),
    { signature: 'commit.json: changes is [{"at":"2026-12-01T09:00:00.000Z"' },
  ],
  [
    'the end was changed in the rules',
    replaced(early, 'rules.json', '18:00:00', '13:00:00'),
    { rules: 'rules.json: has SHA-256' },
  ],
  [
    'the rules were made those of an older engine',
    replaced(early, 'rules.json', '"may_end_early":false,', ''),
    { rules: 'rules.json: has SHA-256', times: 'ended early' },
  ],
  [
    'the rules were made ones that announce it',
    replaced(early, 'rules.json', '"may_end_early":false', '"may_end_early":true'),
    { rules: 'rules.json: has SHA-256' },
  ],
  [
    'both were made those of an older engine, signed anew',
    recommitted(replaced(early, 'rules.json', '"may_end_early":false,', ''), ({ changes, ...rest }) => rest),
    { rules: 'rules.json: has SHA-256' },
  ],
])('%s: named', async (_, files, expected) => {
  const failures = failuresOf(files)
  expect(Object.keys(failures).sort()).toEqual(Object.keys(expected).sort())
  for (const [name, words] of Object.entries(expected)) expect(failures[name]).toContain(words)
  if ('times' in expected || read(files, 'commit.json').commit.changes) await expectAgreement(files, expected)
})

test('a bundle of an older engine passes, and its line says that the times are not stated', async () => {
  for (const files of [goldenBundle(), windowBundle()]) {
    expect(failuresOf(files)).toEqual({})
    expect(timesOf(files)?.detail).toMatch(/^NOT STATED: /)
    expect(benchFaults(files)).toEqual([])
    expect((await browserRows(files)).Times).toMatchObject({ verdict: 'not checked' })
  }
})

const ms = (text: string) => Date.parse(`2026-12-01T${text}Z`)
const ROUND = { opensAt: ms('12:00:00.000'), closesAt: ms('18:00:00.000') }
const logged = (kind: string, time: string, amount = 0) => ({ kind, at: ms(time), amount })

test('what the clock did stands among the changes, and the same log gives the same changes', () => {
  const log = [logged('create', '09:00:00.000'), logged('draw 0', '18:00:00.090', ms('09:00:00.012'))]
  expect(windowChanges(log, 0, ROUND)).toEqual(TIMED_CHANGES)
  expect(windowChanges([...log, logged('draw 1', '19:00:00.000')], 0, ROUND)).toEqual(TIMED_CHANGES)
  expect(() => windowChanges(log.slice(0, 1), 0, ROUND)).toThrow('no draw of window 0')
})

test('what was done by hand stands once, and a close that is to come not at all', () => {
  const log = [
    logged('create', '09:00:00.000'),
    logged('open', '11:00:00.000'),
    logged('restock 0', '11:30:00.000', 5),
    logged('close', '13:00:00.000'),
    logged('draw 0', '18:00:00.090', ms('11:00:00.004')),
  ]
  const made = windowChanges(log, 0, { opensAt: ms('11:00:00.000'), closesAt: ms('13:00:00.000') })
  expect(made.map(({ change }) => change)).toEqual(['create', 'open', 'window', 'close', 'draw'])
  const drawn = windowChanges([log[0], log[4]] as typeof log, 0, { ...ROUND, closesAt: ms('20:00:00.000') })
  expect(drawn.map(({ change }) => change)).toEqual(['create', 'window', 'open', 'draw'])
})

test('a later window has its own changes only, though the one before granted nothing', () => {
  const log = [
    logged('create', '09:00:00.000'),
    logged('pause', '12:00:01.000'),
    logged('resume', '12:00:02.000'),
    logged('draw 0', '12:00:03.000', ms('12:00:00.000')),
    logged('close', '12:00:05.000'),
    logged('draw 1', '12:00:05.100', ms('12:00:03.200')),
  ]
  const changes = windowChanges(log, 1, { ...ROUND, closesAt: ms('12:00:05.000') })
  expect(changes).toEqual(changesOf(['window', '12:00:03.200'], ['close', '12:00:05.000'], ['draw', '12:00:05.100']))
  const rules = { window: 1, opens_at: '2026-12-01T12:00:03.150Z', closes_at: '2026-12-01T12:00:06.150Z' }
  const at = changes.at(-1)?.at as string
  expect(judgeTimes(changes, rules, at).flaws).toEqual([expect.stringContaining('ended early: ')])
  expect(judgeTimes(changes, { ...rules, may_end_early: true }, at).flaws).toEqual([])
})

test.each([
  ['a lottery of hours', '18:00:00.000', 1000],
  ['three seconds', '12:00:03.000', 750],
  ['a blink', '12:00:00.100', 100],
])('%s may open %s late by so much', (_, closes, most) => {
  const times = { opens_at: '2026-12-01T12:00:00.000Z', closes_at: `2026-12-01T${closes}Z` }
  expect(lateness(times)).toBe(most)
})

test('rules say whether the operator may end early with a yes or a no', () => {
  const rules = { ...TIMED_RULES, may_end_early: 'perhaps' } as unknown as typeof TIMED_RULES
  expect(() => writeRules(rules)).toThrow('rules.json: may_end_early: ')
})
