/**
 * What a new release may be: the form's values become the two bodies of the API, or a list of what is wrong with them.
 *
 * Everything that the engine would refuse is refused here in words for the person at the form, and so is what the
 * engine must take but nobody can mean: a coupon worth more than the order that it needs, a limit per user above the
 * stock, a round that is over before anybody could claim. The engine still decides. Rejected: asking the engine at
 * each key press; and silent corrections, since a form that knows better makes campaigns nobody asked for.
 */
import { amountText, currencyDigits, minorUnits } from '../base/currency.js'

const DAY_S = 86_400
const STOCK_MAX = 100_000_000
const AMOUNT_MAX = 2 ** 52

const isCount = (value, most) => Number.isInteger(value) && value >= 1 && value <= most

function moneyFaults({ off, minimum, budget, cost, currency }) {
  return [
    !(off > 0) && ['off', 'How much a coupon takes off: a number above 0, like 10 or 9.50.'],
    !(minimum >= 0) && ['minimum', 'The least order: a number like 40, or 0 for any order.'],
    off > minimum && minimum > 0 && ['minimum', 'The coupon is worth more than the order that it needs.'],
    budget !== undefined && !(budget > 0) && ['budget', 'The budget: a number, or nothing for no limit.'],
    budget > 0 &&
      cost > budget && ['budget', `All coupons together may cost ${amountText(cost, currency)}: more than the budget.`],
    cost > AMOUNT_MAX && ['stock', 'All coupons together cost more than the ledger can count.'],
  ]
}

function timeFaults({ opens, closes }, now) {
  return [
    Number.isNaN(opens) && ['opens', 'When it opens: a date and a time, or nothing.'],
    Number.isNaN(closes) && ['closes', 'When it closes: a date and a time, or nothing.'],
    closes <= now && ['closes', 'It would be over before it began: this time is past.'],
    opens !== undefined && closes <= opens && ['closes', 'It closes before it opens.'],
  ]
}

/** What a draw may be: one entry a person, time to enter, an hour that comes. */
function drawFaults({ mode, perUser, pool, seconds, waitlist, draws, opens, closes }, now) {
  if (mode === 'fcfs') return []
  const isWindow = mode === 'window'
  return [
    perUser > 1 && ['per_user', 'A person enters a draw once, so they get one pack.'],
    pool === 'waitlist' && ['pool', 'In a draw the waitlist is something else; name the pool otherwise.'],
    isWindow &&
      !(seconds >= 1 && seconds <= DAY_S) && ['window', 'Seconds: 1 to 86400. Below 1 only programs are in time.'],
    ...(isWindow ? [] : lotteryFaults({ draws, opens, closes, waitlist }, now)),
  ]
}

function lotteryFaults({ draws, opens, closes, waitlist }, now) {
  return [
    !(draws >= 0) && ['draws', 'When it is drawn: a date and a time.'],
    draws <= now && ['draws', 'It would be drawn before anybody could enter: this time is past.'],
    opens !== undefined && draws <= opens && ['draws', 'It is drawn before it opens.'],
    closes > draws && ['closes', 'Entries would close after the draw.'],
    !(Number.isInteger(waitlist) && waitlist >= 0 && waitlist <= STOCK_MAX) && ['waitlist', 'Places: 0 or more.'],
  ]
}

function allocationOf({ mode, seconds, draws, waitlist, iso }) {
  if (mode === 'window') return { mode, window_ms: Math.round(seconds * 1000) }
  return mode === 'lottery' ? { mode, draws_at: iso(draws), waitlist } : { mode }
}

/**
 * `values`: the form's fields as texts. Gives { faults: [field, words], notes, campaign, round }.
 * @returns {{ faults: string[][], cost?: any, opensAtOnce?: any, campaign?: any, round?: any }}
 */
export function release(values, now) {
  const { mode, currency } = values
  const number = name => Number(values[name] === '' ? Number.NaN : values[name])
  const moment = name => (values[name] === '' ? undefined : Date.parse(values[name]))
  const [off, minimum] = [minorUnits(values.off, currency), minorUnits(values.minimum, currency)]
  const budget = values.budget.trim() === '' ? undefined : minorUnits(values.budget, currency)
  const [stock, quantity, days, perUser] = ['stock', 'quantity', 'days', 'per_user'].map(number)
  const [opens, closes, draws] = ['opens', 'closes', 'draws'].map(moment)
  const [seconds, waitlist] = ['window', 'waitlist'].map(number)
  const pool = values.pool_stock === '' && values.pool === '' ? undefined : number('pool_stock')
  const cost = stock * quantity * off
  const faults = [
    values.name.trim() === '' && ['name', 'A name, so that people know it on the screen.'],
    !/^[A-Z]{3}$/.test(values.currency) && ['currency', 'A currency: three capital letters, like CNY.'],
    !isCount(quantity, 64) && ['quantity', 'Coupons in a pack: 1 to 64.'],
    !isCount(days, 3660) && ['days', 'Days: 1 to 3660.'],
    !isCount(stock, STOCK_MAX) && ['stock', 'Packs: 1 to 100,000,000.'],
    !isCount(perUser, 255) && ['per_user', 'Packs a user may have: 1 to 255.'],
    stock >= 1 && perUser > stock && ['per_user', 'One user could have more packs than there are.'],
    pool !== undefined && !/^[a-z0-9_-]{1,64}$/.test(values.pool) && ['pool', 'A pool: its name in a-z 0-9 _ -.'],
    values.pool === 'general' && ['pool', 'The pool general is what the others leave.'],
    pool !== undefined &&
      !isCount(pool, stock) && ['pool_stock', 'Set aside 1 pack or more, and not more than there are.'],
    ...moneyFaults({ off, minimum, budget, cost, currency }),
    ...timeFaults({ opens, closes }, now),
    ...drawFaults({ mode, perUser, pool: values.pool, seconds, waitlist, draws, opens, closes }, now),
  ].filter(Boolean)
  if (faults.length > 0) return { faults }
  const discount = { type: 'amount_off', amount_off: off, minimum_amount: minimum }
  const template = {
    template: [minimum, off].map(each => each / 10 ** currencyDigits(currency)).join('-'),
    quantity,
    discount,
    valid_for_s: days * DAY_S,
  }
  const iso = ms => (ms === undefined ? null : new Date(ms).toISOString())
  return {
    faults,
    cost,
    opensAtOnce: opens <= now,
    campaign: {
      name: values.name.trim(),
      currency: values.currency,
      ...(budget === undefined ? {} : { budget: { max_amount: budget } }),
      pack: [template],
      limits: { per_user: perUser },
    },
    round: {
      stock,
      opens_at: iso(opens),
      closes_at: iso(closes),
      allocation: allocationOf({ mode, seconds, draws, waitlist, iso }),
      pools: pool === undefined ? [] : [{ name: values.pool, stock: pool }],
    },
  }
}
