/**
 * A typed client as somebody generates it: types from the served /openapi.json (openapi-typescript), calls by openapi-fetch, compiled by
 * tsc, run against a real engine. It makes a round, claims and redeems, and what the contract does not have does not compile.
 *
 * The generator needs the compiler's API of TypeScript 5, which TypeScript 7 has no more; a hook gives it its own.
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, symlinkSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { registerHooks } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { KEYS } from '../support/engine.ts'
import { useWorker } from '../support/use-worker.ts'

/** The folder of all packages, where the client's one is, too. */
const PACKAGES = fileURLToPath(new URL('../..', import.meta.resolve('openapi-fetch')))
const COMPILER = import.meta.resolve('typescript-5')

const PROGRAM = `import createClient from 'openapi-fetch'
import type { components, paths } from './contract.d.ts'

const [, , url = '', key = ''] = process.argv
const api = createClient<paths>({ baseUrl: url, headers: { authorization: \`Bearer \${key}\` } })

type Grant = components['schemas']['GrantedClaim']

const made = await api.POST('/v1/campaigns', {
  body: {
    name: 'Spring',
    currency: 'CNY',
    pack: [
      {
        template: '40-10',
        discount: { type: 'amount_off', amount_off: 1000, minimum_amount: 4000 },
        valid_for_s: 3600,
      },
    ],
  },
})
if (!made.data || !('id' in made.data)) throw new Error(JSON.stringify(made.error))
const round = await api.POST('/v1/campaigns/{id}/rounds', {
  params: { path: { id: made.data.id } },
  body: { stock: 1, opens_at: '2020-01-01T00:00:00.000Z' },
})
if (!round.data || !('id' in round.data)) throw new Error(JSON.stringify(round.error))
const { id } = round.data

async function claim(user_id: string): Promise<Grant | string> {
  const { data, error } = await api.POST('/v1/rounds/{id}/claims', { params: { path: { id } }, body: { user_id } })
  if (error) return error.code
  if (data.outcome === 'entered') return data.receipt.tag
  return data
}

const grant = await claim('u1')
if (typeof grant === 'string') throw new Error(grant)
const refused = await claim('u2')
const redeemed = await api.POST('/v1/redemptions', {
  params: { header: { 'Idempotency-Key': 'receipt-1' } },
  body: {
    code: grant.vouchers[0]?.code ?? '',
    order: { id: 'o1', amount: 5000, currency: 'CNY' },
    merchant_id: 'm1',
  },
})
const listed = await api.GET('/v1/rounds/{id}/claims', { params: { path: { id }, query: { limit: 10 } } })
console.log(
  JSON.stringify({
    sequence: grant.claim.sequence,
    refused,
    discount: redeemed.data?.discount_amount,
    // A list may come as lines, too.
    listed: typeof listed.data === 'object' && listed.data.data.map(row => row.user_id),
  }),
)
`

/** Each of them misuses the contract in one way. */
const MISUSES = [
  "api.GET('/v1/round', {})",
  "api.POST('/v1/rounds/{id}/claims', { body: { user_id: 'u1' } })",
  "api.POST('/v1/rounds/{id}/claims', { params: { path: { id } }, body: { user_id: 1 } })",
  "api.GET('/v1/rounds', { params: { query: { limit: 'ten' } } })",
  "api.POST('/v1/redemptions', { body: { code: 'c', order: { id: 'o', amount: 1, currency: 'CNY' }, merchant_id: 'm' } })",
  "api.GET('/v1/rounds/{id}', { params: { path: { id } } }).then(({ data }) => data?.stocks)",
]

const worker = useWorker()
let folder: string

/** Types of the contract that an engine serves. */
async function generated(contract: object): Promise<string> {
  const hook = registerHooks({
    resolve: (name, context, next) => (name === 'typescript' ? next(COMPILER, context) : next(name, context)),
  })
  try {
    const { default: openapiTypes, astToString } = await import('openapi-typescript')
    // A field with a default may be left out.
    const options = { defaultNonNullable: false }
    return astToString(await openapiTypes(contract as Parameters<typeof openapiTypes>[0], options))
  } finally {
    hook.deregister()
  }
}

const HEAD = `import createClient from 'openapi-fetch'
import type { paths } from './contract.d.ts'
const id = ''
const api = createClient<paths>({ baseUrl: '' })
`

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fg-client-'))
  symlinkSync(PACKAGES, join(folder, 'node_modules'))
  const contract = (await (await fetch(`${worker.url}/openapi.json`)).json()) as object
  const misuses = MISUSES.map((line, i) => [`misuse-${i}.ts`, `${HEAD}export const wrong = ${line}\n`] as const)
  const compilerOptions = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    target: 'es2024',
    module: 'nodenext',
    allowImportingTsExtensions: true,
    types: ['node'],
  }
  const files = Object.fromEntries([
    ['contract.d.ts', await generated(contract)],
    ['package.json', '{"type":"module"}'],
    ['client.ts', PROGRAM],
    ...misuses,
    ['tsconfig.json', JSON.stringify({ compilerOptions, files: ['client.ts', ...misuses.map(([name]) => name)] })],
  ])
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

function ran(program: string, args: readonly string[]): Promise<{ readonly code: number; readonly out: string }> {
  return new Promise(done =>
    execFile(program, args, (error, out, err) => done({ code: error ? Number(error.code) : 0, out: out + err })),
  )
}

test('the generated client compiles, and what the contract does not have does not', async () => {
  const { out } = await ran(join(PACKAGES, '.bin', 'tsc'), ['-p', folder])
  const wrong = new Set([...out.matchAll(/([\w-]+\.ts)\(\d+,\d+\): error/g)].map(([, file]) => file))
  expect([...wrong].sort(), out).toEqual(MISUSES.map((_, i) => `misuse-${i}.ts`))
})

test('the generated client claims and redeems', async () => {
  const { code, out } = await ran(process.execPath, [join(folder, 'client.ts'), worker.url, KEYS.operator])
  expect([code, out.split('\n').filter(line => line.startsWith('{'))], out).toEqual([
    0,
    [JSON.stringify({ sequence: 1, refused: 'sold_out', discount: 1000, listed: ['u1'] })],
  ])
})
