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

export const DAY_MS = 86_400_000
/** More than any zone is from UTC, with the day that one may leave out. */
const FAR_MS = 2 * DAY_MS
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

/** The date behind a date. */
const dateAfter = (date: string): string =>
  new Date(Date.parse(`${date}T00:00:00.000Z`) + DAY_MS).toISOString().slice(0, 10)

/**
 * The first ms whose date is not before `date`: found by halves around UTC's midnight, so neither a midnight that does not
 * exist, nor a day of 23 hours, nor one that a zone left out on its way over the date line is a case of its own.
 */
function startOf(format: Intl.DateTimeFormat, date: string): number {
  const midnight = Date.parse(`${date}T00:00:00.000Z`)
  let [before, from] = [midnight - FAR_MS, midnight + FAR_MS]
  while (from - before > 1) {
    const middle = Math.floor((before + from) / 2)
    if (format.format(middle) < date) before = middle
    else from = middle
  }
  return from
}

function dayFrom(format: Intl.DateTimeFormat, date: string): BusinessDay {
  return { date, startsAt: startOf(format, date), endsAt: startOf(format, dateAfter(date)) }
}

/** The business day that a moment lies in. */
export function dayOf(timezone: string, ms: number): BusinessDay {
  const format = formatOf(timezone)
  return dayFrom(format, format.format(ms))
}

/** The business day of a date, or undefined for a text that is none. One that its zone left out is empty: it ends where it starts. */
export function dayNamed(timezone: string, date: string): BusinessDay | undefined {
  const ms = DATE.test(date) ? Date.parse(`${date}T00:00:00.000Z`) : Number.NaN
  if (Number.isNaN(ms) || new Date(ms).toISOString().slice(0, 10) !== date) return undefined
  return dayFrom(formatOf(timezone), date)
}

/** The business days of moments that come in order: each day is found once. */
export function daysInOrder(timezone: string): (ms: number) => BusinessDay {
  let day: BusinessDay | undefined
  return ms => {
    if (!day || ms < day.startsAt || ms >= day.endsAt) day = dayOf(timezone, ms)
    return day
  }
}
