/**
 * The client between people and a real engine whose way is broken while they claim and redeem: answers and requests that are
 * cut, Redis frozen (504), grants stopped (503), a restart behind nginx (502), a proxy that closes idle connections.
 *
 * Each fault goes on until the client met it: what it waited for says so. In the end everybody holds the one grant that the engine
 * lists for them, no claim was ever asked in other words, each voucher was paid for once, and who watched has the last stock.
 *
 * No witness: what the client answered is itself compared with the engine's lists, claim by claim.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ClaimResult } from '../../engine/client/claim.ts'
import { Fairgrab } from '../../engine/client/fairgrab.ts'
import type { Patience } from '../../engine/client/patience.ts'
import type { StockNews } from '../../engine/client/stock.ts'
import type { Answer } from '../../engine/client/transport.ts'
import { Api, makeRound, type Round } from '../support/api.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { KEYS } from '../support/engine.ts'
import { tell } from '../support/figures.ts'
import { freePort, type NodeProcess, startNodeProcess } from '../support/node-process.ts'
import { untilHolds } from '../support/polled.ts'
import { type RedisProcess, rawRedis, startLocalRedis } from '../support/redis.ts'
import { below, random } from '../support/seed.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

const AT_ONCE = 16
const TIMES = effort(1, 40)
const CUTS = effort(12, 40)
const LOST = effort(10, 400)
const DISCOUNT = 1000
/** Long enough for the slowest fault, and short enough that an attempt into nowhere is soon another one. */
const PATIENCE: Patience = { deadlineMs: 90_000, attemptMs: 3000 }

const folder = mkdtempSync(join(tmpdir(), 'fg-client-'))
const next = random(31)
let redis: RedisProcess
let node: NodeProcess
let nginx: ChildProcess
let proxy: TcpProxy
let api: Api

/** A plain proxy: it gives up on the engine after a while and on idle clients at once. */
const configuration = (port: number, to: string): string => `
  daemon off; pid ${folder}/pid; error_log stderr crit;
  events {}
  http {
    access_log off; keepalive_timeout 50ms;
    ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(name => `${name}_temp_path ${folder}/${name};`).join(' ')}
    server {
      listen 127.0.0.1:${port};
      location / {
        proxy_pass ${to}; proxy_http_version 1.1; proxy_set_header Host $http_host;
        proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_connection;
      }
    }
  }`

const answers = (url: string): Promise<boolean> =>
  fetch(`${url}/livez`).then(
    ({ ok }) => ok,
    () => false,
  )

beforeAll(async () => {
  redis = await startLocalRedis({ appendfsync: 'always' })
  const keys = `operator:${KEYS.operator},platform:${KEYS.platform}`
  node = await startNodeProcess({ REDIS_URL: redis.url, FAIRGRAB_KEYS: keys, LOG_LEVEL: 'fatal' })
  const port = await freePort()
  writeFileSync(join(folder, 'conf'), configuration(port, node.url))
  nginx = spawn('nginx', ['-p', folder, '-c', join(folder, 'conf'), '-e', 'stderr'], { stdio: 'ignore' })
  await untilHolds(() => {
    expect(nginx.exitCode).toBeNull()
    return answers(`http://127.0.0.1:${port}`)
  })
  proxy = await TcpProxy.open({ host: '127.0.0.1', port }, { remembers: false })
  api = new Api(node.url, KEYS.operator)
})
afterAll(async () => {
  const ended = nginx && once(nginx, 'exit')
  nginx?.kill('SIGTERM')
  await ended
  await proxy?.close()
  await node?.stop()
  await redis?.stop()
  await rm(folder, { recursive: true, force: true })
})

/** What the client had to wait for, and who waits for that. */
class Met {
  readonly answers: Answer[] = []
  readonly #waiting = new Set<() => void>()

  readonly waiting: NonNullable<Patience['waiting']> = ({ answer }) => {
    this.answers.push(answer)
    for (const look of [...this.#waiting]) look()
  }

  /** Resolves when one more that fits was met. */
  until(fits: (answer: Answer) => boolean): Promise<void> {
    return new Promise(resolve => {
      const look = () => {
        if (!fits(this.answers.at(-1) as Answer)) return
        this.#waiting.delete(look)
        resolve()
      }
      this.#waiting.add(look)
    })
  }
}

/** People who claim and redeem until they are stopped. */
class People {
  readonly met = new Met()
  readonly claimed = new Map<string, ClaimResult>()
  readonly #bodies = new Map<string, Set<string>>()
  readonly #round: Round
  readonly client: Fairgrab
  #count = 0
  #isOver = false

  constructor(round: Round) {
    this.#round = round
    // The real fetch; what is asked for whom is kept.
    const asking: typeof fetch = (address, init) => {
      const text = String(init?.body ?? '')
      const who = /"(?:user_id|store_id)":"([^"]+)"/.exec(text)?.[1]
      if (who !== undefined) this.#bodies.set(who, (this.#bodies.get(who) ?? new Set()).add(`${address} ${text}`))
      return fetch(address, init)
    }
    this.client = new Fairgrab({ url: proxy.url.replace('redis', 'http'), key: KEYS.operator, fetch: asking })
  }

  /** Claims asked in two different words. */
  get reworded(): readonly string[] {
    return [...this.#bodies].filter(([, bodies]) => bodies.size > 1).map(([who]) => who)
  }

  stop(): void {
    this.#isOver = true
  }

  async act(): Promise<void> {
    await Promise.all(Array.from({ length: AT_ONCE }, () => this.#oneByOne()))
  }

  async #oneByOne(): Promise<void> {
    const patience = { ...PATIENCE, waiting: this.met.waiting }
    while (!this.#isOver) {
      const user = `u${++this.#count}`
      const result = await this.client.claim(this.#round.id, { ...patience, user })
      this.claimed.set(user, result)
      if (result.outcome !== 'granted') continue
      const order = { id: `order-${user}`, amount: 5000, currency: 'CNY' }
      const code = result.vouchers[0]?.code as string
      const asked = { code, order, merchant_id: 'm1', store_id: `till-of-${user}` }
      const redeemed = await this.client.redeem(asked, { ...patience, key: `receipt-${this.#round.id}-${user}` })
      expect(redeemed.outcome, JSON.stringify(redeemed)).toBe('redeemed')
    }
  }
}

const isLost = ({ status }: Answer): boolean => status === 0

async function cut(direction: 'request' | 'reply', bytes: number, { met }: People): Promise<void> {
  for (let i = 0; i < CUTS; i++) {
    const lost = met.until(isLost)
    await proxy.cutAfter(direction, 1 + below(next, bytes))
    await lost
  }
}

/** What is broken, and for how long: until the client met it. */
const FAULTS: Readonly<Record<string, (people: People) => Promise<void>>> = {
  'answers that are cut': people => cut('reply', 2000, people),
  'requests that are cut': people => cut('request', 1000, people),
  'a network that swallows everything': async ({ met }) => {
    const lost = met.until(isLost)
    proxy.way = 'black hole'
    await lost
    proxy.way = 'pass'
  },
  'a frozen Redis': async ({ met }) => {
    const unknown = met.until(({ code }) => code === 'unknown')
    await redis.kill('SIGSTOP')
    await unknown
    await redis.kill('SIGCONT')
  },
  'grants that are stopped': async ({ met }) => {
    const fenced = met.until(({ code }) => code === 'fenced')
    const client = rawRedis(redis.url)
    await client.config('SET', 'appendfsync', 'no')
    await fenced
    await client.config('SET', 'appendfsync', 'always')
    client.disconnect()
  },
  'an engine that restarts behind a proxy': async ({ met }) => {
    const bad = met.until(({ status, code }) => status === 502 && code === undefined)
    expect(await node.terminate()).toBe(0)
    await bad
    node.launch()
    await node.serves()
  },
  'an engine that is killed': async ({ met }) => {
    const bad = met.until(({ status, code }) => status === 502 && code === undefined)
    await node.killAll()
    await bad
    node.launch()
    await node.serves()
  },
}

/** Who watches while all this goes on: the news, and a promise of the stock at which it ends. */
function watching({ client }: People, round: Round) {
  const news: StockNews[] = []
  let wanted = Number.POSITIVE_INFINITY
  const leaving = new AbortController()
  const seen = (async () => {
    for await (const each of client.stock(round.id, { signal: leaving.signal })) {
      news.push(each)
      if (each.kind === 'stock' && each.stock.granted >= wanted) return
    }
  })()
  const until = async (granted: number) => {
    wanted = granted
    const last = news.at(-1)
    if (last?.kind === 'stock' && last.stock.granted === granted) leaving.abort()
    await seen.catch(cause => {
      if (!leaving.signal.aborted) throw cause
    })
  }
  return { news, until }
}

test.each(Object.entries(FAULTS))(
  '%s: no claim is lost, asked in other words or paid for twice',
  async (_, fault) => {
    const round = await makeRound(api, { stock: 1_000_000 })
    const people = new People(round)
    const watch = watching(people, round)
    const acting = people.act()
    for (let i = 0; i < TIMES; i++) {
      const { size } = people.claimed
      await fault(people)
      // The next one meets claims under way: a Redis that is frozen again before anybody reaches it leaves nothing in doubt.
      await untilHolds(() => people.claimed.size > size + AT_ONCE)
    }
    people.stop()
    await acting
    const rows = await api.get<string>(`/v1/rounds/${round.id}/claims`, { accept: 'application/x-ndjson' })
    const listed = String(rows.body)
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as { readonly user_id: string; readonly sequence: number })
    const own = [...people.claimed].map(([user, result]) => [
      user,
      result.outcome === 'granted' ? result.claim.sequence : result,
    ])
    expect(Object.fromEntries(own)).toEqual(Object.fromEntries(listed.map(row => [row.user_id, row.sequence])))
    expect(people.reworded).toEqual([])
    const { body } = await api.get<{ balances: Readonly<Record<string, number>> }>(
      `/v1/campaigns/${round.campaign_id}/ledger`,
    )
    expect(body.balances['payable:m1']).toBe(people.claimed.size * DISCOUNT)
    await watch.until(people.claimed.size)
    const granted = watch.news.flatMap(each => (each.kind === 'stock' ? [each.stock.granted] : []))
    expect(granted).toEqual(granted.toSorted((a, b) => a - b))
    tell({ claims: people.claimed.size, askedAgain: people.met.answers.length })
  },
  PATIENCE_MS,
)

test(
  'a proxy that closes idle connections at any moment: every claim has its answer',
  async () => {
    const round = await makeRound(api, { stock: 1_000_000 })
    const people = new People(round)
    const { met } = people
    let claims = 0
    const idle = async () => {
      while (met.answers.filter(isLost).length < LOST) {
        const user = `idle${++claims}`
        expect((await people.client.claim(round.id, { ...PATIENCE, user, waiting: met.waiting })).outcome).toBe(
          'granted',
        )
        // About the proxy's own time, so that connections are closed just when they are used again.
        await new Promise(resolve => setTimeout(resolve, 45 + below(next, 10)))
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, idle))
    expect((await api.get<Round>(`/v1/rounds/${round.id}`)).body.stock.granted).toBe(claims)
    expect(people.reworded).toEqual([])
  },
  PATIENCE_MS,
)
