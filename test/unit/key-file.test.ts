/**
 * The file of keys, looked at by a clock that is turned by hand: what is found twice holds, half of a file does not, whoever asks
 * has it at once, and what is wrong is said once.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { KeyFile } from '../../engine/main/key-file.ts'
import { HandClock } from '../support/hand-clock.ts'

const [FIRST, SECOND, HALF] = ['viewer:first-key-of-all', 'viewer:second-key', 'viewer:second-k']

function use() {
  const folder = mkdtempSync(join(tmpdir(), 'fg-key-file-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'keys')
  const [clock, taken, said, judged] = [new HandClock(), [] as string[], [] as string[], [] as string[]]
  const tell = (...words: unknown[]) => void said.push(String(words.at(-1)))
  const write = (text: string) => writeFileSync(path, text)
  write(FIRST)
  const file = new KeyFile({
    ...{ path, keys: FIRST, log: { info: tell, error: tell } },
    changed: keys => taken.push(keys),
    judged: refused => judged.push(refused),
  })
  const unfollow = file.follow(clock)
  /** A second, and the turn of the event loop in which the next one is set. */
  const second = async () => {
    clock.advance(1000)
    await new Promise(done => setImmediate(done))
  }
  return { ...{ path, clock, taken, said, judged, file, write, second, unfollow } }
}

test('what is found twice holds; what is half written does not', async () => {
  const { taken, write, second, said } = use()
  await second()
  write(HALF)
  await second()
  write(`${SECOND}\n`)
  await second()
  expect(taken).toEqual([])
  await second()
  await second()
  expect(taken).toEqual([SECOND])
  expect(said).toEqual(['the keys in the file are others; they are in force'])
})

test('whoever asks has what is there at once, and the next looks change nothing', async () => {
  const { taken, write, second, file } = use()
  write(SECOND)
  file.take()
  expect(taken).toEqual([SECOND])
  await second()
  await second()
  expect(taken).toEqual([SECOND])
})

test.each([
  ['', 'is empty'],
  ['viewer', 'entry 1 has no role|shorter than 8'],
  ['viewer:short', 'shorter than 8 characters'],
  [`${SECOND},platform:second-key`, 'have the same key'],
  [Buffer.from([0xff]).toString('latin1'), 'has no role'],
])('%o changes nothing and is said once', async (text, why) => {
  const { taken, write, second, said, file } = use()
  write(text)
  for (let i = 0; i < 4; i++) await second()
  file.take()
  expect(taken).toEqual([])
  expect(said).toEqual([
    expect.stringMatching(
      new RegExp(`^FAIRGRAB_KEYS_FILE: .*(${why}).*; the keys that were read before stay in force$`),
    ),
  ])
  write(SECOND)
  await second()
  await second()
  expect(taken).toEqual([SECOND])
})

test.each([FIRST, SECOND])(
  'a file that is sound again is said and judged so, with the keys of before and with others',
  async keys => {
    const { write, second, said, judged } = use()
    write('viewer')
    await second()
    await second()
    expect(judged).toEqual([expect.stringContaining('entry 1')])
    write(keys)
    await second()
    await second()
    await second()
    expect(judged.slice(1)).toEqual([''])
    expect(said.filter(words => words.includes('sound again'))).toHaveLength(1)
  },
)

test('a file that is gone changes nothing, and no look follows the end', async () => {
  const { path, taken, second, said, unfollow, clock } = use()
  rmSync(path)
  await second()
  await second()
  expect([taken, said.length]).toEqual([[], 1])
  unfollow()
  expect(clock.waiting).toBe(0)
})
