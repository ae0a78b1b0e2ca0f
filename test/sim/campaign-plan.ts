/**
 * Seven days of a campaign as a list of what people and tills do, made from a seed before anything is sent.
 *
 * The model is the redemption model of the bench (bench/people/order.ts): who uses how many vouchers of his pack, what
 * the orders come to, which merchants get them. Days fall off as people forget; some lock first, some abandon the lock,
 * some come back for a refund in full or in part, a few of them after the validity. An event belongs to one voucher,
 * and the events of a voucher keep their order; everything else may happen at once.
 */
import { merchantOf, orderAmount, vouchersUsed } from '../../bench/people/order.ts'
import { Random } from '../../bench/people/random.ts'

export const DAYS = 7
/** The business day after the last validity has ended, on which the last refunds come. */
export const LATE_DAY = DAYS + 1
const SHARES = { lock: 0.3, abandon: 0.03, reversal: 0.06, full: 0.85, late: 0.1, deactivate: 0.03 } as const
const MERCHANTS = 400

export type Act = 'lock' | 'unlock' | 'redeem' | 'reverse' | 'deactivate'

export interface Event {
  readonly day: number
  readonly act: Act
  /** Its place in the pack, and whose pack. */
  readonly person: number
  readonly place: number
  /** Names the order, the Idempotency-Key and the redemption that is reversed. */
  readonly order: string
  readonly amount: number
  readonly merchant: string
  /** Of a reversal; undefined is all. */
  readonly part: number | undefined
}

/** A day of the week of validity: two fifths come on the first two days. */
function dayOfUse(random: Random): number {
  const share = random.uniform()
  return Math.min(DAYS - 1, Math.floor(share < 0.4 ? random.between(0, 2) : random.between(2, DAYS)))
}

function eventsOf(random: Random, person: number, place: number): Event[] {
  const happens = (share: number) => random.uniform() < share
  const day = dayOfUse(random)
  const base = { person, place, order: `o${person}-${place}`, amount: orderAmount(random), part: undefined }
  const event = { ...base, merchant: `m${merchantOf(random, MERCHANTS)}`, day }
  if (happens(SHARES.deactivate)) return [{ ...event, act: 'deactivate' }]
  if (happens(SHARES.abandon)) return [{ ...event, act: 'lock' }]
  const events: Event[] = happens(SHARES.lock) ? [{ ...event, act: 'lock' }] : []
  if (happens(0.1)) events.push({ ...event, act: 'unlock' })
  events.push({ ...event, act: 'redeem' })
  if (!happens(SHARES.reversal)) return events
  const later = happens(SHARES.late) ? LATE_DAY : Math.min(DAYS - 1, day + Math.floor(random.between(0, 3)))
  const reversal = { ...event, day: later, act: 'reverse' } as const
  events.push(happens(SHARES.full) ? reversal : { ...reversal, part: 1 + Math.floor(random.between(0, 300)) })
  const restored = events.at(-1)?.part === undefined && later < DAYS - 1
  if (restored && happens(0.5)) events.push({ ...event, day: later + 1, act: 'redeem', order: `${event.order}-again` })
  return events
}

/** The events of each day, in lists that keep the order of one voucher. */
export function planOf(seed: number, people: number, packVouchers: number): Event[][][] {
  const random = new Random(seed, 0xca3)
  const days: Event[][][] = Array.from({ length: LATE_DAY + 1 }, () => [])
  for (let person = 0; person < people; person++) {
    for (let place = 0; place < vouchersUsed(random, packVouchers); place++) {
      const byDay = Object.groupBy(eventsOf(random, person, place), ({ day }) => day)
      for (const [day, events] of Object.entries(byDay)) days[Number(day)]?.push(events ?? [])
    }
  }
  return days
}
