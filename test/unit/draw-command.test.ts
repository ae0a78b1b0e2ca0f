/**
 * `fairgrab draw` as an outsider runs it: its lines, its exit codes, and what it writes.
 *
 * The engine that it talks to is a plain HTTP server of Node that answers the draw's routes from a real bundle, so the
 * command is tested against the contract and needs no Redis; the routes of the engine have tests of their own. The
 * command runs in this process, with the exit code that cli.ts gives for what it throws; three runs as processes of
 * their own hold that part. Rejected: a process a case, at half a second each.
 */

import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { drawCommand } from '../../engine/cli/draw.ts'
import { saveBundle } from '../../engine/cli/draw-source.ts'
import { ConfigError } from '../../engine/config.ts'
import { sha256 } from '../../engine/draw/digest.ts'
import { signBatch } from '../../engine/draw/receipt.ts'
import { proveEntry } from '../../engine/draw/verify/receipt-check.ts'
import { bareEnv } from '../support/bare-env.ts'
import { goldenBundle, KEY, readResult, TIMED_CHANGES, timedBundle } from '../support/draw-bundle.ts'

const CLI = join(import.meta.dirname, '../../engine/cli.ts')
const FIXTURE = join(import.meta.dirname, '../fixtures/draw')
const golden = goldenBundle()
const entries = golden.get('entries.bin') as Buffer
const folder = mkdtempSync(join(tmpdir(), 'draw-command-'))

interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** Runs the command here. */
async function run(...args: readonly string[]): Promise<Ran> {
  const lines: string[] = []
  const log = vi.spyOn(console, 'log').mockImplementation(line => lines.push(String(line)))
  try {
    return { code: await drawCommand(args), out: lines.join('\n'), err: '' }
  } catch (cause) {
    return { code: cause instanceof ConfigError ? 2 : 1, out: lines.join('\n'), err: (cause as Error).message }
  } finally {
    log.mockRestore()
  }
}

/** Runs the command line as a process. */
function runProcess(...args: readonly string[]): Promise<Ran> {
  const env = bareEnv({ HOME: folder })
  return new Promise(done => {
    execFile(process.execPath, [CLI, 'draw', ...args], { env, cwd: folder }, (cause, out, err) =>
      done({ code: typeof cause?.code === 'number' ? cause.code : 0, out, err }),
    )
  })
}

const listing = {
  round_id: 'rnd_golden',
  mode: 'lottery',
  window: 0,
  state: 'drawn',
  trust: 'T3',
  cutoffs: readResult(golden).cutoffs,
  files: [...golden].map(([name, bytes]) => ({ name, bytes: bytes.length, sha256: sha256(bytes).toString('hex') })),
}

/** What the engine answers for a path; a Buffer as it is, anything else as JSON. */
function answerTo({ pathname, searchParams }: URL): unknown {
  const [, round, rest = ''] = /^\/v1\/rounds\/(\w+)\/draw(.*)$/.exec(pathname) ?? []
  if (round === 'rnd_open') return { ...listing, state: 'open', files: [] }
  if (round === 'rnd_broken' && rest === '/files/rules.json') return Buffer.from('{}')
  // Like the engine's, a listing needs no window; whoever goes on without one would see another draw by then.
  if (!['0', rest === '' ? null : '0'].includes(searchParams.get('window')) && rest !== '/key') return undefined
  if (rest === '') return listing
  if (rest === '/key') return { keys: [{ key_id: KEY.keyId, public_key: KEY.publicKey }] }
  if (rest === '/proof') return proveEntry(entries, Buffer.from(searchParams.get('tag') ?? '', 'hex'))
  return golden.get(rest.replace('/files/', ''))
}

let server: Server
let url = ''
beforeAll(async () => {
  server = createServer((request, response) => {
    const answer = answerTo(new URL(request.url ?? '', 'http://engine'))
    if (answer === undefined) response.writeHead(404).end('{"code":"not_found","detail":"There is no such thing"}')
    else response.end(Buffer.isBuffer(answer) ? answer : JSON.stringify(answer))
  })
  await new Promise<void>(ready => server.listen(0, '127.0.0.1', ready))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(async () => {
  await new Promise(closed => server.close(closed))
  rmSync(folder, { recursive: true, force: true })
})

/** A receipt of entry `index`, as a claim's answer has it. */
function receiptFile(name: string, index: number, tag?: Buffer): string {
  const record = Buffer.from(entries.subarray(index * 17, index * 17 + 17))
  if (tag) record.set(tag)
  const head = { roundId: 'rnd_golden', window: 0, at: '2023-08-23T12:00:01.000Z' }
  const path = join(folder, name)
  writeFileSync(path, JSON.stringify({ outcome: 'entered', receipt: signBatch(head, record, KEY)[0] }))
  return path
}

test('verify passes the published example, one line a check, and pins the key', async () => {
  const { code, out, err } = await run('verify', FIXTURE, '--public-key', KEY.publicKey)
  expect([code, err]).toEqual([0, ''])
  const names = out
    .trim()
    .split('\n')
    .map(line => /^PASS {2}(\S+)/.exec(line)?.[1])
  expect(names).toEqual([
    'files',
    'rules',
    'count',
    'pools',
    'root',
    'duplicates',
    'signature',
    'times',
    'beacon',
    'seed',
    'winners',
    'waitlist',
    'cutoffs',
    'promotions',
  ])
})

test('verify ends with 1 and says which rule was broken when a lottery was closed early', async () => {
  const closed = join(folder, 'closed-early')
  const changes = TIMED_CHANGES.map(({ at, change }) => ({
    at: change === 'close' ? '2026-12-01T13:00:00.000Z' : at,
    change,
  }))
  await saveBundle(closed, timedBundle(changes))
  const { code, out } = await run('verify', closed)
  expect(code).toBe(1)
  expect(out.split('\n').filter(line => line.startsWith('FAIL'))).toEqual([
    'FAIL  times       commit.json: ended early: entries ended at 2026-12-01T13:00:00.000Z, and the rules say 2026-12-01T18:00:00.000Z',
  ])
})

test('verify names what was changed, says it as JSON too, and refuses a second result', async () => {
  const forged = join(folder, 'forged')
  cpSync(FIXTURE, forged, { recursive: true })
  const [first = '', second = ''] = readResult(golden).winners
  writeFileSync(
    join(forged, 'result.json'),
    String(golden.get('result.json')).replace(first, 'x').replace(second, first).replace('"x"', `"${second}"`),
  )
  const plain = await run('verify', forged)
  expect(plain.code).toBe(1)
  expect(plain.out.split('\n').filter(line => line.startsWith('FAIL'))).toEqual([
    `FAIL  winners     result.json: winner 1 is ${second}, and the draw gives ${first}`,
  ])
  const both = await run('verify', FIXTURE, forged, '--json')
  expect(both.code).toBe(1)
  const { ok, checks } = JSON.parse(both.out)
  expect(ok).toBe(false)
  expect(checks.at(-1)).toEqual({
    name: 'one result',
    ok: false,
    detail: 'result.json: there is a second one for round rnd_golden, window 0; the first that was published stands',
  })
})

test('a second result in a folder of the bundle is refused as one beside the first is', async () => {
  const nested = join(folder, 'nested')
  cpSync(FIXTURE, nested, { recursive: true })
  cpSync(FIXTURE, join(nested, 'sub'), { recursive: true })
  const { code, out } = await run('verify', nested)
  expect([code, out.split('\n').filter(line => line.startsWith('FAIL'))]).toEqual([
    1,
    [expect.stringMatching(/^FAIL {2}files .*sub\//)],
  ])
})

test('the process ends with 0, 1 and 2', async () => {
  const bare = join(folder, 'bare')
  cpSync(FIXTURE, bare, { recursive: true })
  rmSync(join(bare, 'commit.bytes'))
  const [sound, broken, usage] = await Promise.all([
    runProcess('verify', FIXTURE),
    runProcess('verify', bare),
    runProcess('verify'),
  ])
  expect([sound.code, broken.code, usage.code]).toEqual([0, 1, 2])
  expect(broken.out).toContain('FAIL  signature   commit.bytes: is missing')
  expect(usage.err).toBe('fairgrab: which folder? fairgrab draw verify DIR\n')
})

test('export writes the files, the same twice, and no other draw over them', async () => {
  const place = join(folder, 'exported')
  expect(await run('export', 'rnd_golden', place, '--url', url)).toMatchObject({ code: 0, err: '' })
  expect(readdirSync(place).sort()).toEqual([...golden.keys()].sort())
  for (const [name, bytes] of golden) expect(readFileSync(join(place, name))).toEqual(bytes)
  expect(await run('export', 'rnd_golden', place, '--url', url, '--json', '--window', '0')).toMatchObject({ code: 0 })
  const later = await run('export', 'rnd_golden', place, '--url', url, '--window', '1')
  expect(later).toMatchObject({ code: 1, err: expect.stringContaining('not_found') })
  writeFileSync(join(place, 'result.json'), '{}')
  const again = await run('export', 'rnd_golden', place, '--url', url)
  expect(again).toMatchObject({ code: 1 })
  expect(again.err).toContain('result.json is of another draw, or a second result for this one')
  expect(readFileSync(join(place, 'result.json'), 'utf8')).toBe('{}')
})

test('export says what is missing: a result, whole bytes, an engine', async () => {
  const open = await run('export', 'rnd_open', join(folder, 'none'), '--url', url)
  expect(open).toMatchObject({ code: 1, err: expect.stringContaining('rnd_open is open and has no result yet') })
  const broken = await run('export', 'rnd_broken', join(folder, 'none'), '--url', url)
  expect(broken).toMatchObject({ code: 1, err: expect.stringContaining('rules.json arrived with SHA-256') })
  const nobody = await run('export', 'rnd_golden', join(folder, 'none'), '--url', 'http://127.0.0.1:2')
  expect(nobody).toMatchObject({ code: 1, err: expect.stringContaining('no engine answers at http://127.0.0.1:2') })
})

test('check finds an entry in a folder and at an engine, with the same answer', async () => {
  const receipt = receiptFile('receipt.json', 123)
  const local = await run('check', '--receipt', receipt, FIXTURE)
  const remote = await run('check', '--receipt', receipt, url)
  expect([local.code, local.err]).toEqual([0, ''])
  expect(remote).toEqual(local)
  expect(local.out).toContain('PASS  inclusion   entry 123 of 1000; leaf and path have 1216 bytes')
  expect(local.out).toContain('PASS  owner       the receipt does not say whose it is; its tag is taken as yours')
  const salted = JSON.parse(readFileSync(receipt, 'utf8'))
  Object.assign(salted.receipt, { salt: '01'.repeat(16), nonce: '02'.repeat(16) })
  writeFileSync(receipt, JSON.stringify(salted))
  const stranger = await run('check', '--receipt', receipt, '--user', 'u1', FIXTURE)
  expect(stranger.code).toBe(1)
  expect(stranger.out).toContain('FAIL  owner       receipt: the tag of u1 with this salt and nonce is ')
  expect(local.out).toMatch(/PASS {2}result {6}(not drawn|on the waitlist|won a seat of \w+); score [0-9a-f]{32}/)
})

test('check shows a broken promise, in a folder and at an engine', async () => {
  const receipt = receiptFile('lost.json', 123, Buffer.alloc(16, 9))
  for (const place of [FIXTURE, url]) {
    const { code, out } = await run('check', '--receipt', receipt, place)
    expect(code).toBe(1)
    expect(out).toContain('FAIL  inclusion   entries.bin: has no entry 0909')
  }
})

test.each([
  [['--help'], 0, 'examples'],
  [['verify'], 2, 'which folder? fairgrab draw verify DIR'],
  [['verify', 'nowhere'], 2, 'it is not there; make one with: fairgrab draw export ROUND nowhere'],
  [['verify', '.', '--public-key', 'ab'], 2, '--public-key has to be 64 hexadecimal digits'],
  [['export', 'rnd_golden'], 2, 'which round, into which folder?'],
  [['export', 'rnd_golden', 'x', '--window', 'two'], 2, '--window is "two"'],
  [['check', 'proof'], 2, 'which receipt, and where is the draw?'],
  [['check', '--receipt', 'none.json', FIXTURE], 2, 'it is not there; save the answer to your claim'],
  [['lots'], 2, 'there is no "draw lots"; there are export, verify, check'],
  [['verify', '--colour'], 2, "Unknown option '--colour'"],
])('%j ends with %d and says what to do', async (args, code, words) => {
  const ran = await run(...args)
  expect(ran.code).toBe(code)
  expect(ran.out + ran.err).toContain(words)
})
