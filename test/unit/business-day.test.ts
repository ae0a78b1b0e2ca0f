/**
 * Business days: every date of every zone has its start and its end, and days follow each other without a gap.
 *
 * Zones with odd rules are walked through a year day by day, and the days that were found to be hard stand beside them:
 * of 23 hours, with a midnight that does not exist, on the wrong side of noon, left out on the way over the date line.
 */
import { expect, test } from 'vitest'
import { dayNamed, dayOf } from '../../engine/base/business-day.ts'

const HOUR = 3_600_000

test.each([
  ['Pacific/Norfolk', '2026-10-04', 23],
  ['Pacific/Norfolk', '2026-04-05', 25],
  ['Europe/Berlin', '2026-03-29', 23],
  ['America/Santiago', '2026-09-06', 23],
  ['Africa/Cairo', '2026-04-24', 23],
  ['Asia/Beirut', '2026-03-29', 23],
  ['Australia/Lord_Howe', '2026-04-05', 24.5],
  ['Pacific/Kiritimati', '2026-01-01', 24],
  ['Pacific/Apia', '2011-12-30', 0],
  ['Asia/Shanghai', '2026-12-01', 24],
])('%s %s has %d hours', (zone, date, hours) => {
  const day = dayNamed(zone, date)
  expect(day?.date).toBe(date)
  expect(((day?.endsAt ?? 0) - (day?.startsAt ?? 0)) / HOUR).toBe(hours)
})

const HARD = [
  ...['Pacific/Norfolk', 'Europe/Berlin', 'America/Santiago', 'Africa/Cairo', 'Asia/Beirut', 'Australia/Lord_Howe'],
  ...['Pacific/Kiritimati', 'Pacific/Niue', 'America/Havana', 'Africa/Casablanca', 'Asia/Gaza', 'UTC'],
]

test.each(HARD)('%s: each date of a year begins where the one before it ended', zone => {
  const wrong: string[] = []
  let last = dayNamed(zone, '2025-12-31')
  for (let at = Date.UTC(2026, 0, 1); at < Date.UTC(2027, 0, 1); at += 24 * HOUR) {
    const date = new Date(at).toISOString().slice(0, 10)
    const day = dayNamed(zone, date)
    if (!day || day.startsAt !== last?.endsAt || day.endsAt <= day.startsAt) wrong.push(date)
    last = day
  }
  expect(wrong).toEqual([])
  const edges = dayOf(zone, last?.startsAt ?? 0)
  expect(edges).toEqual(last)
})

test.each(['2026-02-30', '2026-13-01', '2026-1-1', '', '2026-10-04T00:00', '99999-01-01'])('%s is no date', text => {
  expect(dayNamed('Asia/Shanghai', text)).toBeUndefined()
})
