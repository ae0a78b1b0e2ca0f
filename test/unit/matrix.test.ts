/**
 * The logic of `npm run matrix`: what its arguments pick and refuse, which files a form takes, where a server comes from
 * and why it may be missing, what a report counts, and the exit code.
 *
 * Package managers stand in as in test/repo/gate.test.ts: programs of a folder that is all of PATH. Nothing is downloaded. That the
 * servers run, and what they pass, is the long command's question.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { parse } from 'yaml'
import { FORMS, filesOf, HELP, PARTS, readOrder, UsageError } from '../matrix/plan.ts'
import { exitOf, type Row, readReport, tableOf } from '../matrix/result.ts'
import { isOfLine, librariesOf, readVersion, SERVERS, type Server, ServerShelf, upstreamOf } from '../matrix/servers.ts'
import { ROOT, textOf } from '../repo/tree.ts'

const names = (args: readonly string[]) => {
  const order = readOrder(args)
  return [order?.servers.map(({ name }) => name), order?.forms.map(({ name }) => name), order?.parts]
}
const ALL = [SERVERS.map(({ name }) => name), FORMS.map(({ name }) => name), [...PARTS]] as const

describe('arguments', () => {
  test.each([
    [[], [...ALL]],
    [
      ['--only', 'valkey-9.1'],
      [['valkey-9.1'], ALL[1], ALL[2]],
    ],
    [
      ['--only', 'redis-8.0, cluster,script'],
      [['redis-8.0'], ['cluster'], ['script']],
    ],
    [['--only=fault'], [ALL[0], ALL[1], ['fault']]],
  ] as const)('%j', (args, picked) => {
    expect(names(args)).toEqual(picked)
  })

  test.each([
    [['--only', 'redis-9'], 'redis-9'],
    [['--only', 'single,'], 'nothing'],
    [['--workers', '0'], '--workers 0'],
    [['--workers', '17'], '--workers 17'],
    [['--workers', 'two'], '--workers two'],
    [['--json', ''], '--json'],
    [['--quick'], '--quick'],
    [['cluster'], 'cluster'],
  ])('%j is refused by its name', (args, named) => {
    expect(() => readOrder(args)).toThrow(UsageError)
    expect(() => readOrder(args)).toThrow(named)
  })

  test('help names every server, form and part; no name means two things', () => {
    expect(readOrder(['--help', '--only', 'single'])).toBeNull()
    for (const name of ALL.flat()) expect(HELP).toContain(name)
    expect(new Set(ALL.flat()).size).toBe(ALL.flat().length)
  })
})

describe('files', () => {
  const form = (name: string) => FORMS.find(each => each.name === name) as (typeof FORMS)[number]

  test('alone a server has to pass every file; in another form those that let their server be chosen', () => {
    const [single, cluster] = [filesOf(form('single'), 'server'), filesOf(form('cluster'), 'server')]
    expect(single).toContain('test/server/crash.test.ts')
    expect(cluster).not.toContain('test/server/crash.test.ts')
    expect(cluster).toEqual(expect.arrayContaining(['test/server/stream.test.ts', 'test/cluster/marks.test.ts']))
    expect(filesOf(form('replicas'), 'server')).toEqual(cluster.filter(file => !file.startsWith('test/cluster/')))
    expect(filesOf(form('replicas'), 'script')).toContain('test/script/claim.test.ts')
  })

  test.each(FORMS.map(({ name }) => name))('every file of the form %s is there', name => {
    const files = PARTS.flatMap(part => filesOf(form(name), part))
    expect(files.filter(file => !existsSync(join(ROOT, file)))).toEqual([])
    expect(PARTS.filter(part => filesOf(form(name), part).length === 0)).toEqual([])
  })
})

test.each([
  ['Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.2.1', { program: 'redis', version: '7.0.15' }],
  ['Valkey server v=9.1.2 sha=00000000:0', { program: 'valkey', version: '9.1.2' }],
  ['nginx version: nginx/1.22.1', undefined],
])('a server says "%s"', (said, read) => {
  expect(readVersion(said)).toEqual(read)
})

test('versions of Debian, lines and libraries', () => {
  expect(['5:8.0.6-3', '9.1.2-1', '8.0.1+dfsg1-1~bpo12+1', '(none)'].map(upstreamOf)).toEqual([
    ...['8.0.6', '9.1.2', '8.0.1', '(none)'],
  ])
  expect([isOfLine('8.0.6', '8.0'), isOfLine('8.01.6', '8.0'), isOfLine('18.0.6', '8.0')]).toEqual([true, false, false])
  expect(librariesOf('valkey-tools\n  Depends: libc6\nlibc6\nlibssl3t64\nsystemd\nzlib1g\nlibc6\n<perl>')).toEqual([
    ...['libc6', 'libssl3t64', 'zlib1g'],
  ])
})

describe('where a server comes from', () => {
  const wanted = SERVERS.find(({ name }) => name === 'valkey-9.1') as Server
  let folder = ''
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'matrix-'))
    mkdirSync(join(folder, 'bin'))
    writeFileSync(join(folder, 'keyring'), '')
    for (const tool of ['sh', 'cat', 'mkdir', 'chmod', 'touch']) symlinkSync(place(tool), join(folder, 'bin', tool))
    vi.stubEnv('PATH', join(folder, 'bin'))
    plant('redis-server', 'echo "Redis server v=7.0.15 sha=0"')
    plant('dpkg', 'echo amd64')
    plant('apt-get', `case "$1" in download) touch "$3.deb";; esac`)
    plant('apt-cache', `case "$1" in policy) echo "$2:"; echo "  Candidate: 9.1.2-1";; *) echo libc6;; esac`)
    plant(
      'dpkg-deb',
      `d="$3/usr/lib/x86_64-linux-gnu"; mkdir -p "$d"; cat "$0.loader" >"$d/ld-linux-x86-64.so.2"
      chmod +x "$d/ld-linux-x86-64.so.2"`,
    )
    // In the loader's place: it says with which program it was started.
    plant('dpkg-deb.loader', `echo "Valkey server v=9.1.2 $2 $*"`)
  })
  afterEach(() => {
    vi.unstubAllEnvs()
    rmSync(folder, { recursive: true, force: true })
  })

  function place(tool: string): string {
    const places = (process.env.PATH ?? '').split(delimiter).map(part => join(part, tool))
    return places.find(path => existsSync(path)) ?? `/bin/${tool}`
  }
  function plant(name: string, script: string): void {
    writeFileSync(join(folder, 'bin', name), `#!/bin/sh\n${script}\n`)
    chmodSync(join(folder, 'bin', name), 0o755)
  }
  const find = (server = wanted) => new ServerShelf(join(folder, 'cache'), join(folder, 'keyring')).find(server)

  test('one of the line on PATH is taken as it is, and is what tests start', () => {
    plant('valkey-server', 'echo "Valkey server v=9.1.7 sha=0"')
    const found = find()
    expect(found).toMatchObject({ version: '9.1.7', from: join(folder, 'bin/valkey-server') })
    expect(readFileSync(join('bin' in found ? found.bin : '', 'redis-server'), 'utf8')).toContain('valkey-server')
  })

  test('else it is downloaded, once, and started with the libraries of its own suite', () => {
    const found = find()
    expect(found).toMatchObject({ version: '9.1.2', from: 'Debian sid' })
    const start = readFileSync(join('bin' in found ? found.bin : '', 'redis-server'), 'utf8')
    expect(start).toMatch(
      /^#!\/bin\/sh\nexec '.*loaders\/valkey-server' --argv0 'valkey-server' --library-path .*valkey-check-rdb' "\$@"\n$/,
    )
    expect(readlinkSync(/exec '([^']+)'/.exec(start)?.[1] ?? '')).toMatch(/x86_64-linux-gnu\/ld-linux-x86-64\.so\.2$/)
    plant('apt-get', `case "$1" in download) exit 1;; esac`)
    expect(find()).toEqual(found)
  })

  test.each([
    ['another machine', 'dpkg', 'echo riscv64', 'no Debian or Ubuntu on amd64'],
    ['no network', 'apt-get', 'echo "E: no route" >&2; exit 100', 'E: no route'],
    ['a suite that went on', 'apt-cache', 'echo "$2:"; echo "  Candidate: 10.0.1-1"', 'it has 10.0.1-1 valkey-tools'],
    ['a suite without it', 'apt-cache', 'echo "$2:"; echo "  Candidate: (none)"', 'it has no valkey-tools'],
    ['a broken archive', 'dpkg-deb', 'echo "not an archive" >&2; exit 2', 'not an archive'],
    [
      'a server that does not start',
      'dpkg-deb.loader',
      'echo "version GLIBC_3 not found"; exit 1',
      'GLIBC_3 not found',
    ],
  ])('%s is a reason', (_, program, script, why) => {
    plant(program, script)
    expect(find()).toEqual({ missing: expect.stringContaining(why) })
  })

  test('a list asks nobody: it says what is here, and what would be fetched', () => {
    const look = () => new ServerShelf(join(folder, 'cache'), join(folder, 'keyring')).look(wanted)
    const asked = join(folder, 'asked')
    for (const program of ['apt-get', 'apt-cache', 'dpkg', 'dpkg-deb']) plant(program, `touch '${asked}'`)
    expect(look()).toEqual({ missing: 'would be fetched from Debian sid' })
    expect(existsSync(asked)).toBe(false)
    plant('valkey-server', 'echo "Valkey server v=9.1.7 sha=0"')
    expect(look()).toMatchObject({ version: '9.1.7', from: join(folder, 'bin/valkey-server') })
  })

  test('without a network one of an earlier run is taken', () => {
    find()
    plant('apt-get', 'exit 100')
    expect(find()).toMatchObject({ version: '9.1.2', from: 'an earlier download' })
  })

  test('without the keys of Debian nothing is downloaded', () => {
    rmSync(join(folder, 'keyring'))
    expect(find()).toEqual({ missing: expect.stringContaining('debian-archive-keyring') })
  })
})

const REPORT = {
  ...{ numPassedTests: 2, numFailedTests: 1, numPendingTests: 0, numTodoTests: 0 },
  testResults: [
    {
      ...{ name: '/x/test/a.test.ts', status: 'failed' },
      assertionResults: [
        { status: 'passed', fullName: 'one' },
        { status: 'failed', fullName: 'two' },
      ],
    },
    { name: '/x/test/b.test.ts', status: 'failed', assertionResults: [] },
  ],
}

test('a report is counts and the names of what failed, files that did not load among them', () => {
  expect(readReport(JSON.stringify(REPORT), 1, '/x')).toEqual({
    ...{ passed: 2, failed: 1 },
    failures: ['test/a.test.ts > two', 'test/b.test.ts did not run to its end'],
  })
  expect(readReport(JSON.stringify({ ...REPORT, numFailedTests: 0, testResults: [] }), 1, '/x').failed).toBe(1)
  expect(() => readReport('{}', 0, '/x')).toThrow('numPassedTests')
})

const row = (server: string, form: string, failed: number): Row => ({
  ...{ server, form, version: '8.0.6', from: 'Debian sid' },
  parts: [{ part: 'script', passed: 3, failed, seconds: 1, failures: [] }],
})

test('the table has a row a server and a column a form, and what is missing with its reason', () => {
  const rows = [row('redis-8.0', 'single', 0), row('redis-8.0', 'cluster', 1), row('valkey-9.1', 'single', 0)]
  expect(tableOf(rows, [{ server: 'redis-7.0', why: 'no network' }]).split('\n')).toEqual([
    '| server | single | cluster |',
    '|---|---|---|',
    '| redis 8.0.6 | script 3/3 | script 3/4 |',
    '| valkey 8.0.6 | script 3/3 | not run |',
    'skipped: redis-7.0, no network',
  ])
})

test.each([
  ['all passed', { strict: false, named: [] }, [row('a', 'single', 0)], [], 0],
  ['one failed', { strict: false, named: [] }, [row('a', 'single', 1)], [], 1],
  ['one is missing', { strict: false, named: [] }, [row('a', 'single', 0)], [{ server: 'b', why: '' }], 0],
  ['one is missing, strict', { strict: true, named: [] }, [row('a', 'single', 0)], [{ server: 'b', why: '' }], 1],
  [
    'one is missing that was named',
    { strict: false, named: ['b'] },
    [row('a', 'single', 0)],
    [{ server: 'b', why: '' }],
    1,
  ],
  ['nothing ran', { strict: false, named: [] }, [], [{ server: 'b', why: '' }], 1],
] as const)('exit code: %s', (_, order, rows, skipped, code) => {
  expect(exitOf(order, rows, skipped)).toBe(code)
})

test('a build machine runs it at night and by hand, with every server, and npm test does not', () => {
  const { on, jobs } = parse(textOf('.github/workflows/matrix.yml'))
  expect(Object.keys(on)).toEqual(['schedule', 'workflow_dispatch'])
  const steps: readonly { run?: string }[] = jobs.matrix.steps
  expect(steps.some(({ run = '' }) => /npm run matrix -- .*--strict/.test(run))).toBe(true)
  expect(textOf('.ci/check.ts')).not.toContain('matrix')
})
