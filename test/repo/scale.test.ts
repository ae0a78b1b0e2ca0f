/**
 * docs/scale.md does its sums: each row of its plan follows from the costs at its head, so that a cost that is measured
 * anew cannot leave the machines that somebody orders as they were. What a cluster adds is what the results of the day say.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ROOT } from './tree.ts'

/** How busy a core is planned to be. */
const SHARE = 0.6

const numberIn = (cell: string): number => Number(cell.replaceAll(',', ''))

/** The rows of the table whose head begins with `first`. */
function tableOf(text: string, first: string): string[][] {
  const [, block = ''] = text.split(`| ${first} |`)
  const lines = block.split('\n').slice(2)
  const end = lines.indexOf('')
  return lines.slice(0, end).map(line =>
    line
      .split('|')
      .slice(1, -1)
      .map(cell => cell.trim()),
  )
}

test('cores, workers, primaries and bandwidth follow from the costs', () => {
  const text = readFileSync(join(ROOT, 'docs/scale.md'), 'utf8')
  const costs = new Map(
    tableOf(text, 'claim').map(([claim = '', ...cells]) => [claim, cells.slice(0, 4).map(numberIn)]),
  )
  const plan = tableOf(text, 'claims a second')
  expect([costs.size, plan.length]).toEqual([4, 12])
  for (const [rate = '', claim = '', ...cells] of plan) {
    const [worker, redis, bytesIn, bytesOut] = costs.get(claim) as [number, number, number, number]
    const cores = [worker, redis].map(us => (numberIn(rate) * us) / 1e6) as [number, number]
    const planned = cores.map(busy => Math.ceil(busy / SHARE))
    const gigabits = [bytesIn, bytesOut].map(bytes => (numberIn(rate) * bytes * 8) / 1e9)
    const expected = [cores[0], planned[0], cores[1], planned[1], ...gigabits] as number[]
    const shown = cells.flatMap(cell => cell.split(' / ').map(numberIn))
    const apart = shown.filter(
      (value, i) => Math.abs(value - (expected[i] as number)) > 0.005 + (expected[i] as number) / 40,
    )
    expect(apart, `${rate} ${claim}`).toEqual([])
  }
})

test('what a cluster adds is what was measured, and the measured costs give those ratios', () => {
  const scale = readFileSync(join(ROOT, 'docs/scale.md'), 'utf8')
  const [, day = ''] = /\(results\/(\d{4}-\d\d-\d\d)\.md#a-redis-cluster\)/.exec(scale) ?? []
  const results = tableOf(readFileSync(join(ROOT, `docs/results/${day}.md`), 'utf8'), 'Redis')
  const planned = tableOf(scale, 'primaries')
  expect(planned.map(([primaries]) => primaries)).toEqual(['1', '2', '3', '4', '8'])
  const ofOne = results.find(([redis]) => redis === 'one, no cluster') ?? []
  for (const [primaries, ...ratios] of planned) {
    const row = results.find(([redis]) => redis === `cluster of ${primaries}`) ?? []
    expect([row[2], row[4]], `cluster of ${primaries}`).toEqual(ratios)
    for (const place of [1, 3]) {
      const sumIn = (cell = '') => cell.split(' + ').reduce((sum, us) => sum + numberIn(us), 0)
      const ratio = numberIn((row[place + 1] ?? '').split(' ')[0] ?? '')
      // A median of ratios is not the ratio of medians, and turns of a busy machine differ by a tenth.
      expect(Math.abs(sumIn(row[place]) / sumIn(ofOne[place]) - ratio), `cluster of ${primaries}`).toBeLessThan(0.12)
    }
  }
})
