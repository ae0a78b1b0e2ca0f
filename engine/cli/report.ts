/**
 * `fairgrab report CAMPAIGN`: what became of a campaign, as text for the terminal, and as an HTML or CSV file where that
 * is asked for. The numbers are those of GET /v1/campaigns/{id}/report.
 */
import { moneyText } from '../base/currency.ts'
import type { Report } from '../campaign/money/report.ts'
import { type Command, wordAt, writeOption } from './command.ts'
import { askJson } from './engine-call.ts'
import { reportCsv, reportPage } from './report-page.ts'

function linesOf({ name, campaign_id, at, vouchers, ...report }: Report): readonly string[] {
  const rows = [
    ['issued', vouchers.issued],
    ['active', vouchers.active],
    ['redeemed', vouchers.redeemed],
    ['expired', vouchers.expired],
    ['deactivated', vouchers.deactivated],
    ['redemption rate', `${(report.redemption_rate * 100).toFixed(2)} %`],
    ['subsidy', `${moneyText(report.subsidy, report.currency)} ${report.currency}`],
    ['gross order value', `${moneyText(report.gross, report.currency)} ${report.currency}`],
    ['gross per unit of subsidy', report.gross_per_subsidy],
  ]
  const lines = rows.map(([what, value]) => `  ${String(what).padEnd(26)}${value}`)
  return [`${name} (${campaign_id}) at ${at}`, ...lines, '', report.not_causal]
}

export const REPORT: Command = {
  name: 'report',
  usage: ['report CAMPAIGN [--html FILE] [--csv FILE]'],
  sentence: 'what became of a campaign',
  examples: ['fairgrab report cmp_…', 'fairgrab report cmp_… --html report.html --csv report.csv'],
  options: {
    html: { type: 'string', says: 'writes a page for people into this file' },
    csv: { type: 'string', says: 'writes its rows into this file' },
  },
  run: async given => {
    const campaign = wordAt(given, 0, 'campaign', REPORT.usage[0] as string)
    const report = await askJson<Report>(given.target, `/v1/campaigns/${campaign}/report`)
    await writeOption(given, 'html', () => reportPage(report))
    await writeOption(given, 'csv', () => reportCsv(report))
    given.print(report, linesOf(report))
    return 0
  },
}
