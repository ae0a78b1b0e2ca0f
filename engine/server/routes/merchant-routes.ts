/**
 * Merchants over HTTP: kept one by one or by the thousand, read and listed, held and released. The rules are in
 * campaign/voucher/merchants.ts and controls.ts; a change is answered when it holds on every node.
 */
import { Refusal } from '../../base/assert.ts'
import { isMerchantId } from '../../base/holder.ts'
import { MERCHANTS_PER_REQUEST_MAX } from '../../base/limits.ts'
import { nameOf } from '../../campaign/operator/requests.ts'
import type { Merchant, MerchantRules } from '../../campaign/voucher/merchants.ts'
import * as shown from '../../wire/answers/vouchers.ts'
import { accepts } from '../../wire/encoding.ts'
import { LINES_TYPE, type Line } from '../../wire/lines.ts'
import { merchant, merchantHold, merchantLine } from '../../wire/schemas.ts'
import { type Answer, type Call, isDryRun, type Route, type Services } from '../http/gateway.ts'
import { listRows } from '../http/lists.ts'

/** A merchant of 1,000 stores has more; whoever has many of them sends them in parts. */
const LINES_BYTES_MAX = 16 * 1024 * 1024

function merchantOf({ params }: Call): string {
  const id = params[0] as string
  if (!isMerchantId(id)) throw new Refusal('invalid', 'id: must be 1..64 of A-Z a-z 0-9 . _ @ -')
  return id
}

async function putMerchant({ merchants }: Services, call: Call): Promise<Answer> {
  const kept = { id: merchantOf(call), ...(call.body as MerchantRules) }
  const isReplayed = await merchants.put([kept], call.seed && nameOf(call.seed))
  return { status: 200, body: isReplayed ? await merchants.get(kept.id) : kept, isReplayed }
}

/** The lines that can be kept, and what is said of each line in its order. */
function sorted(lines: readonly Line[]) {
  const first = new Map<string, number>()
  const kept: Merchant[] = []
  const results = lines.map(line => {
    if (!('value' in line)) return line
    const row = line.value as Merchant
    const before = first.get(row.id)
    if (before !== undefined)
      return { line: line.line, code: 'invalid' as const, detail: `id: ${row.id} is on line ${before}, too` }
    first.set(row.id, line.line)
    kept.push(row)
    return { line: line.line, id: row.id, outcome: 'kept' as const }
  })
  return { kept, results }
}

async function putMerchants({ merchants }: Services, { body, seed, exchange }: Call): Promise<Answer> {
  const lines = body as readonly Line[]
  if (lines.length > MERCHANTS_PER_REQUEST_MAX)
    throw new Refusal('invalid', `the body has more than ${MERCHANTS_PER_REQUEST_MAX} lines; send them in parts`)
  if (lines.length === 0) throw new Refusal('invalid', 'the body has no line')
  const { kept, results } = sorted(lines)
  const isReplayed = kept.length > 0 && (await merchants.put(kept, seed && nameOf(seed)))
  if (!accepts(exchange.accept, LINES_TYPE)) return { status: 200, body: { results }, isReplayed }
  const content = results.map(result => `${JSON.stringify(result)}\n`).join('')
  return { status: 200, text: { type: LINES_TYPE, content }, isReplayed }
}

/** A key that is bound to a merchant reads that one only. */
async function readMerchant({ merchants }: Services, { params, caller }: Call) {
  const id = params[0] as string
  if (caller.merchant !== undefined && caller.merchant !== id)
    throw new Refusal('forbidden', `this key acts for the merchant ${caller.merchant}`)
  return { status: 200, body: await merchants.get(id) }
}

async function listMerchants(services: Services, call: Call) {
  const cursor = call.query.get('cursor')
  if (cursor !== null && !isMerchantId(cursor)) throw new Refusal('invalid', 'cursor: take it from next_cursor')
  const rows = await services.merchants.behind(cursor ?? '')
  return listRows(services, call, rows, row => row.id)
}

async function holdMerchant({ controls, clock }: Services, call: Call): Promise<Answer> {
  const id = merchantOf(call)
  const { reason } = call.body as { reason: string }
  const by = call.caller.id
  if (isDryRun(call.query)) {
    await controls.fresh()
    const after = { merchant_id: id, reason, by, at: new Date(clock.wallMs()).toISOString() }
    return { status: 200, body: { dry_run: true, before: controls.heldMerchant(id) ?? null, after } }
  }
  const isReplayed = await controls.hold(id, { reason, by, request: call.seed && nameOf(call.seed) })
  return { ...standing(controls, id), isReplayed }
}

async function releaseMerchant({ controls }: Services, call: Call): Promise<Answer> {
  const id = merchantOf(call)
  if (isDryRun(call.query)) {
    await controls.fresh()
    return { status: 200, body: { dry_run: true, before: controls.heldMerchant(id) ?? null, after: null } }
  }
  const isReplayed = await controls.release(id, call.seed && nameOf(call.seed))
  return { ...standing(controls, id), isReplayed }
}

/** A merchant as they stand now. */
const standing = (controls: Services['controls'], id: string) => ({
  status: 200,
  body: { merchant_id: id, held: controls.heldMerchant(id) ?? null },
})

export const MERCHANT_ROUTES: readonly Route[] = [
  {
    method: 'get',
    path: '/v1/merchants',
    operation: 'listMerchants',
    rows: shown.keptMerchant,
    query: ['limit', 'cursor'],
    right: 'read',
    summary: 'The merchants, by their ids',
    handle: listMerchants,
  },
  {
    method: 'put',
    path: '/v1/merchants',
    operation: 'keepMerchants',
    answers: { 200: shown.lineResults },
    files: [LINES_TYPE],
    right: 'operate',
    summary: 'Keeps up to 10,000 merchants, a line each; a result a line',
    lines: { schema: merchantLine, most: MERCHANTS_PER_REQUEST_MAX },
    bodyBytesMax: LINES_BYTES_MAX,
    handle: putMerchants,
  },
  {
    method: 'put',
    path: '/v1/merchants/{id}',
    operation: 'keepMerchant',
    answers: { 200: shown.keptMerchant },
    right: 'operate',
    summary: 'Keeps a merchant: its name, tags and stores',
    body: merchant,
    handle: putMerchant,
  },
  {
    method: 'get',
    path: '/v1/merchants/{id}',
    operation: 'readMerchant',
    answers: { 200: shown.keptMerchant },
    right: 'look-up',
    summary: 'One merchant',
    handle: readMerchant,
  },
  {
    method: 'get',
    path: '/v1/holds',
    operation: 'listHeldMerchants',
    answers: { 200: shown.heldMerchants },
    right: 'read',
    summary: 'The merchants that may not redeem now',
    handle: async ({ controls }) => {
      await controls.fresh()
      return { status: 200, body: { data: controls.heldMerchants } }
    },
  },
  {
    method: 'post',
    path: '/v1/merchants/{id}/hold',
    operation: 'holdMerchant',
    answers: { 200: shown.merchantStanding },
    query: ['dry_run'],
    right: 'operate',
    summary: 'Holds a merchant: they redeem nothing, on no node, until they are released',
    body: merchantHold,
    handle: holdMerchant,
  },
  {
    method: 'post',
    path: '/v1/merchants/{id}/release',
    operation: 'releaseMerchant',
    answers: { 200: shown.merchantStanding },
    query: ['dry_run'],
    right: 'operate',
    summary: 'Releases a merchant that was held',
    handle: releaseMerchant,
  },
]
