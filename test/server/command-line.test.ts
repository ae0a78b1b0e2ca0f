/**
 * The command line as a person meets it: its exit codes, what it prints, what it says when something is wrong.
 *
 * The errors are golden: each is the whole message, and has the value that is wrong, where it came from and what to do.
 * One story runs through all verbs against a real engine, from a file with a campaign to a redemption and the audit log.
 * Rejected: calling the commands as functions. Exit codes and streams are half of what scripts rely on.
 */

import { mkdtempSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { auditLog } from '../../engine/store/connection/keys.ts'
import { textOf } from '../repo/tree.ts'
import { PACK } from '../support/api.ts'
import { JWT_SECRET, KEYS } from '../support/engine.ts'
import { type Env, fairgrab } from '../support/fairgrab.ts'
import { rawRedis, startLocalRedis } from '../support/redis.ts'
import { useWorker } from '../support/use-worker.ts'

const worker = useWorker({}, startLocalRedis)
let folder: string
let operator: Env
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'fg-cli-'))
  writeFileSync(join(folder, 'spring.json'), JSON.stringify({ name: 'Spring', currency: 'CNY', pack: PACK }))
  const rich = { name: 'Rich', currency: 'CNY', pack: PACK, budget: { max_amount: 200_000 } }
  writeFileSync(join(folder, 'rich.json'), JSON.stringify(rich))
  writeFileSync(join(folder, 'broken.json'), '{"name": ')
  const marked = JSON.stringify({ name: 'N', currency: 'CNY', pack: PACK }).replace('N', '\xc4\xe3')
  writeFileSync(join(folder, 'gbk.json'), Buffer.from(marked, 'latin1'))
  writeFileSync(join(folder, 'marked.json'), `\ufeff${JSON.stringify({ name: 'N', currency: 'CNY', pack: PACK })}`)
  operator = { FAIRGRAB_URL: worker.url, FAIRGRAB_KEY: KEYS.operator }
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const ERRORS: readonly (readonly [string, number, string, Env?])[] = [
  [
    'up --port 9000',
    2,
    '"--port" (from the command line) is nothing that fairgrab up takes: settings come from the environment, like PORT=… fairgrab up; try fairgrab up --help',
  ],
  [
    'up workers=2',
    2,
    '"workers=2" (from the command line) is nothing that fairgrab up takes: settings come from the environment, like FAIRGRAB_WORKERS=… fairgrab up; try fairgrab up --help',
  ],
  ...['doctor --url http://127.0.0.1:2', 'config check --key k', 'keys --url=x', 'token ada --key k'].map(line => {
    const [name = '', option = ''] = [line.split(' ')[0], /--\w+/.exec(line)?.[0]]
    const words = `${option} (from the command line) is of no use to fairgrab ${name}, which asks no engine; try fairgrab ${name} --help`
    return [line, 2, words] as const
  }),
  [
    'audit everything',
    2,
    '"everything" (from the command line) is one word more than fairgrab audit takes; try fairgrab audit --help',
  ],
  [
    'round pause rnd_1 rnd_2',
    2,
    '"rnd_2" (from the command line) is one word more than fairgrab round takes; try fairgrab round --help',
  ],
  [
    'config check',
    2,
    'REDIS_URL: "http:" is not known; use redis://, rediss://, redis+sentinel://, redis+cluster:// or unix://',
    { REDIS_URL: 'http://x' },
  ],
  ...(['redis://', 'redis://h:0', 'unix://', 'unix://r.sock'] as const).map(
    url =>
      [
        'config check',
        2,
        `REDIS_URL: "${url}" is not an address; write redis://host:6379 or unix:///path/redis.sock`,
        { REDIS_URL: url },
      ] as const,
  ),
  [
    'config check',
    2,
    'REDIS_URL: "/-1" is not the number of a database; write redis://host:6379/0',
    { REDIS_URL: 'redis://h/-1' },
  ],
  ...(['redis://u:secret%@h', 'redis+sentinel://u:secret%zz@h:1/name'] as const).map(
    url =>
      [
        'config check',
        2,
        'REDIS_URL: a "%" in its name or password is not followed by two hexadecimal digits; write %25 for it',
        { REDIS_URL: url },
      ] as const,
  ),
  [
    'config check',
    2,
    'HOST: "nobody.invalid" (from the environment) is no address of this machine (ENOTFOUND); set it to one, like 127.0.0.1, or unset it: some shells set HOST to the name of the machine',
    { HOST: 'nobody.invalid' },
  ],
  ...(['FAIRGRAB_DATA_DIR', 'FAIRGRAB_ARRIVALS'] as const).map(
    name =>
      [
        'config check',
        2,
        `${name}: "/dev/null/x" cannot be used as a folder (ENOTDIR); set it to a folder that may be written`,
        { [name]: '/dev/null/x' },
      ] as const,
  ),
  [
    'round',
    2,
    'fairgrab round needs a verb: list, show, create, open, pause, resume, close, release, stock; for example fairgrab round list',
  ],
  [
    'round puase rnd_1',
    2,
    '"puase" (from the command line) is no verb of fairgrab round; did you mean pause? It has list, show, create, open, pause, resume, close, release, stock',
  ],
  ['round pause', 2, 'which round? Type fairgrab round pause ROUND'],
  [
    'round list --jsn',
    2,
    '--jsn (from the command line) is no option of fairgrab round; did you mean --json? try fairgrab round --help',
  ],
  ['round create cmp_1', 2, '--stock is missing; give it, for example --stock 1'],
  [
    'round create cmp_1 --stock many',
    2,
    '--stock: "many" (from the command line) is not a whole number from 1 to 100000000; give one',
  ],
  [
    'round create cmp_1 --stock 5 --pool assisted',
    2,
    '--pool: "assisted" (from the command line) is not a pool; give its name and its packs, like assisted=500',
  ],
  [
    'round stock rnd_1 --add 1.5',
    2,
    '--add: "1.5" (from the command line) is not a whole number from -100000000 to 100000000; give one',
  ],
  ['round list --url localhost', 2, '"localhost" (from --url) is not an address; give one like http://127.0.0.1:8080'],
  [
    'round list',
    2,
    '"nowhere" (from FAIRGRAB_URL) is not an address; give one like http://127.0.0.1:8080',
    { FAIRGRAB_URL: 'nowhere' },
  ],
  [
    'round list',
    1,
    'no engine answers at http://127.0.0.1:2 (connect ECONNREFUSED 127.0.0.1:2); start one with fairgrab up, or give --url or FAIRGRAB_URL',
    { FAIRGRAB_URL: 'http://127.0.0.1:2' },
  ],
  ['keys root', 2, '"root" (from the command line) is no role; give some of operator, platform, merchant, viewer'],
  [
    'keys operator --scope a/b',
    2,
    '--scope: "a/b" (from the command line) is no scope; give 1 to 64 of A-Z a-z 0-9 . _ @ -',
  ],
  ['token a/b', 2, '"a/b" (from the command line) is no user id; it must be 1..64 of A-Z a-z 0-9 . _ : @ | + -'],
  [
    'token ada',
    2,
    'FAIRGRAB_JWT_SECRET is not set; set it to the secret that the engine has (openssl rand -hex 32 makes one)',
  ],
  [
    'round create cmp_1 --stock 5 --allocation raffle',
    2,
    '--allocation: "raffle" (from the command line) is no mode; give one of fcfs, window, lottery',
  ],
  ['round create cmp_1 --stock 5 --window-ms 500', 2, '--window-ms does not fit --allocation fcfs; it is for window'],
  ['rates set', 2, 'which rate? Give --per-user N, --per-address N, --per-key N, or --reset'],
  ['merchant hold m1', 2, '--reason is missing; give it, for example --reason "complaint 4711"'],
  ['redeem CODE --order o1', 2, '--amount is missing; give it, for example --amount 1'],
  [
    'config check',
    2,
    'PORT: "http" (from the environment) is not a whole number; give port. Where HTTP and the stream listen; 0 takes a free one.',
    { PORT: 'http' },
  ],
  [
    'config check',
    2,
    'FAIRGRAB_WORKER (from the environment) is not a setting; did you mean FAIRGRAB_WORKERS? Unset it; docs/config.md has them all.',
    { FAIRGRAB_WORKER: '2' },
  ],
  [
    'config check',
    2,
    'FAIRGRAB_KEYS: entry 1 has no role; write one of operator, platform, merchant, viewer, a colon and the key',
    { FAIRGRAB_KEYS: 'admin:abcdefghijkl' },
  ],
]

test('every error names the value, where it came from and what to do; exit 2 is the line, 1 the world', async () => {
  const ran = await Promise.all(ERRORS.map(([line, , , env]) => fairgrab(line, env)))
  expect(ran).toEqual(ERRORS.map(([, code, words]) => ({ code, out: '', err: `fairgrab: ${words}` })))
})

test('a check of the settings keeps each name apart from its value', async () => {
  const [secret, previous] = ['x'.repeat(32), 'y'.repeat(32)]
  const env = { FAIRGRAB_JWT_SECRET: secret, FAIRGRAB_JWT_SECRET_PREVIOUS: previous, FAIRGRAB_WORKERS: '2' }
  const { code, out } = await fairgrab('config check', env)
  expect([
    code,
    ...out
      .trim()
      .split('\n')
      .map(row => row.trim().split(/ {2,}/)),
  ]).toEqual([
    0,
    ['the settings are sound'],
    ['FAIRGRAB_JWT_SECRET', 'set'],
    ['FAIRGRAB_JWT_SECRET_PREVIOUS', 'set'],
    ['FAIRGRAB_WORKERS', '2'],
  ])
})

test('the version is that of the package, however it is asked for', async () => {
  const { version } = JSON.parse(textOf('package.json')) as { version: string }
  const words = `fairgrab ${version} (Node ${process.version}, ${process.platform} ${process.arch})`
  for (const line of ['version', '--version', '-v'])
    expect(await fairgrab(line)).toEqual({ code: 0, out: words, err: '' })
  expect((await fairgrab('version 2')).err).toBe(
    'fairgrab: "2" (from the command line) is one word more than fairgrab version takes',
  )
})

test('every command has help with its options and two examples, and none needs an engine for it', async () => {
  const names = [
    'campaign',
    'round',
    'claim',
    'redeem',
    'watch',
    'audit',
    'token',
    'keys',
    'config',
    'rates',
    'merchant',
    'voucher',
    'report',
    'doctor',
  ]
  const all = (await fairgrab('help')).out
  const helps = await Promise.all(names.map(name => fairgrab(`${name} --help`)))
  for (const [i, { code, out, err }] of helps.entries()) {
    const name = names[i] as string
    expect([name, code, err]).toEqual([name, 0, ''])
    const [, examples = ''] = out.split('\nexamples\n')
    expect(examples.split('\n').map(line => /^ {2}(\w+=\S+ )?fairgrab (\w+)/.exec(line)?.[2])).toEqual([name, name])
    const asks = !['token', 'keys', 'config', 'doctor'].includes(name)
    for (const option of ['--url', '--key']) expect([name, out.includes(option)]).toEqual([name, asks])
    for (const option of ['--json', '--help']) expect(out).toContain(option)
    expect(all).toContain(`fairgrab ${name}`)
  }
  expect((await fairgrab('keys --help')).out).toBe(`fairgrab keys: make API keys, one a role

  fairgrab keys [ROLE …] [--scope NAME]

options
  --scope …             who acts by them; a merchant, for its key; else nobody by name
  --json                the answer as one line of JSON
  --help                this text

examples
  fairgrab keys operator platform platform
  fairgrab keys operator --scope ada`)
})

test('every command that there is has --help', async () => {
  const all = (await fairgrab('help')).out
  const names = [...new Set([...all.matchAll(/^ {2}fairgrab (\w+)/gm)].map(([, name = '']) => name))]
  expect(names.length).toBeGreaterThan(18)
  // The bench's is printed by another program: command-process.test.ts.
  const lines = [...names.filter(name => name !== 'bench').map(name => `${name} --help`), 'round -h']
  const ran = await Promise.all(lines.map(line => fairgrab(line)))
  expect(ran.map(({ code, out, err }, i) => [lines[i], code, err, /^fairgrab\b/.test(out)])).toEqual(
    lines.map(line => [line, 0, '', true]),
  )
})

describe('a release from the command line', () => {
  const json = async (line: string, env = operator): Promise<Record<string, never>> => {
    const { code, out, err } = await fairgrab(`${line} --json`, env)
    expect([line, code, err]).toEqual([line, 0, ''])
    return JSON.parse(out)
  }

  test('from a file to a redemption; a dry run changes nothing; the log has it', async () => {
    const dry = await fairgrab(`campaign create ${folder}/spring.json --dry-run`, operator)
    expect(dry).toEqual({ code: 0, out: 'it would be made; nothing was. It has no budget of its own', err: '' })
    const rich = await fairgrab(`campaign create ${folder}/rich.json --dry-run`, operator)
    expect(rich.out).toBe(
      'it would be made; nothing was. Its budget is 2,000.00 CNY, and no round commits any of it yet',
    )
    const funded = await json(`campaign create ${folder}/rich.json`)
    const round = await fairgrab(`round create ${funded.id} --stock 5 --dry-run`, operator)
    expect(round.out).toBe(
      'it would be made; nothing was\nnow   0.00 of 2,000.00 CNY committed\nthen  100.00 of 2,000.00 CNY committed',
    )
    const campaign = await json(`campaign create ${folder}/spring.json`)
    const broken = await fairgrab(`campaign create ${folder}/broken.json`, operator)
    expect([broken.code, broken.err]).toEqual([
      2,
      expect.stringMatching(/broken\.json \(from the command line\) is not JSON: .*; docs\/api\.md/),
    ])
    const gbk = await fairgrab(`campaign create ${folder}/gbk.json`, operator)
    expect([gbk.code, gbk.err]).toEqual([2, expect.stringMatching(/gbk\.json \(from the command line\) is not UTF-8;/)])
    expect((await fairgrab(`campaign create ${folder}/marked.json --dry-run`, operator)).code).toBe(0)
    expect((await fairgrab('campaign show \ufffd', operator)).err).toMatch(/^fairgrab: word 2 .* is not UTF-8; /)
    expect((await json('campaign list')).data).toHaveLength(2)
    const free = await fairgrab(`round create ${campaign.id} --stock 20 --dry-run`, operator)
    expect(free.out).toMatch(
      /^it would be made; nothing was\nnow {3}0\.00 CNY committed\nthen {2}[\d,]+\.00 CNY committed$/,
    )
    const { id } = await json(`round create ${campaign.id} --stock 20 --pool assisted=5`)
    const told = await fairgrab(`round open ${id} --dry-run`, operator)
    expect(told.out).toMatch(/^now {3}rnd_\w+ {2}scheduled +20 left of 20\nthen {2}rnd_\w+ {2}open +20 left of 20$/)
    expect((await json(`round show ${id}`)).state).toBe('scheduled')
    expect((await json(`round open ${id}`)).state).toBe('open')
    const again = await fairgrab(`round open ${id}`, operator)
    expect(again).toEqual({ code: 1, out: '', err: 'fairgrab: wrong_state: the round is open; it cannot open' })
    const claimed = (await json(`claim ${id} ada`)) as unknown as { vouchers: { code: string }[] }
    const code = claimed.vouchers[0]?.code as string
    const redeem = `redeem ${code} --order o1 --amount 5000 --currency CNY --merchant m1`
    const first = await json(redeem)
    expect(first).toMatchObject({ discount_amount: 1000, payer_amount: 4000 })
    expect(await json(redeem)).toEqual(first)
    const redeemed = (await fairgrab(`voucher show ${code}`, operator)).out
    expect(redeemed).toMatch(/ {2}redeemed {2}ada\n {2}\S+ {2}granted\n {2}\S+ {2}redeemed {2}operator:[0-9a-f]{16}$/)
    expect((await json(`round stock ${id} --add=-4`)).stock).toMatchObject({ total: 16 })
    const [watched] = (await json('watch --once')) as unknown as { stock: unknown }[]
    expect(watched?.stock).toMatchObject({ total: 16, granted: 1 })
    const nobody = await fairgrab(`round pause ${id}`, { FAIRGRAB_URL: worker.url })
    expect(nobody).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^fairgrab: unauthorized: .*; give --key or set FAIRGRAB_KEY$/),
    })

    const audit = await fairgrab('audit', operator)
    expect([audit.code, audit.out.split('\n').at(-1)]).toEqual([0, '12 entries, the chain holds'])
    const redis = rawRedis(worker.redisUrl)
    const [, , third] = await redis.xrange(auditLog(), '-', '+')
    await redis.xdel(auditLog(), third?.[0] as string)
    redis.disconnect()
    const cut = await fairgrab('audit', operator)
    expect([cut.code, cut.out.split('\n').at(-1)]).toEqual([1, 'the chain breaks at entry 3'])
  })

  test('a draw, rates, a held merchant, a voucher out of use: each first dry, then for good', async () => {
    const [, campaign] = (await json('campaign list')).data as unknown as { id: string }[]
    const drawn = await json(`round create ${campaign?.id} --stock 3 --allocation window --window-ms 500 --waitlist 2`)
    expect(drawn.allocation).toMatchObject({ mode: 'window', window_ms: 500, waitlist: 2 })
    const rates = await fairgrab('rates set --per-user 5 --dry-run', operator)
    expect(rates.out).toBe('now   user 20/s, address 200/s, key no limit\nthen  user 5/s, address 200/s, key no limit')
    expect((await fairgrab('rates set --per-user 5', operator)).out).toBe('user 5/s, address 200/s, key no limit')
    expect((await json('rates set --reset')).rates).toEqual({ user: 20, address: 200, key: 0 })
    const dry = await fairgrab('merchant hold m1 --reason fake --dry-run', operator)
    expect(dry.out).toBe('now   not held\nthen  held: fake')
    expect((await fairgrab('merchant hold m1 --reason fake', operator)).out).toBe('held: fake')
    expect((await fairgrab('merchant list', operator)).out).toMatch(/^m1 {2}held since \S+: fake {2}\(operator:/)
    const back = await fairgrab(`merchant take-back m1 --campaign ${campaign?.id} --reason fake --dry-run`, operator)
    expect(back.out).toBe('1 redemptions would be deactivated')
    expect((await fairgrab('merchant release m1', operator)).out).toBe('not held')
    const rounds = (await json('round list')).data as unknown as { id: string; state: string }[]
    const open = rounds.find(({ state }) => state === 'open')?.id
    const { vouchers } = (await json(`claim ${open} cy`)) as unknown as { vouchers: { code: string }[] }
    const out = `voucher deactivate ${vouchers[0]?.code} --reason lost`
    expect((await fairgrab(`${out} --dry-run`, operator)).out).toBe('now   active\nthen  deactivated')
    expect((await fairgrab(out, operator)).out).toBe('deactivated')
  })

  test('keys, a token and a check of the settings', async () => {
    const { out } = await fairgrab('keys operator platform')
    const keys = /^FAIRGRAB_KEYS="(operator:[\w-]{32},platform:[\w-]{32})"$/.exec(out)?.[1] as string
    const checked = await fairgrab('config check', { FAIRGRAB_KEYS: keys, FAIRGRAB_WORKERS: '3' })
    expect([checked.code, checked.out]).toEqual([
      0,
      expect.stringMatching(/sound\n {2}FAIRGRAB_KEYS +set\n {2}FAIRGRAB_WORKERS +3$/),
    ])
    expect(checked.out).not.toContain(keys.slice(9, 20))
    const { out: token } = await fairgrab('token bo', { FAIRGRAB_JWT_SECRET: JWT_SECRET })
    const round = ((await json('round list')).data as unknown as { id: string; state: string }[]).find(
      ({ state }) => state === 'open',
    )
    const own = { FAIRGRAB_URL: worker.url, FAIRGRAB_KEY: token }
    expect((await json(`claim ${round?.id} bo`, own)).outcome).toBe('granted')
    expect(await fairgrab(`claim ${round?.id} eve`, own)).toMatchObject({ code: 1 })
  })
})
