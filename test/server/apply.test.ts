/**
 * `fairgrab apply`: a whole release from one file, as a person types it. Twice is once, also where the first try was cut off in
 * the middle; what differs is printed by its fields, and what cannot be changed ends with 99. A dry run changes nothing.
 */
import { mkdtempSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Api, type Fields, type Round } from '../support/api.ts'
import { KEYS, startNode, type TestNode } from '../support/engine.ts'
import { type Env, fairgrab } from '../support/fairgrab.ts'

let node: TestNode
let folder: string
let env: Env
let api: Api
beforeAll(async () => {
  node = await startNode()
  folder = mkdtempSync(join(tmpdir(), 'fg-apply-'))
  env = { FAIRGRAB_URL: node.url, FAIRGRAB_KEY: KEYS.operator }
  api = new Api(node.url, KEYS.operator)
})
afterAll(async () => {
  await node?.stop()
  await rm(folder, { recursive: true, force: true })
})

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
