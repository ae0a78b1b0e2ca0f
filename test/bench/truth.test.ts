/**
 * What a result of the bench is worth: it does not believe the engine's stock, loses no part that has ended, and shows
 * every edit of what it wrote.
 *
 * Each story is a real bench on a real engine: stock is planted in its Redis while it runs, its engine is killed between
 * two parts, and a result is edited by every hand that knows less and less of how it is sealed.
 */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { appendFile, cp, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { treeOf } from '../../bench/measure/process-cost.ts'
import type { Summary } from '../../bench/measure/result.ts'
import { treeCard } from '../../bench/measure/tree-card.ts'
import { refuseTaken } from '../../bench/record/result-folder.ts'
import { sealed } from '../../bench/record/seal.ts'
import { parseOptions } from '../../bench/stage/options.ts'
import { roundState } from '../../engine/store/connection/keys.ts'
import { ROOT } from '../repo/tree.ts'
import { BENCH_PATIENCE_MS, BenchRoom } from '../support/bench-room.ts'
import { KEYS } from '../support/engine.ts'
import { untilHolds } from '../support/polled.ts'
import { useWorker } from '../support/use-worker.ts'

const worker = useWorker()
const room = new BenchRoom()
afterAll(() => room[Symbol.asyncDispose]())

/** Adds stock behind the engine's back to the first round that is made. */
async function plantStock(): Promise<void> {
  const redis = await room.redis()
  await untilHolds(async () => {
    // A campaign's state and the audit log's have the same form of key; only a round's has stock.
    for (const state of await redis.keys(roundState('*')))
      if ((await redis.hexists(state, 't0')) === 1) return (await redis.hincrby(state, 't0', 100)) > 100
    return false
  })
  redis.disconnect()
}

test('stock that nobody ordered voids the run', { timeout: BENCH_PATIENCE_MS }, async () => {
  const flags = ['--scenario', 'drain', '--scale', '0.01', '--out', room.path('planted')]
  const [{ code, stdout }] = await Promise.all([room.run(flags), plantStock()])
  expect(code).toBe(99)
  expect(stdout).toContain('✗ I1-ordered')
  expect(stdout).toContain('total: the engine shows 10100, ordered and added were 10000')
})

/** Ends what the bench started of the engine, the supervisor first; what ended by itself meanwhile is fine. */
function killEngine(benchPid: number): void {
  const ofEngine = (pid: number) =>
    existsSync(`/proc/${pid}`) &&
    /engine\/cli\.ts|worker\.ts|redis-server/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8'))
  const pids = treeOf(benchPid).map(({ pid }) => pid)
  for (const pid of pids.filter(ofEngine)) if (existsSync(`/proc/${pid}`)) process.kill(pid, 'SIGKILL')
}

test('a part that fails takes nothing with it, and says what was behind it', {
  timeout: BENCH_PATIENCE_MS,
}, async () => {
  let killed = false
  let written = false
  const flags = ['--scale', '0.002', '--out', room.path('halved')]
  const { code, stdout, stderr } = await room.run(flags, (text, bench) => {
    if (killed || !text.includes('✓ hangzhou over stream')) return
    killed = true
    written = existsSync(join(room.path('halved'), 'summary.json'))
    killEngine(bench.pid as number)
  })
  expect([code, killed, written]).toEqual([1, true, true])
  expect(stderr).not.toContain('fetch failed')
  expect(stderr).toMatch(/ECONNREFUSED|ECONNRESET|ended/)
  expect(stdout).toContain('! failed: ')
  const { ended, parts } = await room.summary('halved')
  expect(ended).toMatch(/^failed: ./)
  expect(parts.map(({ name, audit }) => [name, audit?.ok])).toEqual([['hangzhou over stream', true]])
  expect((await room.run(['audit', room.path('halved')])).code).toBe(0)
})

test('somebody else’s engine is named in the result, and its key is not', { timeout: BENCH_PATIENCE_MS }, async () => {
  const flags = ['--scenario', 'drain', '--scale', '0.002', '--url', worker.url, '--key', KEYS.operator]
  expect((await room.run([...flags, '--record', 'none', '--out', room.path('foreign')])).code).toBe(0)
  const text = await readFile(join(room.path('foreign'), 'summary.json'), 'utf8')
  expect(text).not.toContain(KEYS.operator)
  expect(JSON.parse(text)).toMatchObject({ engine: new URL(worker.url).host, ended: 'complete' })
  expect(await room.run(['audit', room.path('foreign')])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('kept a record'),
  })
})

describe('a kept result', () => {
  const sound = room.path('sound')
  const drawn = room.path('drawn')
  const redeemed = room.path('redeemed')
  let told = ''

  beforeAll(async () => {
    const window = ['--profile', 'scarce', '--allocation', 'window', '--scale', '0.0005', '--transport', 'http']
    const ran = await room.run(['--scale', '0.002', '--out', sound])
    expect(ran.code).toBe(0)
    told = ran.stdout
    expect((await room.run([...window, '--out', drawn])).code).toBe(0)
    expect((await room.run(['--scenario', 'redeem', '--scale', '0.001', '--out', redeemed])).code).toBe(0)
  }, BENCH_PATIENCE_MS)

  const summaryOf = async (folder: string) =>
    JSON.parse(await readFile(join(folder, 'summary.json'), 'utf8')) as Summary

  /** A copy of the sound result that may be edited. */
  async function copyOf(name: string): Promise<string> {
    await cp(sound, room.path(name), { recursive: true })
    return room.path(name)
  }

  test('says which program made it, and is audited again from its record, whatever the kind', async () => {
    const { tree } = await summaryOf(sound)
    expect(tree).toEqual(treeCard())
    expect([tree.version, tree.dirty === null]).toEqual([
      expect.stringMatching(/^\d+\.\d+\.\d+$/),
      tree.commit === null,
    ])
    if (existsSync(join(ROOT, '.git'))) expect(tree.commit).toMatch(/^[0-9a-f]{40}$/)
    for (const folder of [sound, drawn, redeemed]) {
      const { code, stdout } = await room.look(['audit', folder, '--json'])
      const [result] = JSON.parse(stdout) as [
        { ok: boolean; edits: string[]; parts: { audit?: { ok: boolean }; differences: string[] }[] },
      ]
      expect([code, result.ok, result.edits]).toEqual([0, true, []])
      for (const { audit, differences } of result.parts) expect([audit?.ok, differences]).toEqual([true, []])
    }
    const printed = /^check it: npm run bench -- (audit \S+)$/m.exec(told)?.[1] as string
    expect((await room.run(printed.split(' '))).code).toBe(0)
    expect((await room.look(['audit', sound])).stdout).toContain('✓ audit: one story')
    expect((await room.run(['compare', sound, sound])).code).toBe(0)
  })

  test('is never written over: another run into its folder ends with 2 before it begins', async () => {
    const before = await readFile(join(sound, 'summary.json'), 'utf8')
    await mkdir(room.path('runs/run-1'), { recursive: true })
    const flags = (folder: string, ...more: string[]) => ['--scale', '0.002', '--out', folder, ...more]
    const words = (folder: string) => new RegExp(`^${folder} .*; give another --out\n?$`)
    expect(await room.run(flags(sound))).toEqual({ code: 2, stdout: '', stderr: expect.stringMatching(words(sound)) })
    for (const [folder, more] of [
      [sound, ['--repeat', '2']],
      [room.path('runs'), []],
      [join(sound, 'summary.json'), []],
    ] as const)
      await expect(refuseTaken(parseOptions(flags(folder, ...more))), folder).rejects.toThrow(words(folder))
    expect(await readFile(join(sound, 'summary.json'), 'utf8')).toBe(before)
  })

  test('an empty line more in the summary is told as what it is, and a stray file by its name', async () => {
    const folder = await copyOf('spaced')
    await writeFile(join(folder, 'record-1', 'notes.txt'), 'mine')
    const stray = await room.look(['audit', folder])
    expect([stray.code, stray.stdout]).toEqual([0, expect.stringContaining(`! ${folder}/record-1/notes.txt is no`)])
    await appendFile(join(folder, 'summary.json'), '\n')
    const { code, stdout } = await room.look(['audit', folder])
    expect([code, stdout]).toEqual([99, expect.stringMatching(/✗ \S+ was edited: its bytes are not those .*sealed/)])
  })

  test('an edited summary is refused by audit and compare, by its name', async () => {
    const folder = await copyOf('edited')
    const path = join(folder, 'summary.json')
    await writeFile(path, (await readFile(path, 'utf8')).replace(/"sold_out": \d+/, '"sold_out": 1'))
    const audited = await room.look(['audit', folder])
    expect([audited.code, audited.stdout]).toEqual([99, expect.stringContaining(`✗ ${path} was edited`)])
    const compared = await room.look(['compare', sound, folder])
    expect([compared.code, compared.stdout, compared.stderr]).toEqual([
      99,
      '',
      expect.stringContaining(`✗ ${path} was edited`),
    ])
  })

  test.each([
    ['timeline-1.csv', 'has the SHA-256'],
    ['report.html', 'has the SHA-256'],
    ['record-2/grants.ndjson.gz', 'has the SHA-256'],
    ['record-1/history.bin.gz', 'is missing'],
  ])('%s that was changed or lost is named: %s', async (name, how) => {
    const folder = await copyOf(name.replace('/', '-'))
    const path = join(folder, name)
    if (how === 'is missing') await rm(path)
    else {
      const bytes = await readFile(path)
      bytes[bytes.length >> 1]! ^= 1
      await writeFile(path, bytes)
    }
    const { code, stdout } = await room.look(['audit', folder])
    expect([code, stdout]).toEqual([99, expect.stringContaining(`✗ ${path} ${how}`)])
    expect((await room.look(['compare', sound, folder])).code).toBe(99)
  })

  test('a summary that was sealed anew says something else than its record', async () => {
    const folder = await copyOf('forged')
    const summary = await summaryOf(folder)
    const [part, ...rest] = summary.parts
    const figures = part?.figures.map(figure => (figure.name === 'grants' ? { ...figure, value: 1e6 } : figure))
    await writeFile(
      join(folder, 'summary.json'),
      sealed({ ...summary, parts: [{ ...part!, figures: figures! }, ...rest] }).text,
    )
    const { code, stdout } = await room.look(['audit', folder])
    expect([code, stdout]).toEqual([
      99,
      expect.stringContaining('✗ grants: the summary says 1000000, the record gives'),
    ])
  })

  test('a record that was exchanged and sealed anew is audited for what it is', async () => {
    const folder = await copyOf('exchanged')
    await rename(join(folder, 'record-1/grants.ndjson.gz'), join(folder, 'record-1/kept'))
    await cp(join(folder, 'record-2/grants.ndjson.gz'), join(folder, 'record-1/grants.ndjson.gz'))
    const summary = await summaryOf(folder)
    const bytes = await readFile(join(folder, 'record-1/grants.ndjson.gz'))
    const mark = { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }
    const files = { ...summary.files, 'record-1/grants.ndjson.gz': mark }
    await writeFile(join(folder, 'summary.json'), sealed({ ...summary, files }).text)
    const { code, stdout } = await room.look(['audit', folder])
    expect([code, stdout]).toEqual([99, expect.stringContaining('✗ I3-acked')])
  })

  test('wrong usage ends with 2 and says how', async () => {
    expect((await room.look(['audit', '--help'])).stdout).toContain('npm run bench -- audit FOLDER')
    expect((await room.look(['compare', '--help'])).stdout).toContain('npm run bench -- compare BEFORE AFTER')
    for (const args of [
      ['audit'],
      ['audit', sound, sound],
      ['audit', room.path('nowhere')],
      ['audit', sound, '--jsn'],
    ] as const)
      expect(await room.look(args), args.join(' ')).toMatchObject({ code: 2, stdout: '' })
    const folder = await copyOf('older')
    await writeFile(join(folder, 'summary.json'), '{"schema": 2}')
    expect(await room.look(['compare', sound, folder])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('has schema 2, which was not sealed'),
    })
  })
})
