/**
 * What watches the engine is made of what the engine has: every metric in the alert rules, in the Grafana board and in
 * docs/metrics.md's queries is one of the table, and every alert has its section in docs/operations.md.
 *
 * Files are read as their programs read them, YAML and JSON. Names come out of the expressions by their prefix; the
 * parts of a histogram count as the histogram. A name that somebody misspelt would be a panel without data on the evening
 * of a release, and an alert that cannot fire.
 */
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { METRICS } from '../../engine/ops/metrics.ts'
import { textOf } from './tree.ts'

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly labels: { readonly severity: string }
  readonly annotations: { readonly summary: string; readonly runbook: string }
}
interface Panel {
  readonly title: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly targets: readonly { readonly expr: string }[]
}
interface Service {
  readonly profiles?: readonly string[]
  readonly volumes?: readonly string[]
}

const rules = (parse(textOf('deploy/prometheus/alerts.yml')) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  group => group.rules,
)
const { panels } = JSON.parse(textOf('deploy/grafana/fairgrab.json')) as { panels: Panel[] }
const docs = textOf('docs/operations.md')

const KNOWN = new Map<string, { readonly type: string; readonly labels: readonly string[] }>(
  METRICS.map(row => [row.name, { type: row.type, labels: 'labels' in row ? row.labels : [] }]),
)

/** What an expression names that the engine does not have. */
function strangersIn(expr: string): readonly string[] {
  return [...expr.matchAll(/\b(fairgrab_\w+)/g)].flatMap(([, name = '']) => {
    const base = name.replace(/_(bucket|sum|count)$/, '')
    if (KNOWN.has(name) && KNOWN.get(name)?.type !== 'histogram') return []
    return KNOWN.get(base)?.type === 'histogram' && base !== name ? [] : [name]
  })
}

/** Labels by which an expression groups and which nothing in it has. */
function strangeLabelsIn(expr: string): readonly string[] {
  const names = [...expr.matchAll(/\b(fairgrab_[a-z_]+?)(?:_bucket|_sum|_count)?\b(?=[[{)\s]|$)/g)].map(
    ([, name = '']) => name,
  )
  const has = new Set(['le', 'instance', 'job', ...names.flatMap(name => KNOWN.get(name)?.labels ?? [])])
  return [...expr.matchAll(/by \(([\w, ]+)\)/g)]
    .flatMap(([, list = '']) => list.split(/, */))
    .filter(label => !has.has(label))
}

test('alerts and panels name metrics and labels that the engine has', () => {
  const exprs = [...rules.map(({ expr }) => expr), ...panels.flatMap(({ targets }) => targets.map(({ expr }) => expr))]
  expect(exprs.length).toBeGreaterThan(20)
  expect(exprs.flatMap(strangersIn)).toEqual([])
  expect(exprs.flatMap(strangeLabelsIn)).toEqual([])
  expect(exprs.filter(expr => !/fairgrab/.test(expr))).toEqual([])
  expect(strangersIn(textOf('docs/metrics.md').split('```promql')[1]?.split('```')[0] ?? 'fairgrab_none')).toEqual([])
})

/** Metrics that no panel shows. */
const withoutPanel = (board: readonly Panel[]): readonly string[] => {
  const shown = board.flatMap(({ targets }) => targets.map(({ expr }) => expr)).join(' ')
  const isShown = (name: string) => new RegExp(`\\b${name}(_bucket|_sum|_count)?\\b`).test(shown)
  return [...KNOWN.keys()].flatMap(name =>
    isShown(name) ? [] : [`${name} is on no panel of deploy/grafana/fairgrab.json`],
  )
}

test('each metric is on the board, so that none is counted for nobody', () => {
  expect(withoutPanel(panels)).toEqual([])
  const less = panels.filter(({ targets }) => targets.every(({ expr }) => !expr.includes('fairgrab_shards_away')))
  expect(withoutPanel(less)).toEqual(['fairgrab_shards_away is on no panel of deploy/grafana/fairgrab.json'])
})

test('each alert has a section that says what to do, and each section its alert', () => {
  const sections = [...docs.matchAll(/^### (\w+)\n\n(Page|Ticket)\. /gm)].map(([, name, severity = '']) => [
    name,
    severity.toLowerCase(),
  ])
  expect(rules.map(({ alert, labels }) => [alert, labels.severity])).toEqual(sections)
  for (const { alert, annotations } of rules) {
    expect(annotations.runbook).toBe(`docs/operations.md#${alert.toLowerCase()}`)
    expect(annotations.summary).toMatch(/\w/)
  }
})

test('panels do not lie over each other', () => {
  const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, i) => `${x + (i % w)} ${y + Math.floor(i / w)}`),
  )
  expect(new Set(cells).size).toBe(cells.length)
  expect(Math.max(...panels.map(({ gridPos: { x, w } }) => x + w))).toBeLessThanOrEqual(24)
})

test('the compose profile obs mounts files that exist, and starts nothing without being asked', () => {
  const { services } = parse(textOf('docker-compose.yml')) as { services: Readonly<Record<string, Service>> }
  for (const name of ['prometheus', 'grafana']) {
    expect(services[name]?.profiles).toEqual(['obs'])
    const files = (services[name]?.volumes ?? []).map(volume => volume.split(':')[0]?.replace('./', '') as string)
    expect(files.length).toBeGreaterThan(0)
    for (const file of files) expect(textOf(file), file).not.toBe('')
  }
})

test.each([
  ['sum(fairgrab_claims_totl)', 1],
  ['fairgrab_batch_seconds', 1],
  ['fairgrab_oversold_count', 1],
  ['rate(fairgrab_batch_seconds_bucket[1m]) + fairgrab_oversold', 0],
])('planted expression %s', (expr, strangers) => {
  expect(strangersIn(expr)).toHaveLength(strangers)
})

test('a label that no metric has is found', () => {
  expect(strangeLabelsIn('sum by (outcom) (rate(fairgrab_claims_total[1m]))')).toEqual(['outcom'])
})
