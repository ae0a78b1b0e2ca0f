/**
 * `fairgrab apply`: a whole release from one file, as a person types it. Twice is once, also where the first try was cut off in
 * the middle; what differs is printed by its fields, and what cannot be changed ends with 99. A dry run changes nothing, refuses
 * what the real one would, and says what its rounds commit. What was made twice is named by whoever made it, and ever after.
 */
import { once } from 'node:events'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Api, type Fields, type Round } from '../support/api.ts'
import { KEYS } from '../support/engine.ts'
import { type Env, fairgrab, type Ran } from '../support/fairgrab.ts'
import { startLocalRedis } from '../support/redis.ts'
import { useWorker } from '../support/use-worker.ts'

/** An operator's whose scope is another one, so that the same Idempotency-Key makes other things. */
const ADAS = 'operator-key-2'

const worker = useWorker({ FAIRGRAB_KEYS: `operator:${KEYS.operator},operator:${ADAS}:ada` }, startLocalRedis)
let folder: string
let env: Env
let api: Api
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'fg-apply-'))
  env = { FAIRGRAB_URL: worker.url, FAIRGRAB_KEY: KEYS.operator }
  api = new Api(worker.url, KEYS.operator)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const planOf = (name: string, more = '') => `
campaign:
  name: ${name}
  currency: CNY
  budget: {max_amount: 1000000}
  pack:
    - template: 40-10
      valid_for_s: 604800
      discount: {type: amount_off, amount_off: 1000, minimum_amount: 4000}
rounds:
  - name: evening
    stock: 100
    opens_at: null
    pools: [{name: assisted, stock: 10}]
  - name: night
    stock: 50
    closes_at: 2088-12-01T12:00:00+08:00
merchants:
  - {id: ${name}-m1, name: Corner shop, tags: [small_shop]}
  - {id: ${name}-m2, name: Bakery}
${more}`

const write = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}
const apply = (file: string, options = '') => fairgrab(`apply ${file} ${options}`, env)
const signs = (out: string) =>
  out
    .split('\n')
    .filter(line => /^[+~=!] /.test(line))
    .map(line => line.split('  ')[0])
const count = async () => {
  const campaigns = await api.get<{ data: Fields[] }>('/v1/campaigns?limit=1000')
  const rounds = await api.get<{ data: Fields[] }>('/v1/rounds?limit=1000')
  return [campaigns.body.data.length, rounds.body.data.length]
}

test('a plan is made once, however often it is applied', async () => {
  const file = write('spring.yaml', planOf('Spring', 'rates: {user: 7}'))
  const before = await count()
  const dry = await apply(file, '--dry-run')
  expect([dry.code, dry.err]).toEqual([0, ''])
  expect(dry.out).toContain('nothing was changed')
  expect(await count()).toEqual(before)
  expect((await api.get('/v1/rates')).body).toMatchObject({ rates: { user: 20 } })

  const made = await apply(file)
  expect([made.code, made.err]).toEqual([0, ''])
  const things = ['campaign Spring', 'round evening', 'round night', 'merchant Spring-m1', 'merchant Spring-m2']
  expect(signs(made.out)).toEqual([...things.map(thing => `+ ${thing}`), '~ rates user'])
  expect(signs(dry.out)).toEqual(signs(made.out))
  expect((await api.get('/v1/rates')).body).toMatchObject({ rates: { user: 7 } })

  for (const line of ['round list', 'watch --once'])
    expect((await fairgrab(line, env)).out).toMatch(/^rnd_\w+ {2}scheduled +100 left of 100 {2}evening$/m)
  const again = await apply(file)
  expect([again.code, signs(again.out)]).toEqual([0, [...things, 'rates user'].map(thing => `= ${thing}`)])
  expect(await count()).toEqual([(before[0] as number) + 1, (before[1] as number) + 2])
  const { body } = await api.get<{ data: (Round & { name: string })[] }>('/v1/rounds')
  const round = body.data.find(({ name }) => name === 'evening')
  expect(round).toMatchObject({ stock: { total: 100 }, pools: [{ total: 90 }, { name: 'assisted', total: 10 }] })
})

test('what differs is printed by its fields; merchants and rates are set, a campaign and a round are not', async () => {
  const text = planOf('Autumn', 'rates: {user: 9, key: null}')
  const file = write('autumn.yaml', text)
  expect((await apply(file)).code).toBe(0)
  const changed = text
    .replace('max_amount: 1000000', 'max_amount: 2000000')
    .replace('stock: 100', 'stock: 120')
    .replace('[small_shop]', '[large_shop]')
    .replace('user: 9', 'user: null')
    .replace('  currency: CNY', '  currency: CNY\n  sponsor: city')
  write('autumn.yaml', changed)
  for (const options of ['--dry-run', '']) {
    const { code, out } = await apply(file, options)
    expect(code).toBe(99)
    expect(signs(out)).toEqual([
      '! campaign Autumn',
      '! round evening',
      '= round night',
      '~ merchant Autumn-m1',
      '= merchant Autumn-m2',
      '~ rates user, key',
    ])
    expect(out).toContain('budget.max_amount: 1000000, the file has 2000000')
    expect(out).toContain('sponsor: null, the file has "city"')
    expect(out).toContain('stock.general: 90, the file has 110')
    expect(out).toContain('tags: ["small_shop"], the file has ["large_shop"]')
    expect(out).toContain('user: 9, the file has 20')
    expect(out).toContain('fairgrab round stock')
  }
  expect((await api.get('/v1/merchants/Autumn-m1')).body).toMatchObject({ tags: ['large_shop'] })
  // What another operator has set since is set again, though the line was applied before.
  await api.call('PUT', '/v1/merchants/Autumn-m1', { body: { name: 'Corner shop', tags: ['other'] } })
  expect(signs((await apply(file)).out)).toContain('~ merchant Autumn-m1')
  expect((await api.get('/v1/merchants/Autumn-m1')).body).toMatchObject({ tags: ['large_shop'] })
})

test('a plan whose first try ended in the middle is finished, and nothing is made twice', async () => {
  const text = planOf('Winter')
  const half = text.slice(0, text.indexOf('  - name: night'))
  expect((await apply(write('winter.yaml', half))).code).toBe(0)
  const before = await count()
  const [one, two] = await Promise.all([apply(write('winter.yaml', text)), apply(join(folder, 'winter.yaml'))])
  expect([one?.code, two?.code]).toEqual([0, 0])
  expect(await count()).toEqual([before[0], (before[1] as number) + 1])
})

test('the answer as JSON has each thing with its differences', async () => {
  const file = write('json.yaml', 'merchants:\n  - {id: j1, name: J}\n')
  const { applied, dry_run } = JSON.parse((await apply(file, '--json')).out)
  expect([dry_run, applied]).toEqual([false, [{ what: 'merchant', name: 'j1', done: 'made' }]])
})

test.each([
  ['no YAML', 'a: [', 'is not YAML'],
  ['a name twice', 'campaign: {}\ncampaign: {}', 'is not YAML'],
  ['an unknown field', 'merchant: []', 'unknown field merchant'],
  [
    'a round without a name',
    planOf('x').replace('  - name: evening\n    stock', '  - stock'),
    'rounds.0.name: is missing',
  ],
  ['two rounds of a name', planOf('x').replace('name: night', 'name: evening'), 'rounds: must have different names'],
  ['two merchants of an id', planOf('x').replace('x-m2', 'x-m1'), 'merchants: must have different ids'],
  ['rounds of no campaign', 'rounds: [{name: a, stock: 1}]', 'there is no campaign beside them'],
  ['stock that is a text', planOf('x').replace('stock: 100', 'stock: many'), 'rounds.0.stock'],
])('a file with %s is refused before anything is asked', async (_, text, words) => {
  const before = await count()
  const { code, err } = await apply(write('wrong.yaml', text))
  expect([code, err.includes(words) ? words : err]).toEqual([2, words])
  expect(await count()).toEqual(before)
})

test('a file that is not there, and two campaigns of its name, are refused', async () => {
  expect(await apply(join(folder, 'none.yaml'))).toMatchObject({
    code: 2,
    err: expect.stringContaining('cannot be read'),
  })
  const file = write('twin.yaml', planOf('Twin'))
  const { body } = await api.get<{ data: Fields[] }>('/v1/campaigns?limit=1000')
  const { id: _, created_at: __, ...rules } = body.data[0] as Fields
  for (const _ of ['one', 'two']) expect((await api.post('/v1/campaigns', { ...rules, name: 'Twin' })).status).toBe(201)
  expect(await apply(file)).toMatchObject({ code: 2, err: expect.stringContaining('there are 2 of that name') })
})

/** A campaign stands, and its rounds do not yet. */
async function standing(name: string): Promise<string> {
  const text = planOf(name)
  const file = write(`${name}.yaml`, text.slice(0, text.indexOf('rounds:')))
  expect((await apply(file)).code).toBe(0)
  return write(`${name}.yaml`, text)
}
const makeRound = async (campaign: string, fields: Fields) => {
  const { body } = await api.get<{ data: Fields[] }>('/v1/campaigns?limit=1000')
  const id = body.data.find(({ name }) => name === campaign)?.id
  return api.post<Round>(`/v1/campaigns/${id}/rounds`, fields)
}

/** The engine's address, at which something is done before the first round is passed on. */
async function beforeRound(work: () => Promise<unknown>) {
  let isFirst = true
  const door = createServer(async (request, response) => {
    const { method = 'GET', url = '/', headers } = request
    if (isFirst && method === 'POST' && url.endsWith('/rounds')) {
      isFirst = false
      await work()
    }
    const { 'idempotency-key': key = '', authorization = '' } = headers
    const sent = { authorization, 'content-type': 'application/json', 'idempotency-key': String(key) }
    const body = method === 'GET' ? undefined : await text(request)
    const answer = await fetch(worker.url + url, { method, headers: sent, ...(body ? { body } : {}) })
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(await answer.text())
  })
  await once(door.listen(0, '127.0.0.1'), 'listening')
  const { port } = door.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, close: () => door.close() }
}

test.each([
  ['the same scope makes nothing again', KEYS.operator, 0, 2],
  ['another scope makes it again, which the later one says', ADAS, 2, 4],
])('an operator who applies at once with %s', async (_, key, code, made) => {
  const name = `Double-${made}`
  const file = await standing(name)
  const before = (await count())[1] as number
  let theirs: Ran | undefined
  const door = await beforeRound(async () => {
    theirs = await fairgrab(`apply ${file}`, { ...env, FAIRGRAB_KEY: key })
  })
  const ours = await fairgrab(`apply ${file}`, { ...env, FAIRGRAB_URL: door.url })
  door.close()
  expect([theirs?.code, ours.code]).toEqual([0, code])
  expect(await count()).toEqual([expect.any(Number), before + made])
  expect(signs(ours.out)).toContain('+ round evening')
  if (code === 2) expect(ours.err).toMatch(/round evening: there are 2 of that name.*rnd_\w+, rnd_\w+/)
})

test('a round whose name another one has is refused, also in a dry run, with both ids; nothing is made beside it', async () => {
  const file = await standing('Pair')
  expect((await apply(file)).code).toBe(0)
  const second = await makeRound('Pair', { name: 'night', stock: 5 })
  expect(second.status).toBe(201)
  const before = await count()
  for (const options of ['', '--dry-run']) {
    const { code, err } = await apply(file, options)
    expect([code, err]).toEqual([2, expect.stringContaining(second.body.id)])
    expect(err).toMatch(/round night: there are 2 of that name.*fairgrab round close/)
  }
  expect(await count()).toEqual(before)
})

test('a dry run says what the rounds commit together, and refuses what passes the budget, standing or not', async () => {
  const file = await standing('Budget')
  const sums = ['now   0.00 of 10,000.00 CNY committed', 'then  1,500.00 of 10,000.00 CNY committed']
  for (const path of [file, write('absent.yaml', planOf('Absent'))]) {
    const { code, out } = await apply(path, '--dry-run')
    expect([code, out.split('\n').filter(line => /^(now|then) /.test(line))]).toEqual([0, sums])
    const { budget } = JSON.parse((await apply(path, '--dry-run --json')).out)
    expect(budget).toEqual({ currency: 'CNY', before: 0, after: 150_000, max_amount: 1_000_000 })
    // Each of them has room by itself, and both together have not.
    write('much.yaml', planOf(path === file ? 'Budget' : 'Absent').replace('stock: 50', 'stock: 901'))
    const much = await apply(join(folder, 'much.yaml'), '--dry-run')
    expect([much.code, much.err]).toEqual([
      1,
      expect.stringMatching(/round night: budget_exceeded: 901 packs could cost/),
    ])
    expect(signs(much.out)).toContain('+ round evening')
  }
})

test.each(['Past', 'Gone'])('a dry run refuses a date that is over, in %s', async name => {
  if (name === 'Past') await standing(name)
  const file = write('past.yaml', planOf(name).replace('2088', '2019'))
  const { code, err } = await apply(file, '--dry-run')
  expect([code, err]).toEqual([1, expect.stringMatching(/round night: invalid: closes_at: must be later than now/)])
})

test('an apply that is refused prints what it made before and what differs, also as JSON', async () => {
  const file = await standing('Halfway')
  expect((await makeRound('Halfway', { name: 'late', stock: 3 })).status).toBe(201)
  const text = planOf('Halfway').replace('merchants:', '  - {name: late, stock: 4}\nmerchants:')
  write('Halfway.yaml', text.replace('stock: 50', 'stock: 2000'))
  const { code, out, err } = await apply(file)
  expect([code, err]).toEqual([1, expect.stringMatching(/round night: budget_exceeded/)])
  expect(signs(out)).toEqual(['= campaign Halfway', '! round late', '+ round evening'])
  const again = await apply(file, '--json')
  const { applied, refused } = JSON.parse(again.out)
  expect([again.code, refused]).toEqual([1, expect.stringContaining('budget_exceeded')])
  expect(applied.map(({ name, done }: Fields) => [name, done])).toEqual([
    ['Halfway', 'same'],
    ['evening', 'same'],
    ['late', 'differs'],
  ])
})

test('all that is wrong with a file is said at once, a misspelt field by its name', async () => {
  const text = planOf('x').replace('stock: 100', 'stck: 100').replace('  currency: CNY', '  currency: yuan')
  const { code, err } = await apply(write('wrong.yaml', text.replace('  - name: night\n    stock', '  - stock')))
  expect(code).toBe(2)
  expect(err.indexOf('unknown field rounds.0.stck')).toBeGreaterThan(0)
  for (const words of ['campaign.currency: must be', 'rounds.0.stock', 'rounds.1.name: is missing'])
    expect(err).toContain(words)
})

test.each(['', '# nothing yet\n', '{}', 'rounds: []\nrates: {}'])(
  'a file that asks for nothing is refused: %j',
  async text => {
    const { code, err } = await apply(write('nothing.yaml', text))
    expect([code, err]).toEqual([2, expect.stringContaining('nothing to make')])
  },
)
