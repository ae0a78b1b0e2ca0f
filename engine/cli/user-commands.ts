/**
 * `fairgrab claim`, `fairgrab redeem` and `fairgrab watch`: what a user, a till and a viewer do, tried from a terminal.
 *
 * Watching reads the rounds' public state twice a second and draws them in place; it needs no key. A claim asked again
 * is the same claim, and a redemption has an Idempotency-Key, made of code and order where none is given, so repeating a
 * line repeats no money. Rejected: the stream for watching; a terminal shows no more than two pictures a second anyway.
 */
import { createHash } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { moneyText } from '../base/currency.ts'
import { AMOUNT_MAX, SLOTS_MAX } from '../base/limits.ts'
import type { AnsweredClaim } from '../wire/claim-json.ts'
import type { DamagedRound, RoundAnswer } from '../wire/round-answer.ts'
import { type Command, countOf, type Given, textOf, wordAt } from './command.ts'
import { askJson, EngineRefusal } from './engine-call.ts'
import { roundLine } from './release-commands.ts'

/** What a drawn round answers. */
interface Entered {
  readonly outcome: 'entered'
  readonly receipt: { readonly tag: string; readonly window: number }
}

export const CLAIM: Command = {
  name: 'claim',
  usage: ['claim ROUND USER [--pool NAME] [--slot N] [--nonce HEX] [--salt HEX]'],
  sentence: 'claim a pack for a user; asked again it is the same claim',
  examples: ['fairgrab claim rnd_… ada', 'fairgrab claim rnd_… ada --pool assisted --json'],
  options: {
    pool: { type: 'string', says: 'the pool, else general' },
    slot: { type: 'string', says: 'which of their packs, else 1' },
    nonce: { type: 'string', says: 'of an entry: 32 hexadecimal digits; else the engine makes them' },
    salt: { type: 'string', says: 'of an entry: 32 hexadecimal digits; else the engine makes them' },
  },
  run: async given => {
    const round = wordAt(given, 0, 'round', CLAIM.usage[0] as string)
    wordAt(given, 1, 'user', CLAIM.usage[0] as string)
    const { pool, nonce, salt } = given.values
    const slot = given.values.slot === undefined ? undefined : countOf(given, 'slot', [1, SLOTS_MAX])
    const body = { user_id: given.words[1], pool, slot, nonce, salt }
    const claimed = await askJson<AnsweredClaim | Entered>(given.target, `/v1/rounds/${round}/claims`, {
      method: 'POST',
      body,
    })
    if (claimed.outcome === 'entered') {
      const { tag, window } = claimed.receipt
      given.print(claimed, `entered: tag ${tag}, window ${window}`)
      return 0
    }
    const { claim, vouchers, replayed } = claimed
    const head = `${replayed ? 'granted before' : 'granted'}: number ${claim.sequence}, pool ${claim.pool}`
    given.print(claimed, [
      head,
      ...vouchers.map(({ code, template, expires_at }) => `  ${code}  ${template}  until ${expires_at}`),
    ])
    return 0
  },
}

interface Redeemed {
  readonly id: string
  readonly discount_amount: number
  readonly payer_amount: number
}

export const REDEEM: Command = {
  name: 'redeem',
  usage: [
    'redeem CODE --order ID --amount N --currency CNY --merchant ID [--store ID] [--user ID] [--idempotency-key KEY]',
  ],
  sentence: 'redeem a voucher for an order',
  examples: [
    'fairgrab redeem CODE --order o1 --amount 5000 --currency CNY --merchant m1',
    'fairgrab redeem CODE --order o1 --amount 5000 --currency CNY --merchant m1 --idempotency-key receipt-1',
  ],
  options: {
    order: { type: 'string', says: "the order's id" },
    amount: { type: 'string', says: 'its amount in minor units' },
    currency: { type: 'string', says: 'three capital letters' },
    merchant: { type: 'string', says: "the merchant's id" },
    store: { type: 'string', says: 'the store of the merchant' },
    user: { type: 'string', says: 'whose voucher it has to be' },
    'idempotency-key': { type: 'string', says: 'else one made of the code and the order' },
  },
  run: async given => {
    wordAt(given, 0, 'voucher', REDEEM.usage[0] as string)
    const code = given.words[0] as string
    const order = {
      id: textOf(given, 'order', 'o1'),
      amount: countOf(given, 'amount', [0, AMOUNT_MAX]),
      currency: textOf(given, 'currency', 'CNY'),
    }
    const { store: store_id, user: user_id } = given.values
    const body = { code, order, merchant_id: textOf(given, 'merchant', 'm1'), store_id, user_id }
    const made = createHash('sha256').update(`${code} ${order.id}`).digest('hex').slice(0, 32)
    const key = given.values['idempotency-key'] ?? `cli-${made}`
    const done = await askJson<Redeemed>(given.target, '/v1/redemptions', { method: 'POST', body, key: String(key) })
    given.print(
      done,
      `${done.id}: ${moneyText(done.discount_amount, order.currency)} off, the customer pays ${moneyText(done.payer_amount, order.currency)} ${order.currency}`,
    )
    return 0
  },
}

const WATCH_MS = 500
const CLEAR = '\u001b[H\u001b[2J'

type Row = RoundAnswer | DamagedRound

async function look(given: Given): Promise<readonly Row[]> {
  if (given.words.length === 0)
    return (await askJson<{ data: readonly Row[] }>(given.target, '/v1/rounds?limit=20')).data
  const path = (id: string) => `/v1/rounds/${encodeURIComponent(id)}`
  const looked = await Promise.allSettled(given.words.map(id => askJson<RoundAnswer>(given.target, path(id))))
  const isAnyRead = looked.some(({ status }) => status === 'fulfilled')
  return looked.map((each, i) => {
    if (each.status === 'fulfilled') return each.value
    const cause: unknown = each.reason
    if (!isAnyRead || !(cause instanceof EngineRefusal && NOT_NOW.includes(cause.code))) throw cause
    return { id: given.words[i] as string, state: 'fenced', problem: cause.message }
  })
}

/** What the engine says of a round that cannot be read now: the others of the line are shown. */
const NOT_NOW = ['fenced', 'unavailable', 'unknown']

export const WATCH: Command = {
  name: 'watch',
  usage: ['watch [ROUND …] [--once]'],
  sentence: 'the stock of rounds as it moves',
  examples: ['fairgrab watch', 'fairgrab watch rnd_… --once --json'],
  options: { once: { type: 'boolean', says: 'print once and end; the default where the output is no terminal' } },
  run: async given => {
    const isOnce = given.values.once === true || !process.stdout.isTTY
    for (;;) {
      const rounds = await look(given)
      if (!isOnce && given.values.json !== true) process.stdout.write(CLEAR)
      given.print(rounds, rounds.length === 0 ? 'there is no round yet' : rounds.map(roundLine))
      if (isOnce) return 0
      await wait(WATCH_MS)
    }
  },
}
