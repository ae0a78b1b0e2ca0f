/**
 * A voucher's state machine stands in two places, and they are the same: the table that the scripts decide by, and the one in
 * docs/redemption.md. Rejected: generating one of them, since each is read by people who do not look at the other.
 */

import { expect, test } from 'vitest'
import { turnsIn, voucherLua } from '../support/voucher-turns.ts'
import { compareSides, readRows, textOf, unquote } from './tree.ts'

function ofDocs(markdown: string): string[] {
  const rows = readRows(markdown)
  const verbs = rows.find(([first]) => first === 'state')?.slice(1) ?? []
  const states = rows.filter(cells => cells.length === verbs.length + 1 && unquote(cells[0]) !== undefined)
  return states.flatMap(([first, ...cells]) => {
    const turns = cells.flatMap((to, i) => (to === '' ? [] : [`${unquote(first)} ${verbs[i]} ${to}`]))
    return [`state ${unquote(first)}`, ...turns]
  })
}

const LUA = voucherLua()
const DOCS = textOf('docs/redemption.md')
const SIDES = ['scripts/lib/voucher.lua', 'docs/redemption.md'] as const

test('the scripts and the page have one state machine', () => {
  expect(turnsIn(LUA).length).toBeGreaterThan(10)
  expect(compareSides(turnsIn(LUA), ofDocs(DOCS), SIDES)).toEqual([])
})

test('a planted difference is found in either place', () => {
  const lua = LUA.replace("reverse = 'active'", "reverse = 'locked'")
  expect(compareSides(turnsIn(lua), ofDocs(DOCS), SIDES)).toHaveLength(2)
  const docs = DOCS.replace('| redeemed | | expired', '| | | expired')
  expect(compareSides(turnsIn(LUA), ofDocs(docs), SIDES)).toHaveLength(1)
})
