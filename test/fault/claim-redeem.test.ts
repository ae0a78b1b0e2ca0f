/**
 * What was just told is redeemed at once: pairs of a claim and its redemption over real HTTP, the claim at one node and
 * the redemption at the other, both ways, while one of them is 3 milliseconds from Redis. No fault is made; the distance
 * alone puts each look-up beside reads that began before the grant was made. Wrong codes are limited to two a second,
 * so each good code that is taken for a wrong one also refuses those behind it.
 *
 * People come in batches of random size, so that a page of the log is read while it grows. Every redemption must be made
 * by its first answer or, where Redis did not answer in time, by the same request again. Each campaign ends with an audit
 * of its ledger from the raw keys. No witness: each of its requests is judged over the public API already. Rejected: one campaign for all of them; its ledger would not fit into the test's memory.
 */
import { expect, test } from 'vitest'
import { HttpConnection } from '../../bench/load/http-connection.ts'
import { realClock } from '../../engine/base/clock.ts'
import { realRandom } from '../../engine/base/random.ts'
import { Link } from '../../engine/store/connection/link.ts'
import { Api, type Granted, makeRound } from '../support/api.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { KEYS } from '../support/engine.ts'
import { tell } from '../support/figures.ts'
import { expectSoundLedger } from '../support/ledger-audit.ts'
import { startNodeProcess } from '../support/node-process.ts'
import { startLocalRedis } from '../support/redis.ts'
import { below, random } from '../support/seed.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

const CAMPAIGNS = effort(1, 20)
const PAIRS = effort(2000, 50_000)
const WAY_MS = 3
/** Small batches in many lanes, so that at every moment somebody's page is read while somebody else's grant is made. */
const LANES = 48
const BATCH_MAX = 8
/** Requests under way at once at each node. */
const TILLS = 96
const RATE_WRONG_CODES = '2'
/** What says "Redis did not answer in time", where the machine is slower than an answer may be. */
const AGAIN: ReadonlySet<number> = new Set([503, 504])

/** The same of claims. */
const SHED = ['unknown', 'unavailable', 'overloaded', 'fenced']

const PACK = [
  {
    template: '40-10',
    quantity: 1,
    discount: { type: 'amount_off', amount_off: 1000, minimum_amount: 4000 },
    valid_for_s: 604_800,
  },
]

interface Answer {
  readonly status: number
  readonly body: string
}

type Ask = (bytes: Buffer) => Promise<Answer>

/** A node's connections; each carries one request at a time, and who comes when all do waits for the next. */
class Tills implements Disposable {
  readonly url: string
  readonly #connections: HttpConnection[] = []
  readonly #free: Ask[] = []
  readonly #waiting: ((ask: Ask) => void)[] = []

  private constructor(url: string) {
    this.url = url
  }

  static async open(url: string): Promise<Tills> {
    const tills = new Tills(url)
    for (let i = 0; i < TILLS; i++) await tills.#add()
    return tills
  }

  async #add(): Promise<void> {
    let told: (answer: Answer) => void = () => {}
    const connection = new HttpConnection(this.url, {
      answered: (status, body) => told({ status, body: status === 201 ? '' : body.toString() }),
      broken: () => told({ status: 504, body: 'the connection broke' }),
      reopened: () => {},
    })
    await connection.open()
    this.#connections.push(connection)
    this.#free.push(bytes => {
      connection.send(bytes)
      return new Promise(resolve => {
        told = resolve
      })
    })
  }

  async post(path: string, body: string, key: string): Promise<Answer> {
    const head = [
      `POST ${path} HTTP/1.1`,
      `Host: ${new URL(this.url).host}`,
      `Authorization: Bearer ${KEYS.operator}`,
      'Content-Type: application/json',
      `Idempotency-Key: ${key}`,
      `Content-Length: ${body.length}`,
    ]
    const ask = this.#free.pop() ?? (await new Promise<Ask>(resolve => this.#waiting.push(resolve)))
    const answer = await ask(Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}`))
    const next = this.#waiting.shift()
    if (next) next(ask)
    else this.#free.push(ask)
    return answer
  }

  [Symbol.dispose](): void {
    for (const connection of this.#connections) connection.close()
  }
}

/** Counts by status and code; what is not made says why. */
class Tally {
  readonly refused = new Map<string, number>()
  made = 0
  again = 0

  add({ status, body }: Answer): void {
    if (status === 201 || status === 200) this.made++
    else {
      const { code, detail } = JSON.parse(body) as { code: string; detail: string }
      this.refused.set(`${code}: ${detail}`, (this.refused.get(`${code}: ${detail}`) ?? 0) + 1)
    }
  }
}

async function redeem(tills: Tills, code: string, tally: Tally): Promise<void> {
  const body = JSON.stringify({ code, order: { id: code, amount: 5000, currency: 'CNY' }, merchant_id: 'm1' })
  let answer = await tills.post('/v1/redemptions', body, code)
  for (; AGAIN.has(answer.status); tally.again++) answer = await tills.post('/v1/redemptions', body, code)
  tally.add(answer)
}

/** The codes of users, one each; what is not certain is asked again. */
async function claim(tills: Tills, roundId: string, users: readonly string[]): Promise<readonly string[]> {
  const claims = JSON.stringify({ claims: users.map(user_id => ({ user_id })) })
  for (;;) {
    const { status, body } = await tills.post(`/v1/rounds/${roundId}/claims/batch?vouchers=true`, claims, 'claims')
    // A batch as a whole, too, where its worker stood still.
    if (status === 503 && SHED.includes(JSON.parse(body).code)) continue
    expect(status, body).toBe(200)
    const { results } = JSON.parse(body) as { results: Granted[] }
    const others = results.map(({ outcome }) => outcome).filter(outcome => outcome !== 'granted')
    if (others.length === 0) return results.map(({ vouchers }) => vouchers[0]?.code as string)
    expect(SHED).toEqual(expect.arrayContaining([...new Set(others)]))
  }
}

/** One campaign: everybody claims at one side and redeems at the other. */
async function play([near, far]: readonly [Tills, Tills], next: () => number, tally: Tally): Promise<string> {
  const round = await makeRound(new Api(near.url, KEYS.operator), { stock: PAIRS }, { pack: PACK })
  let asked = 0
  const take = () => {
    const users = Array.from({ length: Math.min(1 + below(next, BATCH_MAX), PAIRS - asked) }, (_, i) => `u${asked + i}`)
    asked += users.length
    return users
  }
  const lane = async (here: Tills, there: Tills) => {
    for (let users = take(); users.length > 0; users = take()) {
      const codes = await claim(here, round.id, users)
      await Promise.all(codes.map(code => redeem(there, code, tally)))
    }
  }
  await Promise.all(Array.from({ length: LANES }, (_, i) => (i % 2 === 0 ? lane(near, far) : lane(far, near))))
  return round.campaign_id
}

test(
  `${CAMPAIGNS * PAIRS} vouchers are redeemed at once at another node than they were claimed at`,
  async () => {
    const next = random()
    await using redis = await startLocalRedis({ appendfsync: 'always' })
    await using proxy = await TcpProxy.open({ path: redis.socketPath as string }, { remembers: false })
    const settings = { FAIRGRAB_RATE_WRONG_CODES: RATE_WRONG_CODES, LOG_LEVEL: 'fatal' }
    await using near = await startNodeProcess({ REDIS_URL: redis.url, ...settings })
    await using far = await startNodeProcess({ REDIS_URL: proxy.url, ...settings })
    proxy.delayMs = WAY_MS
    using nearTills = await Tills.open(near.url)
    using farTills = await Tills.open(far.url)
    const link = new Link({ url: redis.url, scripts: {}, clock: realClock, random: realRandom })
    const tally = new Tally()
    const from = performance.now()
    for (let i = 0; i < CAMPAIGNS; i++) {
      const campaignId = await play([nearTills, farTills], next, tally)
      expect([...tally.refused]).toEqual([])
      const { entries } = await expectSoundLedger(link, campaignId)
      expect(entries.filter(({ words }) => words.kind === 'redeem')).toHaveLength(PAIRS)
    }
    await link.close()
    expect(tally.made).toBe(CAMPAIGNS * PAIRS)
    const perSecond = Math.round(tally.made / ((performance.now() - from) / 1000))
    console.log(`${tally.made} pairs, ${perSecond} a second, ${tally.again} asked again`)
    tell({ pairs: tally.made, notFound: 0, rateLimited: 0, askedAgain: tally.again })
  },
  PATIENCE_MS,
)
