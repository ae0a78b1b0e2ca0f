/**
 * Money and what became of it over HTTP: the ledger, settlements with their files, the report, the rows for a study, and
 * fraud holds. The rules are in campaign/; here are only paths, rights and shapes.
 */
import { signed } from '../../auth/callers.ts'
import { Refusal } from '../../base/assert.ts'
import * as shown from '../../wire/answers/money.ts'
import { accepts } from '../../wire/encoding.ts'
import { hold, settlement } from '../../wire/schemas.ts'
import { type Call, isDryRun, type Route, type Services } from '../http/gateway.ts'
import { listRows } from '../http/lists.ts'

const campaignOf = ({ lifecycle }: Services, { params }: Call) => lifecycle.campaign(params[0] as string)

async function listEntries(services: Services, call: Call) {
  const campaign = await campaignOf(services, call)
  const cursor = call.query.get('cursor')
  if (cursor !== null && !/^\d{1,15}-\d{1,15}$/.test(cursor))
    throw new Refusal('invalid', 'cursor: take it from next_cursor')
  return listRows(services, call, services.ledger.entries(campaign, cursor), entry => entry.id)
}

async function listStudy(services: Services, call: Call) {
  const campaign = await campaignOf(services, call)
  const cursor = call.query.get('cursor')
  const [, roundId, sequence] = cursor?.match(/^(rnd_[0-9a-z]+):(\d{1,9})$/) ?? []
  if (cursor !== null && !roundId) throw new Refusal('invalid', 'cursor: take it from next_cursor')
  const rows = services.reports.study(campaign, roundId ? { roundId, sequence: Number(sequence) } : undefined)
  return listRows(services, call, rows, row => `${row.round_id}:${row.sequence}`)
}

/** A settled day: its totals, or its file as CSV or NDJSON where that is asked for. */
async function readSettlement(services: Services, call: Call) {
  const campaign = await campaignOf(services, call)
  const date = call.params[1] as string
  const { accept } = call.exchange
  if (accepts(accept, 'text/csv')) {
    await call.exchange.stream(
      'text/csv; charset=utf-8',
      await services.settlements.file(campaign, date, 'csv'),
      services.clock,
    )
    return undefined
  }
  if (accepts(accept, 'application/x-ndjson')) {
    await call.exchange.stream(
      'application/x-ndjson',
      await services.settlements.file(campaign, date, 'ndjson'),
      services.clock,
    )
    return undefined
  }
  return { status: 200, body: await services.settlements.settled(campaign, date) }
}

async function holdMerchant(services: Services, call: Call) {
  const campaign = await campaignOf(services, call)
  const { merchant_id, reason } = call.body as { merchant_id: string; reason: string }
  if (isDryRun(call.query)) {
    const redemptions = await services.ledger.holdable(campaign, merchant_id)
    return { status: 200, body: { dry_run: true, campaign_id: campaign.id, merchant_id, redemptions } }
  }
  const held = await services.ledger.hold(campaign, merchant_id, {
    by: signed(call.caller),
    note: reason,
    upTo: call.seed && (await services.requests.placeOf(call.seed, () => services.ledger.end(campaign))),
  })
  return { status: 200, body: { campaign_id: campaign.id, merchant_id, reason, redemptions: held } }
}

export const LEDGER_ROUTES: readonly Route[] = [
  {
    method: 'get',
    path: '/v1/campaigns/{id}/ledger',
    operation: 'readLedger',
    answers: { 200: shown.balances },
    right: 'read',
    summary: "The balances of a campaign's accounts; they sum to zero",
    handle: async (services, call) => ({
      status: 200,
      body: await services.ledger.balances(await campaignOf(services, call)),
    }),
  },
  {
    method: 'get',
    path: '/v1/campaigns/{id}/ledger/entries',
    operation: 'listLedgerEntries',
    rows: shown.ledgerEntry,
    query: ['limit', 'cursor'],
    right: 'read',
    summary: 'The entries of the ledger, oldest first',
    handle: listEntries,
  },
  {
    method: 'post',
    path: '/v1/campaigns/{id}/settlements',
    operation: 'settleDay',
    answers: { 200: shown.settledDay },
    refusals: ['day_open'],
    right: 'operate',
    summary: 'Settles a business day that is over; asked again it gives the same',
    isLasting: true,
    body: settlement,
    handle: async (services, call) => {
      const { business_date } = call.body as { business_date: string }
      const campaign = await campaignOf(services, call)
      return { status: 200, body: await services.settlements.settle(campaign, business_date, call.caller.id) }
    },
  },
  {
    method: 'get',
    path: '/v1/campaigns/{id}/settlements/{date}',
    operation: 'readSettledDay',
    answers: { 200: shown.settledDay },
    files: ['text/csv', 'application/x-ndjson'],
    right: 'read',
    summary: 'A settled day; as text/csv or NDJSON its file',
    handle: readSettlement,
  },
  {
    method: 'post',
    path: '/v1/campaigns/{id}/holds',
    operation: 'holdRedemptions',
    answers: { 200: shown.hold },
    query: ['dry_run'],
    right: 'operate',
    summary: 'Deactivates all redemptions of a merchant that are not settled',
    isLasting: true,
    body: hold,
    handle: holdMerchant,
  },
  {
    method: 'get',
    path: '/v1/campaigns/{id}/report',
    operation: 'readReport',
    answers: { 200: shown.report },
    right: 'read',
    summary: 'What became of a campaign',
    handle: async (services, call) => ({
      status: 200,
      body: await services.reports.report(await campaignOf(services, call)),
    }),
  },
  {
    method: 'get',
    path: '/v1/campaigns/{id}/study',
    operation: 'listStudy',
    rows: shown.studyRow,
    query: ['limit', 'cursor'],
    right: 'operate',
    summary: 'The grants and their use with pseudonyms, for a study',
    handle: listStudy,
  },
]
