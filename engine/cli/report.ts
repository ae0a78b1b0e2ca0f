/**
 * `fairgrab report CAMPAIGN`: what became of a campaign, as text for the terminal, and as an HTML or CSV file where that
 * is asked for. The numbers are those of GET /v1/campaigns/{id}/report.
 */
import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import type { Report } from '../campaign/report.ts'
import { ConfigError } from '../config.ts'
import { askJson } from './engine-call.ts'
import { reportCsv, reportPage } from './report-page.ts'

const USAGE = 'fairgrab report CAMPAIGN [--html FILE] [--csv FILE] [--json] [--url URL] [--key KEY]'

const OPTIONS = {
  html: { type: 'string' },
  csv: { type: 'string' },
  json: { type: 'boolean' },
  url: { type: 'string' },
  key: { type: 'string' },
} as const

function argumentsOf(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true })
  } catch (cause) {
    throw new ConfigError(`${(cause as Error).message.split('. ')[0]}; ${USAGE}`)
  }
}

function textOf({ name, campaign_id, at, vouchers, ...report }: Report): string {
  const rows = [
    ['issued', vouchers.issued],
    ['active', vouchers.active],
    ['redeemed', vouchers.redeemed],
    ['expired', vouchers.expired],
    ['deactivated', vouchers.deactivated],
    ['redemption rate', `${(report.redemption_rate * 100).toFixed(2)} %`],
    ['subsidy', `${report.subsidy} ${report.currency}, minor units`],
    ['gross order value', `${report.gross} ${report.currency}, minor units`],
    ['gross per unit of subsidy', report.gross_per_subsidy],
  ]
  const lines = rows.map(([what, value]) => `  ${String(what).padEnd(26)}${value}`)
  return [`${name} (${campaign_id}) at ${at}`, ...lines, '', report.not_causal].join('\n')
}

export async function reportCommand(args: readonly string[]): Promise<number> {
  const { values, positionals } = argumentsOf(args)
  const [campaign, ...more] = positionals
  if (campaign === undefined || more.length > 0) throw new ConfigError(`which campaign? ${USAGE}`)
  const report = await askJson<Report>(values, `/v1/campaigns/${encodeURIComponent(campaign)}/report`)
  if (values.html !== undefined) await writeFile(values.html, reportPage(report))
  if (values.csv !== undefined) await writeFile(values.csv, reportCsv(report))
  console.log(values.json ? JSON.stringify(report) : textOf(report))
  return 0
}
