/**
 * The journal's bytes: what was written is read again, a tail that is torn at any byte takes whole records with it and no
 * more, and no flipped bit passes for a whole journal. The last tests use real files.
 */
import { execFileSync } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { CODES } from '../../engine/base/codes.ts'
import { Journal } from '../../engine/campaign/fenced/journal.ts'
import { FolderDisk } from '../../engine/campaign/fenced/journal-disk.ts'
import { batchRecord, grantsRecord, markRecord, readRecords } from '../../engine/campaign/fenced/journal-record.ts'
import type { Decision } from '../../engine/store/data/claim-store.ts'
import { packUsers } from '../support/script-room.ts'

const EPOCH = '00000000000000aa'

/** What each of these holds by a decision: sequence and pool. */
function decided(
  holders: readonly string[],
  ...held: readonly (readonly [sequence: number, pool: number])[]
): Decision {
  const notice = { epoch: EPOCH, version: 1, state: 'open', sequence: 0, at: 5000, opensAt: 0, closesAt: 0, pools: [] }
  return {
    ...{ holders: packUsers(holders), notice: notice as Decision['notice'], first: 0 },
    outcomes: Uint8Array.from(held, ([sequence]) => (sequence > 0 ? CODES.granted : CODES.sold_out).number),
    sequences: Uint32Array.from(held, ([sequence]) => sequence),
    pools: Uint8Array.from(held, ([, pool]) => pool),
  }
}

const long = 'x'.repeat(64)

/** Four records: joined, a batch, read grants, left. */
function written(): { readonly bytes: Buffer; readonly ends: readonly number[] } {
  const joined = markRecord(0, 'joined', EPOCH)
  const granted = batchRecord(joined.crc, decided(['a', 'b', 'c/2', long], [7, 0], [3, 1], [8, 0], [9, 0]))
  if (!granted) throw new Error('a batch with grants has a record')
  const read = grantsRecord(granted.crc, EPOCH, [{ sequence: 20, pool: 2, at: 6000, holder: 'auth0|d+1' }])
  const left = markRecord(read.crc, 'left', EPOCH)
  const records = [joined, granted, read, left].map(({ bytes }) => bytes)
  const ends = records.map((_, i) => Buffer.concat(records.slice(0, i + 1)).length)
  return { bytes: Buffer.concat(records), ends }
}

const GRANTS = [
  { sequence: 7, pool: 0, at: 5000, holder: 'a' },
  { sequence: 3, pool: 1, at: 5000, holder: 'b' },
  { sequence: 8, pool: 0, at: 5000, holder: 'c/2' },
  { sequence: 9, pool: 0, at: 5000, holder: long },
  { sequence: 20, pool: 2, at: 6000, holder: 'auth0|d+1' },
]

test('what was written is read again: grants, what was granted before, and marks', () => {
  const { bytes } = written()
  const read = readRecords(bytes)
  expect(read).toMatchObject({ grants: GRANTS, sound: true, bytes: bytes.length })
  expect([[...read.joined], [...read.left]]).toEqual([[EPOCH], [EPOCH]])
  expect(readRecords(Buffer.alloc(0))).toMatchObject({ grants: [], sound: true, bytes: 0, crc: 0 })
})

test('a batch that granted nothing has no record', () => {
  expect(batchRecord(0, decided(['a'], [0, 0]))).toBeUndefined()
})

test('torn at any byte: whole records stay, the journal is sound', () => {
  const { bytes, ends } = written()
  for (let cut = 0; cut < bytes.length; cut++) {
    const whole = ends.filter(end => end <= cut).length
    const read = readRecords(bytes.subarray(0, cut))
    expect([read.bytes, read.sound, read.grants.length]).toEqual([ends[whole - 1] ?? 0, true, [0, 0, 4, 5][whole]])
  }
})

test('a flipped bit in any byte makes it unsound, and what is whole is still read', () => {
  const { bytes, ends } = written()
  const last = ends[2] as number
  for (let at = 0; at < bytes.length; at++) {
    // A last record that says it is longer than the file cannot be told from one that was cut short.
    if (at >= last + 4 && at < last + 7) continue
    const broken = Buffer.from(bytes)
    broken[at] = (broken[at] as number) ^ 4
    const { sound, left } = readRecords(broken)
    expect([at, sound, left.size]).toEqual([at, false, at < last ? 1 : 0])
  }
})

test('a record that is lost, doubled or moved makes it unsound', () => {
  const { bytes, ends } = written()
  const [one, two, three, four] = [0, ...ends].slice(0, 4).map((from, i) => bytes.subarray(from, ends[i])) as Buffer[]
  const orders = [
    [one, three, four],
    [two, three, four],
    [one, two, two, three, four],
    [one, three, two, four],
  ] as Buffer[][]
  for (const order of orders) expect(readRecords(Buffer.concat(order)).sound).toBe(false)
})

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'fg-journal-'))
  onTestFinished(() => rmSync(path, { recursive: true }))
  return path
}

test('a torn tail is cut off before anything is written behind it', async () => {
  const path = folder()
  const disk = new FolderDisk(path)
  const journal = new Journal(disk)
  const head = await journal.open('r')
  await Promise.all([journal.keep('r', head, decided(['a'], [1, 0])), journal.keep('r', head, decided(['b'], [2, 0]))])
  await journal.close()
  const file = join(path, 'r.journal')
  writeFileSync(file, readFileSync(file).subarray(0, -1))
  const again = new Journal(new FolderDisk(path))
  expect(await again.rounds()).toEqual(['r'])
  await again.keep('r', await again.open('r'), decided(['c'], [3, 0]))
  const read = await again.read('r')
  expect([read.grants.map(({ holder }) => holder), read.sound]).toEqual([['a', 'c'], true])
  await again.close()
})

test('an engine has one name as long as its folder is there', async () => {
  const path = folder()
  const name = (made: string) => new FolderDisk(path).name(() => made)
  expect([await name('aaaaaaaaaaaa'), await name('bbbbbbbbbbbb')]).toEqual(['aaaaaaaaaaaa', 'aaaaaaaaaaaa'])
  rmSync(join(path, 'engine'))
  expect(await name('cccccccccccc')).toBe('cccccccccccc')
})

test('a journal that cannot be written takes nothing more, and a closed round keeps only that it was joined', async () => {
  const path = folder()
  const journal = new Journal(new FolderDisk(join(path, 'sub')))
  await journal.mark('r', 'joined', EPOCH)
  await journal.keep('r', await journal.open('r'), decided(['a'], [1, 0]))
  const head = await journal.clear('r', EPOCH)
  expect([head.full, [...head.joined], (await journal.read('r')).grants]).toEqual([false, [EPOCH], []])
  await journal.close()
  rmSync(join(path, 'sub'), { recursive: true })
  writeFileSync(join(path, 'sub'), 'no folder any more')
  await expect(journal.keep('r', head, decided(['a'], [1, 0]))).rejects.toMatchObject({ code: 'unknown' })
  await expect(journal.keep('r', head, decided(['b'], [2, 0]))).rejects.toMatchObject({ code: 'fenced' })
})

test('behind a write that failed nothing more is written, also not what waited for it', async () => {
  const path = folder()
  const file = join(path, 'r.journal')
  // What is written to a pipe arrives, and to sync it fails.
  execFileSync('mkfifo', [file])
  const arrives = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
  onTestFinished(() => closeSync(arrives))
  const disk = new FolderDisk(path)
  const appended = await Promise.allSettled(['one', 'two'].map(text => disk.append('r', Buffer.from(text))))
  await Promise.allSettled([disk.append('r', Buffer.from('three'))])
  const bytes = Buffer.alloc(64)
  expect(bytes.toString('latin1', 0, readSync(arrives, bytes))).toBe('one')
  expect(appended.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  await disk.close()
})
