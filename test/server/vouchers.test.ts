/**
 * Vouchers over HTTP: looked up by code, redeemed exactly once, refused by each rule of the table.
 *
 * The order of the checks matters to a merchant: a wrong order must not cost the voucher, and the same key with
 * another body must not redeem a second one. Repeats are compared byte for byte, also when several arrive at once. The
 * end of a voucher is not waited for: the campaign's clock is moved to just behind its own `expires_at`.
 */
import { beforeAll, describe, expect, test } from 'vitest'
import * as keys from '../../engine/store/connection/keys.ts'
import { Api, expectProblem, type Fields, type Granted, makeRound, PACK, type Round } from '../support/api.ts'
import { KEYS } from '../support/engine.ts'
import { rawRedis } from '../support/redis.ts'
import { useWorker } from '../support/use-worker.ts'
import { userToken } from '../support/user-token.ts'

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

const worker = useWorker()

let made = 0
const freshKey = () => ({ 'idempotency-key': `key-${++made}` })

/** Lets time pass for the campaign of a round. */
async function passTime({ campaign_id }: Round, ms: number): Promise<void> {
  const client = rawRedis(worker.redisUrl)
  await client.hset(keys.campaignState(campaign_id), 'ahead', ms)
  client.disconnect()
}

for (const encoding of ['json', 'msgpack'] as const)
  describe(encoding, () => {
    let operator: Api
    let merchant: Api
    let round: Round
    beforeAll(async () => {
      operator = new Api(worker.url, KEYS.operator, encoding)
      merchant = operator.as(KEYS.merchant)
      round = await makeRound(operator, { stock: 100 })
    })
    let people = 0
    const voucher = async (from = round): Promise<{ code: string; user: string; expiresAt: string }> => {
      const user = `u${++people}`
      const { body } = await operator.post<Granted>(`/v1/rounds/${from.id}/claims`, { user_id: user })
      const [first] = body.vouchers
      if (!first) throw new Error('a grant without vouchers')
      return { code: first.code, user, expiresAt: first.expires_at }
    }
    const order = (code: string, more: Fields = {}, amount = 5000): Fields => ({
      code,
      order: { id: 'o1', amount, currency: 'CNY' },
      merchant_id: 'm1',
      ...more,
    })
    const redeem = (body: Fields, headers: Readonly<Record<string, string>> = freshKey(), by = merchant) =>
      by.post('/v1/redemptions', body, headers)

    test('a voucher is looked up, redeemed, and shows its redemption', async () => {
      const { code, user, expiresAt } = await voucher()
      const shown = {
        code,
        state: 'active',
        template: '40-10',
        discount: PACK[0].discount,
        user_id: user,
        round_id: round.id,
        expires_at: expiresAt,
        lock: null,
        redemption: null,
      }
      const read = await merchant.get(`/v1/vouchers/${code}`)
      expect([read.status, read.body]).toMatchObject([200, shown])
      const made = await redeem(order(code, { store_id: 's1' }))
      expect([made.status, made.body]).toMatchObject([
        201,
        {
          id: expect.stringMatching(/^rdm_\w+$/),
          state: 'succeeded',
          code,
          order_id: 'o1',
          merchant_id: 'm1',
          discount_amount: 1000,
          payer_amount: 4000,
          merchant_receivable: 5000,
          redeemed_at: expect.stringMatching(TIME),
        },
      ])
      expect((await merchant.get(`/v1/vouchers/${code}`)).body).toMatchObject({
        ...shown,
        state: 'redeemed',
        redemption: made.body,
      })
      const claim = await operator.get<Granted>(`/v1/rounds/${round.id}/claims/${user}`)
      expect(claim.body.vouchers.map(({ state }) => state)).toEqual(['redeemed', 'active'])
    })

    test('a code is found however it is written, and an unknown one is 404 whatever is wrong with it', async () => {
      const { code } = await voucher()
      const spaced = `${code.slice(0, 4)}-${code.slice(4, 12)} ${code.slice(12)}`
      for (const written of [code.toLowerCase(), spaced, code.replaceAll('0', 'o').replaceAll('1', 'l')])
        expect((await merchant.get(`/v1/vouchers/${encodeURIComponent(written)}`)).body).toMatchObject({ code })
      const flipped = (at: number) => code.slice(0, at) + (code[at] === 'Z' ? 'Y' : 'Z') + code.slice(at + 1)
      const wrong = [
        ...Array.from(code, (_, at) => flipped(at)),
        code.slice(1),
        `${code}0`,
        'x',
        '%00',
        '%',
        `${'Z'.repeat(20)}`,
      ]
      const answers = new Set<string>()
      for (const forged of wrong) {
        const reply = await merchant.get(`/v1/vouchers/${forged}`)
        expectProblem(reply, 'not_found')
        answers.add(reply.bytes.toString('hex'))
      }
      expect(answers.size).toBe(1)
      expectProblem(await redeem(order(flipped(19))), 'not_found')
      expect((await redeem(order(code))).status).toBe(201)
    })

    test('the same key and body is the same redemption, byte for byte, at once and later', async () => {
      const { code } = await voucher()
      const key = freshKey()
      const replies = await Promise.all(Array.from({ length: 8 }, () => redeem(order(code), key)))
      const [first, ...more] = replies.toSorted((a, b) => b.status - a.status)
      expect(first?.headers.get('idempotent-replayed')).toBeNull()
      expect(first?.status).toBe(201)
      for (const reply of [...more, await redeem(order(code), key)]) {
        expect([reply.status, reply.headers.get('idempotent-replayed')]).toEqual([200, 'true'])
        expect(reply.bytes).toEqual(first?.bytes)
      }
      const { code: other } = await voucher()
      expectProblem(await redeem(order(code, {}, 6000), key), 'idempotency_mismatch')
      expectProblem(await redeem(order(other), key), 'idempotency_mismatch')
      expect((await merchant.get(`/v1/vouchers/${other}`)).body.state).toBe('active')
      expectProblem(await redeem(order(code)), 'already_redeemed')
      const byPlatform = await redeem(order(other), key, operator.as(KEYS.platform))
      expect(byPlatform.status).toBe(201)
    })

    test('each rule refuses by its code and leaves the voucher whole', async () => {
      const { code } = await voucher()
      const wrongOrder = (change: Fields) =>
        order(code, { order: { id: 'o1', amount: 5000, currency: 'CNY', ...change } })
      expectProblem(await redeem(order(code), {}), 'idempotency_key_required')
      for (const key of ['has space', 'x'.repeat(129)])
        expectProblem(await redeem(order(code), { 'idempotency-key': key }), 'invalid')
      expectProblem(await redeem(wrongOrder({ amount: 3999 })), 'below_minimum')
      expectProblem(await redeem(wrongOrder({ currency: 'USD' })), 'wrong_currency')
      const wrong: readonly (readonly [Fields, string])[] = [
        [{}, 'code'],
        [wrongOrder({ amount: -1 }), 'order.amount'],
        [wrongOrder({ amount: 50.5 }), 'order.amount'],
        [wrongOrder({ amount: '5000' }), 'order.amount'],
        [wrongOrder({ amount: 2 ** 53 }), 'order.amount'],
        [wrongOrder({ currency: 'yuan' }), 'order.currency'],
        [wrongOrder({ id: '' }), 'order.id'],
        [wrongOrder({ tip: 1 }), 'order.tip'],
        [order(code, { merchant_id: undefined }), 'merchant_id'],
        [order(code, { merchant_id: 'm'.repeat(129) }), 'merchant_id'],
        [order(code, { cashier: 'c1' }), 'cashier'],
      ]
      for (const [body, field] of wrong)
        expectProblem(await redeem(body), 'invalid', { detail: expect.stringContaining(field) })
      for (const by of [KEYS.viewer, userToken('u1')])
        expectProblem(await redeem(order(code), freshKey(), operator.as(by)), 'forbidden')
      expectProblem(await redeem(order(code), freshKey(), operator.as('')), 'unauthorized')
      expectProblem(await operator.as('').get(`/v1/vouchers/${code}`), 'unauthorized')
      expect((await operator.as(KEYS.viewer).get(`/v1/vouchers/${code}`)).body.state).toBe('active')
      expect((await redeem(order(code, {}, 4000))).body).toMatchObject({
        discount_amount: 1000,
        payer_amount: 3000,
        merchant_receivable: 4000,
      })
    })

    test('one voucher goes to one of many who redeem it at once', async () => {
      const { code } = await voucher()
      const replies = await Promise.all(
        Array.from({ length: 16 }, (_, i) => redeem(order(code, { merchant_id: `m${i}` }))),
      )
      const won = replies.filter(({ status }) => status === 201)
      expect(won).toHaveLength(1)
      for (const reply of replies) if (reply !== won[0]) expectProblem(reply, 'already_redeemed')
      expect((await merchant.get(`/v1/vouchers/${code}`)).body.redemption).toMatchObject(won[0]?.body as Fields)
    })

    test('percentages round down and stop at their maximum', async () => {
      const discount = { type: 'percent_off', percent_off: 33.33, minimum_amount: 0, maximum_discount_amount: 700 }
      const sale = await makeRound(operator, {}, { pack: [{ template: 'third', discount, valid_for_s: 60 }] })
      for (const [amount, off] of [
        [1000, 333],
        [3, 0],
        [2101, 700],
        [1_000_000, 700],
        [0, 0],
      ] as const) {
        const { code } = await voucher(sale)
        expect((await redeem(order(code, {}, amount))).body).toMatchObject({
          discount_amount: off,
          payer_amount: amount - off,
          merchant_receivable: amount,
        })
      }
    })

    test('a voucher ends at its moment, and what was redeemed stays redeemed', async () => {
      const short = await makeRound(operator, {}, { pack: [{ ...PACK[0], quantity: 1, valid_for_s: 60 }] })
      const [used, unused] = [await voucher(short), await voucher(short)]
      const key = freshKey()
      const made = await redeem(order(used.code), key)
      expect(made.status).toBe(201)
      await passTime(short, Date.parse(unused.expiresAt) - Date.now() + 5)
      expectProblem(await redeem(order(unused.code)), 'expired')
      expect((await merchant.get(`/v1/vouchers/${unused.code}`)).body).toMatchObject({
        state: 'expired',
        redemption: null,
      })
      expect((await merchant.get(`/v1/vouchers/${used.code}`)).body).toMatchObject({
        state: 'redeemed',
        redemption: made.body,
      })
      expect((await redeem(order(used.code), key)).bytes).toEqual(made.bytes)
      const claim = await operator.get<Granted>(`/v1/rounds/${short.id}/claims/${unused.user}`)
      expect(claim.body.vouchers.map(({ state }) => state)).toEqual(['expired'])
    })
  })
