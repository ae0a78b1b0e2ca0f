/**
 * Files that a line of the command line names, and words that it does not know: what is wrong, where, and what to do, never an error
 * of the system alone; and what the doctor looks at.
 *
 * A file that cannot be written is one in a folder that is not there, a folder itself, below a file, or on a full disk; which of them is
 * known from the system's code. Rejected: a file without the right to write, since tests run as root in places.
 */
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Api, makeRound } from '../support/api.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { type Env, fairgrab } from '../support/fairgrab.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'

let redis: RedisServer
let worker: TestWorker
let operator: Env
let campaign: string
let folder: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fg-files-'))
  writeFileSync(join(folder, 'plain'), 'a file')
  redis = await startRedis()
  worker = await startTestWorker(redis.url)
  operator = { FAIRGRAB_URL: worker.url, FAIRGRAB_KEY: KEYS.operator }
  campaign = (await makeRound(new Api(worker.url, KEYS.operator))).campaign_id
})
afterAll(async () => {
  await worker?.stop()
  await redis?.stop()
  await rm(folder, { recursive: true, force: true })
})

const words = async (line: string, env: Env = operator) => {
  const { code, out, err } = await fairgrab(line, env)
  return { code, out, err: err.replaceAll(folder, 'DIR').replace(/^fairgrab: /, '') }
}
const refused = (err: string) => ({ code: 2, out: '', err })

test('a file that cannot be written is named with its option, the cause and what to do, and nothing is printed', async () => {
  const report = `report ${campaign}`
  expect(await words(`${report} --csv ${folder}/away/r.csv`)).toEqual(
    refused(
      '--csv: DIR/away/r.csv (from the command line) cannot be written: there is no folder DIR/away; make it with mkdir -p DIR/away, or name a file elsewhere',
    ),
  )
  expect(await words(`${report} --html ${folder}`)).toEqual(
    refused('--html: DIR (from the command line) cannot be written: it is a folder; name a file in it'),
  )
  expect(await words(`${report} --html ${folder}/r.html --csv ${folder}/plain/r.csv`)).toEqual(
    refused(
      '--csv: DIR/plain/r.csv (from the command line) cannot be written: a folder of its path is a file; name a file elsewhere',
    ),
  )
  expect(await words(`${report} --csv /dev/full`)).toEqual(
    refused(
      '--csv: /dev/full (from the command line) cannot be written: the disk is full; free some of it, or name a file elsewhere',
    ),
  )
  expect((await words(`${report} --csv ${folder}/r.csv`)).code).toBe(0)
  expect(existsSync(join(folder, 'r.csv'))).toBe(true)
})

test('a file that cannot be read is named with the cause and what it is to hold', async () => {
  expect(await words(`apply ${folder}/away.yaml`)).toEqual(
    refused(
      'DIR/away.yaml (from the command line) cannot be read: it is not there; give a file of YAML, or - for the input',
    ),
  )
  expect(await words(`call createCampaign --body @${folder}`)).toEqual(
    refused('DIR (from the command line) cannot be read: it is a folder; give a file of JSON, or - for the input'),
  )
  expect(await words(`draw check --receipt ${folder} ${folder}`)).toEqual(
    refused(
      '--receipt: DIR (from the command line) cannot be read: it is a folder; save the answer to your claim, or its field "receipt", in a file',
    ),
  )
  expect(await words(`draw verify ${folder}/plain`)).toEqual(
    refused(
      'DIR/plain (from the command line) cannot be read: it is no folder; make one with: fairgrab draw export ROUND DIR/plain',
    ),
  )
  expect(await words(`draw verify ${folder}/away`)).toEqual(
    refused(
      'DIR/away (from the command line) cannot be read: it is not there; make one with: fairgrab draw export ROUND DIR/away',
    ),
  )
})

test('a word that is no command is refused by name with what there is, and with a near one only where one is near', async () => {
  const all =
    'up, bench, report, draw, doctor, apply, campaign, round, claim, redeem, watch, rates, merchant, voucher, call, audit, token, keys, config, version, help'
  for (const line of ['nope', 'help nope'])
    expect(await words(line)).toEqual(refused(`there is no command "nope"; there are ${all}`))
  for (const line of ['campain list', 'help campain'])
    expect(await words(line)).toEqual(refused(`there is no command "campain"; did you mean campaign? There are ${all}`))
  expect((await words('round zzzzzz')).err).toMatch(/^"zzzzzz" .* is no verb of fairgrab round; it has list, show, /)
  expect((await words('round list --zzzzzz')).err).toBe(
    '--zzzzzz (from the command line) is no option of fairgrab round; try fairgrab round --help',
  )
  expect((await words('call zzzzzz')).err).toBe(
    '"zzzzzz" (from the command line) is no operation; fairgrab call lists them all',
  )
  expect((await words('draw verfy x')).err).toMatch(
    /^there is no "draw verfy"; did you mean verify\? There are export, /,
  )
})

test('a time has an example, in the help and where it is refused', async () => {
  const { out } = await words('round --help')
  for (const option of ['opens-at', 'closes-at', 'draws-at'])
    expect(out).toMatch(new RegExp(`--${option} … .*, like 2026-12-01T\\d\\d:00:00Z`))
  const round = `round create ${campaign} --stock 5`
  for (const line of ['--opens-at tomorrow', '--closes-at 20:00', '--allocation lottery --draws-at soon'])
    expect((await words(`${round} ${line}`)).err).toMatch(
      /_at: must be a time in RFC 3339, like 2026-12-01T10:00:00\.000Z/,
    )
})

test('the doctor says what it looks at, and what it needs where it was given an engine alone', async () => {
  const { code, out } = await words('doctor', {
    FAIRGRAB_URL: 'http://127.0.0.1:9',
    FAIRGRAB_DATA_DIR: `${folder}/away`,
  })
  expect(code).toBe(1)
  const [first, second] = out.replaceAll(folder, 'DIR').split('\n')
  expect(first).toBe('it looks at this machine, these settings and the embedded Redis in DIR/away (REDIS_URL is unset)')
  expect(second).toBe(
    'FAIRGRAB_URL is of no use to it, it asks no engine: run it where the engine runs, with its settings (REDIS_URL or FAIRGRAB_DATA_DIR); what a running engine lacks is in GET /readyz?verbose',
  )
  expect(out).toContain(`there is no folder ${folder}/away, where an embedded Redis has its data`)
  expect(out).not.toContain('statfs')
  const json = JSON.parse((await words('doctor --json', { REDIS_URL: redis.url })).out)
  expect(json.looks_at).toBe('this machine, these settings and the Redis of REDIS_URL')
})
