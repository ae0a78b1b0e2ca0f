/**
 * The command line can do what the API can: each field that a body may have has a flag, and each operation a line.
 *
 * A table of lines is run against a real engine, and what was asked is read from its audit log. The fields of the schemas that
 * /openapi.json serves are compared with those that the lines gave, so a new field without a flag fails here.
 */
import { mkdtempSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ROUTES } from '../../engine/server/routes/routes.ts'
import { Api, type Fields, type Granted, makeCampaign, makeRound, type Round } from '../support/api.ts'
import { resolve, standalone } from '../support/contract.ts'
import { KEYS } from '../support/engine.ts'
import { type Env, fairgrab } from '../support/fairgrab.ts'
import { startLocalRedis } from '../support/redis.ts'
import { useWorker } from '../support/use-worker.ts'

const worker = useWorker({}, startLocalRedis)
let api: Api
let env: Env
let folder: string
beforeAll(() => {
  api = new Api(worker.url, KEYS.operator)
  env = { FAIRGRAB_URL: worker.url, FAIRGRAB_KEY: KEYS.operator }
  folder = mkdtempSync(join(tmpdir(), 'fg-fields-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** The paths of all fields that a schema has, through its alternatives and lists. */
function fieldsOf(schema: unknown, at = ''): readonly string[] {
  if (typeof schema !== 'object' || schema === null) return []
  const { properties, oneOf, anyOf, items } = schema as Readonly<
    Record<string, readonly unknown[] | object | undefined>
  >
  const inner = [...((oneOf ?? anyOf ?? []) as readonly unknown[]), items].flatMap(part => fieldsOf(part, at))
  const own = Object.entries(properties ?? {}).flatMap(([name, part]) =>
    fieldsOf(part, at === '' ? name : `${at}.${name}`),
  )
  return inner.length + own.length > 0 ? [...inner, ...own] : at === '' ? [] : [at]
}

/** The same of a value. */
function fieldsIn(value: unknown, at = ''): readonly string[] {
  if (Array.isArray(value)) return value.flatMap(item => fieldsIn(item, at))
  if (typeof value !== 'object' || value === null) return [at]
  return Object.entries(value).flatMap(([name, inner]) => fieldsIn(inner, at === '' ? name : `${at}.${name}`))
}

async function describedFields(name: string): Promise<readonly string[]> {
  const { body } = await api.get('/openapi.json')
  return [...new Set(fieldsOf(standalone(body, resolve(body, `#/components/schemas/${name}`))))].sort()
}

const json = async (line: string) => {
  const { code, out, err } = await fairgrab(`${line} --json`, env)
  expect([line, code, err]).toEqual([line, 0, ''])
  return JSON.parse(out) as Fields
}

/** The bodies of the changes that were asked for, as the log has them. */
async function askedBodies(action: string): Promise<readonly unknown[]> {
  const { body } = await api.get<{ data: { action: string; outcome: string; body: string }[] }>('/v1/audit?limit=1000')
  const asked = body.data.filter(row => row.action === action && row.outcome === 'asked')
  return asked.map(row => JSON.parse(row.body))
}

const OPENS = '2026-12-01T10:00:00.000Z'
const LATER = '2099-12-01T12:00:00.000Z'
const DRAW = { beacon: { kind: 'drand' }, quota_order: 'pool-first', waitlist: 2, may_end_early: true }
const DRAW_FLAGS = '--beacon drand --quota-order pool-first --waitlist 2 --may-end-early'
const ROUND_LINES: readonly (readonly [string, Fields])[] = [
  [
    `--stock 20 --name Spring --opens-at ${OPENS} --closes-at ${LATER} --pool assisted=5,local=2 --strict`,
    {
      stock: 20,
      name: 'Spring',
      opens_at: OPENS,
      closes_at: LATER,
      pools: [
        { name: 'assisted', stock: 5 },
        { name: 'local', stock: 2 },
      ],
      allocation: { mode: 'fcfs', strict: true },
    },
  ],
  [
    `--stock 3 --allocation window --window-ms 500 ${DRAW_FLAGS}`,
    { stock: 3, opens_at: null, closes_at: null, pools: [], allocation: { mode: 'window', window_ms: 500, ...DRAW } },
  ],
  [
    `--stock 3 --allocation lottery --draws-at ${LATER} ${DRAW_FLAGS}`,
    { stock: 3, opens_at: null, closes_at: null, pools: [], allocation: { mode: 'lottery', draws_at: LATER, ...DRAW } },
  ],
]

test('every field of a new round has a flag', async () => {
  const campaign = await makeCampaign(api)
  for (const [flags] of ROUND_LINES) await json(`round create ${campaign} ${flags}`)
  const bodies = await askedBodies('POST /v1/campaigns/{id}/rounds')
  expect(bodies).toEqual(ROUND_LINES.map(([, body]) => body))
  expect([...new Set(bodies.flatMap(body => fieldsIn(body)))].sort()).toEqual(await describedFields('NewRound'))
})

test('a campaign comes from a file, with every field', async () => {
  const pack = {
    template: '40-10',
    quantity: 1,
    valid_for_s: 60,
    max_per_order: 1,
    max_per_merchant_per_day: 2,
    merchant_tags: ['small_shop'],
  }
  const campaign = {
    name: 'Spring',
    sponsor: 'city',
    currency: 'CNY',
    timezone: 'Asia/Shanghai',
    budget: { max_amount: 1000, max_amount_per_day: 100 },
    on_expiry: 'available',
    pack: [
      { ...pack, discount: { type: 'amount_off', amount_off: 10, minimum_amount: 40 } },
      {
        ...pack,
        template: 'ten',
        discount: { type: 'percent_off', percent_off: 10, minimum_amount: 40, maximum_discount_amount: 5 },
      },
    ],
    limits: { per_user: 2 },
  }
  writeFileSync(join(folder, 'campaign.json'), JSON.stringify(campaign))
  await json(`campaign create ${folder}/campaign.json`)
  const asked = (await askedBodies('POST /v1/campaigns')).at(-1)
  expect(asked).toEqual(campaign)
  expect([...new Set(fieldsIn(asked))].sort()).toEqual(await describedFields('NewCampaign'))
})

test('every field of a change of stock has a flag, and under its key it counts once', async () => {
  const { id } = await makeRound(api, { pools: [{ name: 'assisted', stock: 5 }] })
  const line = `round stock ${id} --add 3 --pool assisted --if-total 5 --idempotency-key more-1`
  for (let i = 0; i < 2; i++) expect((await json(line)).stock).toMatchObject({ total: 13 })
  const bodies = await askedBodies('POST /v1/rounds/{id}/stock')
  expect(bodies.at(-1)).toEqual({ add: 3, pool: 'assisted', if_total: 5 })
  expect(fieldsIn(bodies.at(-1)).toSorted()).toEqual(await describedFields('Restock'))
  const again = await fairgrab(line.replace('more-1', 'more-2'), env)
  expect(again).toMatchObject({ code: 1, err: 'fairgrab: changed: the total of assisted is 8 now' })
})

test('every field of a claim has a flag; an entry of a draw is shown as one', async () => {
  const [salt, nonce] = ['a'.repeat(32), 'b'.repeat(32)]
  const { id } = await makeRound(api, { pools: [{ name: 'assisted', stock: 5 }] }, { limits: { per_user: 2 } })
  const claimed = (await json(`claim ${id} ada --pool assisted --slot 2`)) as unknown as Granted
  expect(claimed.claim).toMatchObject({ user_id: 'ada', pool: 'assisted', slot: 2 })
  const drawn = await makeRound(api, { allocation: { mode: 'window', window_ms: 60_000 } })
  const entered = await json(`claim ${drawn.id} ada --nonce ${nonce} --salt ${salt}`)
  expect(entered).toMatchObject({ outcome: 'entered', receipt: { nonce, salt } })
  const shown = await fairgrab(`claim ${drawn.id} bo`, env)
  expect(shown).toMatchObject({ code: 0, out: expect.stringMatching(/^entered: tag [0-9a-f]{32}, window 0$/) })
  expect(await describedFields('ClaimRequest')).toEqual(['nonce', 'pool', 'salt', 'slot', 'user_id'])
})

test('every field of a redemption has a flag', async () => {
  const { id } = await makeRound(api)
  const { vouchers } = (await json(`claim ${id} ada`)) as unknown as Granted
  const line = `redeem ${vouchers[0]?.code} --order o1 --amount 5000 --currency CNY --merchant m1 --store s1`
  const wrong = await fairgrab(`${line} --user bo --idempotency-key a`, env)
  expect(wrong).toMatchObject({ code: 1, err: expect.stringContaining('not_eligible') })
  expect(await json(`${line} --user ada`)).toMatchObject({ order_id: 'o1', merchant_id: 'm1', store_id: 's1' })
  expect(await describedFields('RedemptionRequest')).toEqual([
    'code',
    'merchant_id',
    'order.amount',
    'order.currency',
    'order.id',
    'store_id',
    'user_id',
  ])
})

test('every operation of the API can be called by its name', async () => {
  const listed = (await json('call')) as unknown as readonly { readonly operation: string }[]
  const operations = ROUTES.flatMap(({ operation }) => operation ?? [])
  expect(listed.map(({ operation }) => operation)).toEqual(operations)
  const { id } = await makeRound(api)
  const { vouchers } = (await json(`claim ${id} cy`)) as unknown as Granted
  const made = await json(`redeem ${vouchers[0]?.code} --order o2 --amount 5000 --currency CNY --merchant m1`)
  const reverse = `call reverse id=${made.id} --body {"type":"full"} --idempotency-key refund`
  const [first, second] = [await json(reverse), await json(reverse)]
  expect([first, second]).toEqual([second, expect.objectContaining({ voucher_state: 'active' })])
  const page = (await json(`call listGrants id=${id} limit=1`)) as unknown as { data: Fields[] }
  expect(page.data).toMatchObject([{ user_id: 'cy' }])
  const lines = await fairgrab(`call listGrants id=${id} --accept application/x-ndjson`, env)
  expect(JSON.parse(lines.out)).toMatchObject({ user_id: 'cy' })
  writeFileSync(join(folder, 'merchants.ndjson'), '{"id":"m7","name":"Seven"}\n{"id":"m8","name":"Eight"}\n')
  const kept = (await json(`call keepMerchants --body @${folder}/merchants.ndjson`)) as unknown as { results: Fields[] }
  expect(kept.results.map(({ outcome }) => outcome)).toEqual(['kept', 'kept'])
  expect((await fairgrab('call readLiveness --accept text/plain', env)).out).toBe('ok')
  const paused = await json(`call pauseRound id=${id} dry_run=true`)
  expect(paused).toMatchObject({ dry_run: true, after: { state: 'paused' } })
  expect((await api.get<Round>(`/v1/rounds/${id}`)).body.state).toBe('open')
})

const ERRORS: readonly (readonly [string, string])[] = [
  [
    'call readRond id=rnd_1',
    '"readRond" (from the command line) is no operation; did you mean readRound? fairgrab call lists them all',
  ],
  ['call readRound', 'id is missing; give id=…, as in fairgrab call readRound id=…'],
  ['call readRound round=1', '"round=1" (from the command line) is no parameter of readRound; give id=…'],
  ['call redeem', '--body is missing; redeem takes JSON, the text or @FILE'],
  ['call listRounds --body {}', '--body (from the command line) is of no use to listRounds, which takes none'],
  [
    'round create cmp_1 --stock 5 --allocation window --strict',
    '--strict does not fit --allocation window; it is for fcfs',
  ],
  [
    'round create cmp_1 --stock 5 --allocation window --beacon dice',
    '--beacon: "dice" (from the command line) is no beacon; give one of commit, drand',
  ],
]

test('what does not fit is refused by name before anything is asked', async () => {
  const ran = await Promise.all(ERRORS.map(([line]) => fairgrab(line, env)))
  expect(ran).toEqual(ERRORS.map(([, words]) => ({ code: 2, out: '', err: `fairgrab: ${words}` })))
})
