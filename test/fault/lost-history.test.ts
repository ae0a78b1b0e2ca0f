/**
 * What a surviving node shows after a fail-over that lost something: what its new Redis has, within a second, as another
 * epoch, and nothing that it knew of the lost history. Below the level fenced nothing else keeps a node from believing
 * its own memory, since a lost pause has a higher version than the state that is true.
 *
 * The stream between two copies is cut, an operator and people change things that the replica never hears of, the
 * primary is killed and the replica takes its name. Two nodes watch; they must agree on the epoch, which Redis has. The
 * counter-check is a kill and a restart on the same log: the same history, so the same epoch and no version back.
 * No witness: the changes that are lost are chosen one by one, and both nodes are asked for each of them.
 */
import { expect, onTestFinished, test } from 'vitest'
import { roundDraw, roundState } from '../../engine/store/connection/keys.ts'
import { Api, expectProblem, type Fields, type Granted, makeRound, type Round } from '../support/api.ts'
import { type Copy, follow, startCopy, synced } from '../support/copies.ts'
import { PATIENCE_MS } from '../support/effort.ts'
import { KEYS, startTestWorker } from '../support/engine.ts'
import { tell } from '../support/figures.ts'
import { launchNode } from '../support/node-process.ts'
import { untilHolds } from '../support/polled.ts'
import { Stalls } from '../support/stalls.ts'
import { StreamClient } from '../support/stream-client.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

const SHOWN_WITHIN_MS = 1000
const ALWAYS = { FAIRGRAB_DURABILITY: 'always' }
const FENCED = { FAIRGRAB_DURABILITY: 'fenced', FAIRGRAB_REPLICAS: '1' }
const REPLICATED = { FAIRGRAB_DURABILITY: 'replicated', FAIRGRAB_REPLICAS: '1' }

async function copy(): Promise<Copy> {
  const started = await startCopy()
  onTestFinished(() => started[Symbol.asyncDispose]())
  return started
}

async function proxyOf({ port }: Copy): Promise<TcpProxy> {
  const proxy = await TcpProxy.open({ port })
  onTestFinished(() => proxy.close())
  return proxy
}

/** Resolves when a node may grant. */
const ready = (api: Api): Promise<void> => untilHolds(async () => (await api.get('/readyz')).status === 200)

const clients = async ({ admin }: Copy): Promise<string | undefined> =>
  /connected_clients:(\d+)/.exec(await admin.info('clients'))?.[1]

/** Resolves when a node shows what fits of a round; fails when it shows anything else for too long. A refusal shows nothing. */
async function shows(api: Api, { id }: Round, fits: (shown: Round) => boolean): Promise<Round> {
  using stalls = new Stalls()
  const from = performance.now()
  let shown: Round | undefined
  await untilHolds(async () => {
    const { status, body } = await api.get<Round>(`/v1/rounds/${id}`)
    if (status === 200 && fits(body)) shown = body
    else if (status === 200) expect(stalls.since(from)).toBeLessThan(SHOWN_WITHIN_MS)
    return shown !== undefined
  })
  return shown as unknown as Round
}

/** Resolves when a node shows a round no more. */
async function isGone(api: Api, { id }: Round): Promise<void> {
  using stalls = new Stalls()
  const from = performance.now()
  await untilHolds(async () => {
    const { status } = await api.get(`/v1/rounds/${id}`)
    if (status === 200) expect(stalls.since(from)).toBeLessThan(SHOWN_WITHIN_MS)
    return status === 404
  })
}

const otherThan =
  (...epochs: readonly string[]) =>
  ({ stock }: Round): boolean =>
    !epochs.includes(stock.epoch)

interface Started {
  readonly url: string
  readonly stop: () => Promise<unknown>
}

/** An engine that serves: a worker of this process, and at the level fenced, where one dies with its journal, a node. */
async function startEngine(level: Readonly<Record<string, string>>, url: string): Promise<Started> {
  if (level !== FENCED) {
    const worker = await startTestWorker(url, { LOG_LEVEL: 'silent', ...level })
    onTestFinished(() => worker.stop())
    return worker
  }
  const node = await launchNode({ REDIS_URL: url, LOG_LEVEL: 'error', ...level })
  onTestFinished(async () => void (await node.stop()))
  await node.serves()
  return { url: node.url, stop: () => node.killAll() }
}

/** A primary and a replica that `lose` cuts off, and engines in front of them. */
async function startRoom(level: Readonly<Record<string, string>>, nodes = 1) {
  const [primary, replica] = [await copy(), await copy()]
  const stream = await proxyOf(primary)
  const name = await proxyOf(primary)
  await follow(replica, primary, Number(new URL(stream.url).port))
  const stops: (() => Promise<unknown>)[] = []
  const launch = async () => {
    const { url, stop } = await startEngine(level, name.url)
    stops.push(stop)
    const api = new Api(url, KEYS.operator)
    await ready(api)
    return api
  }
  const apis = [await launch()]
  for (let i = 1; i < nodes; i++) apis.push(await launch())
  return {
    api: apis[0] as Api,
    apis,
    primary,
    stops,
    /** From now on the replica gets nothing more; what was asked before it has. */
    lose: async () => {
      await synced(primary)
      stream.way = 'black hole'
    },
    /** The replica, which lacks that, takes the primary's place and name. */
    failOver: async (awaited = apis) => {
      await primary.redis.kill()
      await replica.admin.replicaof('NO', 'ONE')
      if (level !== ALWAYS) await follow(await copy(), replica)
      const before = await clients(replica)
      name.upstream = { port: replica.port }
      await untilHolds(async () => (await clients(replica)) !== before)
      await Promise.all(awaited.map(ready))
    },
    /** The replica is promoted beside a primary that lives on, and new connections lead to it. */
    split: async () => {
      await replica.admin.replicaof('NO', 'ONE')
      name.upstream = { port: replica.port }
    },
    /** The name of Redis leads to another one from now on. */
    lead: async (to: Copy) => {
      await replica.redis.kill()
      name.upstream = { port: to.port }
      await Promise.all(apis.map(ready))
    },
    /** One more replica of the primary, over the same stream. */
    addReplica: async () => {
      const more = await copy()
      await follow(more, primary, Number(new URL(stream.url).port))
      await synced(primary, 2)
      return more
    },
    /** Ends one of the nodes' connections to Redis. */
    cutOne: () => name.cutAfter('reply', 1),
    has: (key: string) => replica.admin.hgetall(key),
  }
}

/** Starts a copy on its own log, alone, and has a node of its own look at it once; resolves with the rounds seen there. */
async function startAlone(copy: Copy): Promise<readonly Round[]> {
  // A copy writes its log anew behind a full synchronisation; until that is done it has none to start on.
  await untilHolds(async () => !/aof_rewrite_(in_progress|scheduled):1/.test(await copy.admin.info('persistence')))
  await copy.redis.kill()
  await copy.redis.restart()
  const { url } = await startEngine(ALWAYS, copy.redis.url)
  const { body } = await new Api(url, KEYS.operator).get<{ readonly data: readonly Round[] }>('/v1/rounds')
  return body.data
}

const claim = (api: Api, { id }: Round, user_id: string) =>
  api.post<Granted & Fields>(`/v1/rounds/${id}/claims`, { user_id })
const codeOf = ({ body }: { readonly body: Granted }): string => body.vouchers[0]?.code as string

for (const level of [REPLICATED, ALWAYS])
  test(
    `${level.FAIRGRAB_DURABILITY}: what a fail-over lost is shown by no node a second later: list, GET and stream have one new epoch`,
    async () => {
      const { apis, api, lose, failOver, has } = await startRoom(level, 2)
      const rounds = await Promise.all(['pause', 'close', 'stock'].map(() => makeRound(api)))
      for (const round of rounds) expect((await claim(api, round, 'first')).status).toBe(201)
      const viewers = apis.map(({ url }) => new StreamClient(url))
      for (const viewer of viewers) {
        onTestFinished(() => viewer.socket.terminate())
        await viewer.next('welcome')
        await viewer.ask({ op: 'subscribe', id: 1, topics: rounds.map(({ id }) => `stock:${id}`) })
      }
      const [paused, closed, emptied] = rounds as [Round, Round, Round]
      const lost = viewers.flatMap(viewer => [
        viewer.next(frame => frame.round_id === paused.id && frame.state === 'paused'),
        viewer.next(frame => frame.round_id === closed.id && frame.state === 'closed'),
        // Where its money cannot be noted on the replica, stock is not changed at all.
        ...(level === ALWAYS ? [viewer.next(frame => frame.round_id === emptied.id && frame.total === 1)] : []),
      ])
      await lose()
      const told = await Promise.all([
        api.post(`/v1/rounds/${paused.id}/pause`),
        api.post(`/v1/rounds/${closed.id}/close`),
        api.post(`/v1/rounds/${emptied.id}/stock`, { add: -9 }),
      ])
      expect(told.map(({ status }) => status)).toEqual(told.map(() => (level === ALWAYS ? 200 : 504)))
      await Promise.all(lost)
      const news = viewers.flatMap(viewer =>
        rounds.map(({ id, stock }) =>
          viewer.next(frame => frame.op === 'stock' && frame.round_id === id && frame.epoch !== stock.epoch),
        ),
      )
      await failOver()
      const from = performance.now()
      const late = new Promise<never>((_, reject) =>
        setTimeout(() => reject(new Error('the lost history is still shown')), SHOWN_WITHIN_MS),
      )
      const frames = await Promise.race([Promise.all(news), late])
      const shownMs = Math.round(performance.now() - from)
      expect(shownMs).toBeLessThan(SHOWN_WITHIN_MS)
      for (const { id, stock } of rounds) {
        const { epoch, version } = await has(roundState(id))
        expect(epoch).not.toBe(stock.epoch)
        const now = { state: 'open', stock: { total: 10, granted: 1, remaining: 9, epoch, version: Number(version) } }
        for (const { url } of apis) {
          const anybody = new Api(url)
          expect((await anybody.get(`/v1/rounds/${id}`)).body).toMatchObject({ id, ...now })
          const { body } = await anybody.get<{ readonly data: readonly Round[] }>('/v1/rounds')
          expect(body.data.find(round => round.id === id)).toMatchObject(now)
        }
        const shown = frames.filter(({ round_id }) => round_id === id)
        expect(shown).toMatchObject(apis.map(() => ({ state: now.state, ...now.stock })))
      }
      expect((await claim(api, paused, 'second')).body).toMatchObject({ outcome: 'granted', claim: { sequence: 2 } })
      tell({ slowestShownMs: shownMs })
    },
    PATIENCE_MS,
  )

test(
  'a kill and a restart on the same log is the same history: the epoch stays, and no version goes back',
  async () => {
    const { api, primary } = await startRoom(ALWAYS)
    const round = await makeRound(api)
    for (let i = 0; i < 3; i++) {
      expect((await claim(api, round, `u${i}`)).status).toBe(201)
      const before = (await api.get<Round>(`/v1/rounds/${round.id}`)).body.stock
      await primary.redis.kill()
      await primary.redis.restart()
      await ready(api)
      expect((await api.get<Round>(`/v1/rounds/${round.id}`)).body.stock).toEqual(before)
    }
    expect((await claim(api, round, 'last')).body).toMatchObject({ claim: { sequence: 4 } })
    expect((await api.get<Round>(`/v1/rounds/${round.id}`)).body.stock.epoch).toBe(round.stock.epoch)
  },
  PATIENCE_MS,
)

test(
  'a sequence that is granted again is its new holder’s, whatever page of the lost log a node had read',
  async () => {
    const { api, lose, failOver } = await startRoom(ALWAYS)
    const round = await makeRound(api)
    await claim(api, round, 'first')
    await lose()
    const gone = await claim(api, round, 'xavier')
    expect((await api.get(`/v1/vouchers/${codeOf(gone)}`)).body).toMatchObject({ user_id: 'xavier' })
    await failOver()
    const given = await claim(api, round, 'yvonne')
    expect(given.body).toMatchObject({ outcome: 'granted', claim: { sequence: 2 } })
    expect((await claim(api, round, 'yvonne')).body.claim).toEqual(given.body.claim)
    expect((await claim(api, round, 'xavier')).body).toMatchObject({ outcome: 'granted', claim: { sequence: 3 } })
    expect((await api.get(`/v1/vouchers/${codeOf(given)}`)).body).toMatchObject({ user_id: 'yvonne' })
    const order = { id: 'o1', amount: 5000, currency: 'CNY' }
    const redeem = (user_id: string) => {
      const body = { code: codeOf(given), order, merchant_id: 'm1', user_id }
      return api.post('/v1/redemptions', body, { 'idempotency-key': `key-${user_id}` })
    }
    expectProblem(await redeem('xavier'), 'not_eligible')
    expect((await redeem('yvonne')).status).toBe(201)
  },
  PATIENCE_MS,
)

test(
  'a round and a campaign that were lost are gone, and the round’s number is another’s',
  async () => {
    const { api, lose, failOver } = await startRoom(ALWAYS)
    const kept = await makeRound(api)
    await lose()
    const gone = await makeRound(api)
    const code = codeOf(await claim(api, gone, 'xavier'))
    expect((await api.get(`/v1/vouchers/${code}`)).status).toBe(200)
    await failOver()
    await isGone(api, gone)
    expectProblem(await api.get(`/v1/vouchers/${code}`), 'not_found')
    expectProblem(await claim(api, gone, 'xavier'), 'not_found')
    expectProblem(await api.post(`/v1/campaigns/${gone.campaign_id}/rounds`, { stock: 1 }), 'not_found')
    const open = { stock: 5, opens_at: '2020-01-01T00:00:00.000Z' }
    const next = (await api.post<Round>(`/v1/campaigns/${kept.campaign_id}/rounds`, open)).body
    const given = await claim(api, next, 'yvonne')
    expect(codeOf(given).slice(0, 4)).toBe(code.slice(0, 4))
    expect((await api.get(`/v1/vouchers/${codeOf(given)}`)).body).toMatchObject({ user_id: 'yvonne' })
  },
  PATIENCE_MS,
)

test(
  'who entered a draw in the lost history alone enters again',
  async () => {
    const { api, lose, failOver, has } = await startRoom(ALWAYS)
    const draws_at = new Date(Date.now() + 3_600_000).toISOString()
    const round = await makeRound(api, { allocation: { mode: 'lottery', draws_at } })
    const enter = async (user: string) =>
      expect((await claim(api, round, user)).body).toMatchObject({ outcome: 'entered' })
    await enter('first')
    await lose()
    await enter('second')
    await enter('third')
    await failOver()
    await shows(api, round, otherThan(round.stock.epoch))
    for (const user of ['third', 'second', 'first']) await enter(user)
    expect(await has(roundDraw(round.id))).toMatchObject({ entries: '3' })
  },
  PATIENCE_MS,
)

test(
  'fenced: while another engine is silent a lost pause is gone within a second, too',
  async () => {
    const { apis, api, stops, lose, failOver } = await startRoom(FENCED, 2)
    const round = await makeRound(api)
    for (const [i, each] of apis.entries()) expect((await claim(each, round, `u${i}`)).status).toBe(201)
    await lose()
    expect((await api.post(`/v1/rounds/${round.id}/pause`)).status).toBe(504)
    await stops[1]?.()
    await failOver([])
    expect((await shows(api, round, otherThan(round.stock.epoch))).state).not.toBe('paused')
  },
  PATIENCE_MS,
)

test(
  'an epoch that comes back with less than a node showed of it is another one, whoever saw the server first',
  async () => {
    const { api, lose, failOver, lead, addReplica } = await startRoom(ALWAYS)
    const round = await makeRound(api)
    const second = await addReplica()
    await lose()
    const paused = await api.post<Round>(`/v1/rounds/${round.id}/pause`)
    expect(paused.body.stock.epoch).toBe(round.stock.epoch)
    await failOver()
    const { epoch: between } = (await shows(api, round, otherThan(round.stock.epoch))).stock
    const seen = await startAlone(second)
    expect(seen).toMatchObject([{ state: 'open', stock: { epoch: round.stock.epoch } }])
    expect(seen[0]?.stock.version).toBeLessThan(paused.body.stock.version)
    await lead(second)
    const last = await shows(api, round, otherThan(between))
    expect(last).toMatchObject({ state: 'open' })
    expect(last.stock.epoch).not.toBe(round.stock.epoch)
  },
  PATIENCE_MS,
)

test(
  'beside a primary that lives on, the first connection to its successor takes all others with it',
  async () => {
    const { api, lose, split, cutOne, has, primary } = await startRoom(ALWAYS)
    const round = await makeRound(api)
    await claim(api, round, 'first')
    await lose()
    expect((await api.post(`/v1/rounds/${round.id}/pause`)).status).toBe(200)
    await split()
    await cutOne()
    const shown = async () => (await api.get<Round>(`/v1/rounds/${round.id}`)).body
    await shows(api, round, ({ state }) => state === 'open')
    expect((await claim(api, round, 'second')).body).toMatchObject({ outcome: 'granted', claim: { sequence: 2 } })
    expect((await shown()).stock).toMatchObject({ granted: 2, epoch: (await has(roundState(round.id))).epoch })
    expect(await primary.admin.hgetall(roundState(round.id))).toMatchObject({
      state: '3',
      epoch: round.stock.epoch,
    })
  },
  PATIENCE_MS,
)

test(
  'a level that waits for no replica warns where there is one, at the level replicated nothing does',
  async () => {
    const warned = async (level: typeof ALWAYS) => {
      const { api } = await startRoom(level)
      const { body } = await api.get<{ readonly warnings: readonly Fields[] }>('/readyz?verbose')
      return body.warnings.filter(({ what }) => /redeemed twice/.test(String(what)))
    }
    const mend = expect.stringMatching(/replicated or fenced and FAIRGRAB_REPLICAS to 1\b/)
    expect(await warned(ALWAYS)).toEqual([{ what: expect.stringContaining('none of 1 connected replicas'), mend }])
    expect(await warned(REPLICATED)).toEqual([])
  },
  PATIENCE_MS,
)
