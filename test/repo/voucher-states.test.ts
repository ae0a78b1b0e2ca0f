/**
 * A voucher's state machine stands in three places, and they are the same: the engine's table, the table that the
 * scripts decide by, and the one in docs/redemption.md.
 *
 * The Lua table is read out of its text by the shape in which it is written; a row that cannot be read is a difference.
 * Rejected: generating two of the three, since each is read by people who look at nothing else.
 */

import { expect, test } from 'vitest'
import { VOUCHER_TURNS } from '../../engine/campaign/voucher/voucher-states.ts'
import { compareSides, readRows, textOf, unquote } from './tree.ts'

/** `active lock locked` for every turn. */
function ofTable(table: Readonly<Record<string, Readonly<Record<string, string>>>>): string[] {
  return Object.entries(table).flatMap(([from, turns]) => [
    `state ${from}`,
    ...Object.entries(turns).map(([verb, to]) => `${from} ${verb} ${to}`),
  ])
}

function ofLua(lua: string): string[] {
  const body = /local TURNS = \{\n([\s\S]*?)\n\}\n/.exec(lua)?.[1] ?? ''
  return body.split('\n').flatMap(line => {
    const [, from = '?', turns = ''] = /^ {2}(\w+) = \{(.*)\},$/.exec(line) ?? []
    return [`state ${from}`, ...[...turns.matchAll(/(\w+) = '(\w+)'/g)].map(([, verb, to]) => `${from} ${verb} ${to}`)]
  })
}

function ofDocs(markdown: string): string[] {
  const rows = readRows(markdown)
  const verbs = rows.find(([first]) => first === 'state')?.slice(1) ?? []
  const states = rows.filter(cells => cells.length === verbs.length + 1 && unquote(cells[0]) !== undefined)
  return states.flatMap(([first, ...cells]) => {
    const turns = cells.flatMap((to, i) => (to === '' ? [] : [`${unquote(first)} ${verbs[i]} ${to}`]))
    return [`state ${unquote(first)}`, ...turns]
  })
}

const LUA = textOf('scripts/lib/voucher.lua')
const DOCS = textOf('docs/redemption.md')

test('the engine, the scripts and the page have one state machine', () => {
  const table = ofTable(VOUCHER_TURNS)
  expect(table.length).toBeGreaterThan(10)
  expect(compareSides(table, ofLua(LUA), ['the engine', 'scripts/lib/voucher.lua'])).toEqual([])
  expect(compareSides(table, ofDocs(DOCS), ['the engine', 'docs/redemption.md'])).toEqual([])
})

test('a planted difference is found in either place', () => {
  const table = ofTable(VOUCHER_TURNS)
  const sides = ['a', 'b'] as const
  expect(compareSides(table, ofLua(LUA.replace("reverse = 'active'", "reverse = 'locked'")), sides)).toHaveLength(2)
  expect(compareSides(table, ofDocs(DOCS.replace('| redeemed | | expired', '| | | expired')), sides)).toHaveLength(1)
})
