/**
 * The lever that is of no round and no merchant: rates of callers, with its dry run. The rules are in
 * campaign/voucher/controls.ts; a change is answered when it holds on every node.
 */
import { nameOf } from '../../campaign/operator/requests.ts'
import type { RateChange } from '../../campaign/voucher/controls.ts'
import * as shown from '../../wire/answers/engine.ts'
import { rates } from '../../wire/schemas.ts'
import { type Answer, type Call, isDryRun, type Route, type Services } from '../http/gateway.ts'

async function setRates({ controls }: Services, { body, query, seed }: Call): Promise<Answer> {
  const change = body as RateChange
  const { configured } = controls
  if (isDryRun(query)) {
    await controls.fresh()
    const after = controls.ratesAfter(change)
    return { status: 200, body: { dry_run: true, before: controls.rates, after, configured } }
  }
  const isReplayed = await controls.setRates(change, seed && nameOf(seed))
  return { status: 200, body: { rates: controls.rates, configured }, isReplayed }
}

export const CONTROL_ROUTES: readonly Route[] = [
  {
    method: 'get',
    path: '/v1/rates',
    operation: 'readRates',
    answers: { 200: shown.ratesNow },
    right: 'read',
    summary: 'The rates of callers that hold now, and those of the configuration',
    handle: async ({ controls }) => {
      await controls.fresh()
      return { status: 200, body: { rates: controls.rates, configured: controls.configured } }
    },
  },
  {
    method: 'post',
    path: '/v1/rates',
    operation: 'setRates',
    answers: { 200: shown.changedRates },
    query: ['dry_run'],
    right: 'operate',
    summary: 'Sets rates of callers on every node; null takes back what was set',
    body: rates,
    handle: setRates,
  },
]
