/**
 * The log: one line a second of traffic and none without, a line a change of a round's state, and words for a person on a
 * terminal. The counts are those that /metrics tells.
 */
import { expect, test } from 'vitest'
import { lineForPeople } from '../../engine/ops/log.ts'
import { Metrics } from '../../engine/ops/metrics.ts'
import { TrafficLog } from '../../engine/ops/traffic-log.ts'

function logged() {
  const lines: unknown[] = []
  return { lines, traffic: new TrafficLog({ info: (...line: unknown[]) => lines.push(line) }) }
}

const round = (state: string) => ({ id: 'rnd_1', state, granted: 3, total: 5 })

test('a second with claims is one line with its outcomes, a quiet one is none', () => {
  const { lines, traffic } = logged()
  const metrics = new Metrics(() => {})
  metrics.decided(new Uint8Array(500).fill(3, 0, 2), 0.001)
  metrics.answered(3, 10)
  traffic.second(metrics.sinceLast(), [])
  traffic.second(metrics.sinceLast(), [])
  metrics.answered(5)
  traffic.second(metrics.sinceLast(), [])
  expect(lines).toEqual([
    [{ claims: 510, granted: 498, sold_out: 12 }, 'claims in this second'],
    [{ claims: 1, paused: 1 }, 'claims in this second'],
  ])
})

test('a round that changed its state is one line, one that is first seen or stays is none', () => {
  const { lines, traffic } = logged()
  for (const state of ['open', 'open', 'paused', 'paused', 'open']) traffic.second({}, [round(state)])
  const change = (before: string, state: string) => [
    { round: 'rnd_1', before, state, granted: 3, total: 5 },
    'round changed',
  ]
  expect(lines).toEqual([change('open', 'paused'), change('paused', 'open')])
})

test('on a terminal a line is for people: time, level, part, message, the rest; an error with its stack', () => {
  const line = { level: 40, time: '2026-12-01T10:00:00.123Z', part: 'worker', pid: 7, link: 'reads', msg: 'redis down' }
  expect(lineForPeople(JSON.stringify(line))).toBe('10:00:00.123 warn  worker: redis down link=reads')
  const bug = { ...line, level: 50, rates: { user: 5 }, err: { stack: 'Error: x\n    at y' } }
  expect(lineForPeople(JSON.stringify(bug))).toBe(
    '10:00:00.123 error worker: redis down link=reads rates={"user":5}\nError: x\n    at y',
  )
})
