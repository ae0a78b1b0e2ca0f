/**
 * Business days: the calendar days of a campaign's time zone, as spans of milliseconds. Limits a day, budgets a day and
 * settlements are counted by them. A day is found once and kept until it is over, so a redemption costs two
 * comparisons. The time zone data are Node's own (IANA); a day with a change of clocks has 23 or 25 hours here too.
 */
export interface BusinessDay {
  /** `2026-12-01` */
  readonly date: string
  /** Milliseconds since 1970: the first of this day, and the first of the next. */
  readonly startsAt: number
  readonly endsAt: number
}

const HOUR_MS = 3_600_000
const DATE = /^\d{4}-\d\d-\d\d$/
const formats = new Map<string, Intl.DateTimeFormat>()

/** Whether Node knows a time zone of this name. */
export function isTimeZone(name: string): boolean {
  try {
    formatOf(name)
    return true
  } catch {
    return false
  }
}

function formatOf(timezone: string): Intl.DateTimeFormat {
  const known = formats.get(timezone)
  if (known) return known
  const format = new Intl.DateTimeFormat('en-CA', {
    timeZone: timezone,
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
  })
  formats.set(timezone, format)
  return format
}

/** The last ms on `date` between `inside`, which is on it, and `outside`, which is not; either may be the later one. */
function edgeBetween(format: Intl.DateTimeFormat, date: string, inside: number, outside: number): number {
  let near = inside
  let far = outside
  while (Math.abs(far - near) > 1) {
    const middle = Math.floor((near + far) / 2)
    if (format.format(middle) === date) near = middle
    else far = middle
  }
  return near
}

/** The business day that a moment lies in. */
export function dayOf(timezone: string, ms: number): BusinessDay {
  const format = formatOf(timezone)
  const date = format.format(ms)
  return {
    date,
    startsAt: edgeBetween(format, date, ms, ms - 26 * HOUR_MS),
    endsAt: edgeBetween(format, date, ms, ms + 26 * HOUR_MS) + 1,
  }
}

/** The business day of a date, or undefined for a text that is none. */
export function dayNamed(timezone: string, date: string): BusinessDay | undefined {
  const noon = DATE.test(date) ? Date.parse(`${date}T12:00:00.000Z`) : Number.NaN
  if (Number.isNaN(noon)) return undefined
  for (const hours of [0, -24, 24]) {
    const day = dayOf(timezone, noon + hours * HOUR_MS)
    if (day.date === date) return day
  }
  return undefined
}

/** The business days of moments that come in order: each day is found once. */
export function daysInOrder(timezone: string): (ms: number) => BusinessDay {
  let day: BusinessDay | undefined
  return ms => {
    if (!day || ms < day.startsAt || ms >= day.endsAt) day = dayOf(timezone, ms)
    return day
  }
}
