/**
 * A campaign's report as one HTML file that needs nothing else: tables, and the redemption rate over the business days
 * as a drawing. Light and dark follow the reader's system. Every text of the campaign is escaped, because names are the
 * operator's and tags are the merchants'.
 */
import { moneyText } from '../base/currency.ts'
import { csvCell, htmlText } from '../base/shown-text.ts'
import type { Report } from '../campaign/money/report.ts'

const count = (value: number): string => value.toLocaleString('en-US')
const share = (value: number): string => `${(value * 100).toFixed(2)} %`

const STYLE = `
:root { color-scheme: light dark; --ink: light-dark(#1a1d21, #e8eaed); --soft: light-dark(#5b636d, #9aa3ad);
  --line: light-dark(#d9dde2, #3a4048); --ground: light-dark(#fff, #14171a); --mark: light-dark(#0b6bcb, #63b0ff) }
body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif; color: var(--ink);
  background: var(--ground) }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
p { color: var(--soft); max-width: 45rem }
table { border-collapse: collapse; width: 100% } caption { text-align: left; color: var(--soft) }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums }
th:first-child, td:first-child { text-align: left } th { font-weight: 600 }
svg { width: 100%; height: 12rem; border-bottom: 1px solid var(--line) } rect { fill: var(--mark) }
`

type Cell = string
interface Table {
  readonly title: string
  readonly head: readonly string[]
  readonly rows: readonly (readonly Cell[])[]
}

function tableOf({ title, head, rows }: Table): string {
  const line = (cells: readonly Cell[], tag: string) =>
    `<tr>${cells.map(cell => `<${tag}>${htmlText(cell)}</${tag}>`).join('')}</tr>`
  const body = rows.map(cells => line(cells, 'td')).join('\n')
  return `<h2>${htmlText(title)}</h2>\n<table><thead>${line(head, 'th')}</thead><tbody>\n${body}\n</tbody></table>`
}

/** One bar a business day, as high as the share of all vouchers that stood redeemed at its end. */
function drawingOf({ by_day: days }: Report): string {
  const width = 100 / Math.max(1, days.length)
  const bars = days.map(({ business_date, redemption_rate }, i) => {
    const height = Math.max(0, redemption_rate) * 100
    const title = `<title>${htmlText(business_date)}: ${share(redemption_rate)}</title>`
    return `<rect x="${i * width + width * 0.1}" y="${100 - height}" width="${width * 0.8}" height="${height}">${title}</rect>`
  })
  const words = 'Redemption rate at the end of each business day'
  return `<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="${words}">${bars.join('')}</svg>`
}

type Part = Report['by_day'][number] | Report['by_merchant_tag'][number] | Report['by_pool'][number]
const sumsIn = (currency: string) => (row: Part) => [
  count(row.redeemed),
  count(row.reversed),
  moneyText(row.subsidy, currency),
  moneyText(row.gross, currency),
]

const SUMS = ['redeemed', 'reversed', 'subsidy', 'gross order value']

/** The page of a report. */
export function reportPage(report: Report): string {
  const { vouchers, currency } = report
  const sums = sumsIn(currency)
  const tables: readonly Table[] = [
    {
      title: 'Vouchers',
      head: ['issued', 'active', 'redeemed', 'expired', 'deactivated', 'redemption rate'],
      rows: [
        [
          ...[vouchers.issued, vouchers.active, vouchers.redeemed, vouchers.expired, vouchers.deactivated].map(count),
          share(report.redemption_rate),
        ],
      ],
    },
    {
      title: `Money, ${currency}`,
      head: ['redemptions', 'reversals', 'subsidy', 'gross order value', 'gross per unit of subsidy'],
      rows: [[...sums({ ...report, pool: '', packs: 0 }), report.gross_per_subsidy.toFixed(2)]],
    },
    {
      title: 'By business day',
      head: ['day', ...SUMS, 'expired', 'rate at its end'],
      rows: report.by_day.map(day => [day.business_date, ...sums(day), count(day.expired), share(day.redemption_rate)]),
    },
    {
      title: 'By pool',
      head: ['pool', 'packs', ...SUMS],
      rows: report.by_pool.map(row => [row.pool, count(row.packs), ...sums(row)]),
    },
    {
      title: 'By merchant tag',
      head: ['tag', ...SUMS],
      rows: report.by_merchant_tag.map(row => [row.tag, ...sums(row)]),
    },
  ]
  const [first, second, ...rest] = tables.map(tableOf)
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${htmlText(report.name)}: report</title><style>${STYLE}</style></head><body>
<main><h1>${htmlText(report.name)}</h1>
<p>${htmlText(report.campaign_id)}, ${count(report.packs)} packs, as of ${htmlText(report.at)}; business days of ${htmlText(report.timezone)}.</p>
${first}\n${second}\n<p>${htmlText(report.not_causal)}</p>
<h2>Redemption rate over time</h2>\n${drawingOf(report)}\n${rest.join('\n')}
</main></body></html>
`
}

/** The business days of a report as CSV, for a spreadsheet. */
export function reportCsv({ by_day: days }: Report): string {
  const columns = ['business_date', 'redeemed', 'reversed', 'expired', 'subsidy', 'gross', 'redemption_rate'] as const
  return [columns.join(','), ...days.map(day => columns.map(column => csvCell(day[column])).join(','))]
    .join('\r\n')
    .concat('\r\n')
}
