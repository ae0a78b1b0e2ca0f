/**
 * The engine's tables and the pages about them agree: settings, metrics and routes, each in both directions.
 *
 * A page has one table row a setting or metric, its name in backquotes in the first cell; a row also repeats what a
 * reader acts on (a setting's default, a metric's type and labels), so a changed default cannot leave the page behind.
 * docs/api.md writes a route as `METHOD /path` in backquotes; the names of parameters may differ, their places not.
 *
 * The tables are imported from the engine as it runs and not read out of its text. Rejected: generated pages; what a
 * setting is for is better said by a person, and a generated page is read by nobody.
 */

import { expect, test } from 'vitest'
import { compareSides, importRows, isProgram, readRows, readTree, textOf, unquote } from './tree.ts'

type Row = Readonly<Record<string, unknown>>

/** Names on both sides, and in each row of the page the words that the table gives for it. */
function compareTable(markdown: string, page: string, table: readonly Row[], wordsOf: (row: Row) => readonly string[]) {
  const rows = new Map(readRows(markdown).flatMap(cells => [[unquote(cells[0]), cells.slice(1).join(' | ')] as const]))
  const named = [...rows.keys()].filter(name => name !== undefined)
  const sides = compareSides(
    table.map(row => String(row.name)),
    named,
    ['the engine', page],
  )
  const words = table.flatMap(row => {
    const text = rows.get(String(row.name))
    if (text === undefined) return []
    return wordsOf(row)
      .filter(word => !text.includes(word))
      .map(word => `the row of ${row.name} in ${page} does not say ${word}`)
  })
  return [...sides, ...words]
}

function wordsOfSetting({ default: value }: Row): readonly string[] {
  return value === undefined || value === null || value === '' ? [] : [String(value)]
}

function wordsOfMetric({ type, labels }: Row): readonly string[] {
  return [String(type), ...(Array.isArray(labels) ? labels.map(String) : [])]
}

function spellRoute(method: string, path: string): string {
  return `${method.toUpperCase()} ${path.replace(/:\w+|\{\w+\}/g, '{}')}`
}

function compareRoutes(markdown: string, routes: readonly Row[]): readonly string[] {
  const documented = [...markdown.matchAll(/`(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) (\/[^`\s?]*)[^`]*`/g)]
  return compareSides(
    routes.map(({ method, path }) => spellRoute(String(method), String(path))),
    documented.map(([, method = '', path = '']) => spellRoute(method, path)),
    ['engine/server/routes/routes.ts', 'docs/api.md'],
  )
}

/** Settings that a start reads into nothing, and what it reads them into and nobody asks for: limits that would limit nothing. */
function findUnread(names: readonly string[], config: string, others: readonly string[]): readonly string[] {
  const fields = /^export interface Config \{$(.*?)^\}$/ms.exec(config)?.[1] ?? ''
  return [
    ...names
      .filter(name => !config.includes(`('${name}')`) && !config.includes(`: '${name}'`))
      .map(name => `engine/config.ts reads no ${name}`),
    ...[...fields.matchAll(/^ {2}readonly (\w+):/gm)]
      .map(([, field]) => field as string)
      .filter(field => !others.some(text => new RegExp(`\\b${field}\\b`).test(text)))
      .map(field => `nobody asks for the ${field} of Config`),
  ]
}

test('each setting is read, and what it is read into is asked for', async () => {
  const names = (await importRows('engine/settings.ts', 'SETTINGS')).map(({ name }) => String(name))
  const engine = readTree().filter(file => file.path.startsWith('engine/') && isProgram(file))
  const others = engine.filter(({ path }) => path !== 'engine/config.ts').map(({ text }) => text)
  const config = textOf('engine/config.ts')
  expect(findUnread(names, config, others)).toEqual([])
  const odd = config.replace('  readonly port: number\n', '  readonly port: number\n  readonly oddLimit: number\n')
  expect(findUnread([...names, 'FAIRGRAB_ODD'], odd, others)).toEqual([
    'engine/config.ts reads no FAIRGRAB_ODD',
    'nobody asks for the oddLimit of Config',
  ])
})

test('docs/config.md lists the settings', async () => {
  const settings = await importRows('engine/settings.ts', 'SETTINGS')
  expect(compareTable(textOf('docs/config.md'), 'docs/config.md', settings, wordsOfSetting)).toEqual([])
})

test('docs/metrics.md lists the metrics', async () => {
  const metrics = await importRows('engine/ops/metrics.ts', 'METRICS')
  expect(compareTable(textOf('docs/metrics.md'), 'docs/metrics.md', metrics, wordsOfMetric)).toEqual([])
})

test('docs/api.md lists the routes', async () => {
  const routes = await importRows('engine/server/routes/routes.ts', 'ROUTES')
  expect(compareRoutes(textOf('docs/api.md'), routes)).toEqual([])
})

const SETTING = { name: 'PORT', default: 8080 }
const METRIC = { name: 'claims_total', type: 'counter', labels: ['code'] }

test.each([
  ['| `PORT` | 8080 |', 0],
  ['| `PORT` | 8081 |', 1],
  ['| `HOST` | 8080 |', 2],
  ['| `PORT` | 8080 |\n| `HOST` | |', 1],
  ['', 1],
])('planted settings page %#: %s', (markdown, breaks) => {
  expect(compareTable(markdown, 'page', [SETTING], wordsOfSetting)).toHaveLength(breaks)
})

test.each([
  ['| `claims_total` | counter | code |', 0],
  ['| `claims_total` | gauge | code |', 1],
  ['| `claims_total` | counter | |', 1],
])('planted metrics page %#: %s', (markdown, breaks) => {
  expect(compareTable(markdown, 'page', [METRIC], wordsOfMetric)).toHaveLength(breaks)
})

test.each([
  ['`GET /v1/rounds/{round_id}`', 0],
  ['`POST /v1/rounds/{id}`', 2],
  ['`GET /v1/rounds/{id}?limit=` and `GET /livez`', 1],
  ['GET /v1/rounds/{id}', 1],
])('planted routes page %#: %s', (markdown, breaks) => {
  expect(compareRoutes(markdown, [{ method: 'get', path: '/v1/rounds/:id' }])).toHaveLength(breaks)
})
