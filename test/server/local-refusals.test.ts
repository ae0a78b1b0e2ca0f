/**
 * A node refuses without asking Redis, and that refusal is never false: two nodes, one turns the round, the other is
 * asked.
 *
 * Each turn is made as unkind as it can be. Node B has just been told by Redis that nothing can be granted, in the
 * same moment node A is asked to open, resume or restock, and B keeps being asked until A's answer is there. From that
 * answer on, a claim on B has to be granted; the claim is sent in the callback of the answer. Once the stock events
 * flow as always, once Redis refuses B and A their subscription, so that only the lease is left to be right.
 *
 * Opening and closing by the clock are held against `granted_at`, which is Redis's clock and here this machine's.
 */
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { LEASE_MS } from '../../engine/base/limits.ts'
import { Api, makeRound, type Round } from '../support/api.ts'
import { effort } from '../support/effort.ts'
import { KEYS, startNode, type TestNode } from '../support/engine.ts'
import { RawConnection } from '../support/raw-http.ts'
import { type RedisServer, rawRedis, startOwnRedis } from '../support/redis.ts'
import { Stalls } from '../support/stalls.ts'

const ROUNDS = effort(8, 200)
const TURNS = effort(2, 30)
const LOADED = 8
/** Between an answer and the next claim of who asks on and on; the claim behind an operator's answer waits for nothing. */
const REST_MS = effort(5, 0)

let redis: RedisServer
let nodes: readonly [TestNode, TestNode]
let operator: Api
beforeAll(async () => {
  // What survives a crash is not the question here, and a busy disk must not decide how long a turn takes.
  redis = await startOwnRedis({ appendfsync: 'everysec' })
  const settings = { REDIS_URL: redis.url, FAIRGRAB_DURABILITY: 'everysec', LOG_LEVEL: 'fatal' }
  nodes = await Promise.all([startNode(settings), startNode(settings)])
  operator = new Api(nodes[0].url, KEYS.operator)
})
afterAll(async () => {
  await Promise.all(nodes.map(node => node.stop()))
  await redis.stop()
})

let people = 0

interface Told {
  readonly user: string
  readonly code: string
  readonly grantedAt: number
  /** Milliseconds since 1970. */
  readonly sent: number
  readonly answered: number
  /** The same moment by performance.now(). */
  readonly heard: number
}

/** One connection to a node that claims for a new user each time. */
class Claimant {
  readonly #connection: RawConnection
  readonly #roundId: string

  constructor(node: TestNode, roundId: string) {
    this.#connection = new RawConnection(node.url)
    this.#roundId = roundId
  }

  async claim(user = `p${++people}`): Promise<Told> {
    const body = `{"user_id":"${user}"}`
    const head = `POST /v1/rounds/${this.#roundId}/claims HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${KEYS.platform}\r\n`
    const sent = Date.now()
    const { body: answer } = await this.#connection.ask(`${head}Content-Length: ${body.length}\r\n\r\n${body}`)
    const { outcome, claim } = JSON.parse(answer) as { outcome: string; claim?: { granted_at: string } }
    return {
      user,
      code: outcome,
      grantedAt: claim ? Date.parse(claim.granted_at) : 0,
      sent,
      answered: Date.now(),
      heard: performance.now(),
    }
  }

  /** Claims until `over` says so; returns everything that was told. */
  async claimUntil(over: (told: Told) => boolean, restMs = 0): Promise<readonly Told[]> {
    const all = [await this.claim()]
    while (!over(all.at(-1) as Told)) {
      if (restMs > 0) await new Promise(resume => setTimeout(resume, restMs))
      all.push(await this.claim())
    }
    return all
  }

  close(): void {
    this.#connection.close()
  }
}

const turn = async (round: Round, verb: string, body?: object): Promise<void> => {
  const reply = await operator.post(`/v1/rounds/${round.id}/${verb}`, body)
  expect([verb, reply.status]).toEqual([verb, 200])
}

interface Way {
  readonly refusal: string
  /** Makes node A stop granting, if the round does not start that way. */
  readonly shut: (round: Round) => Promise<void>
  readonly turn: (round: Round) => Promise<void>
}

/** Takes back what is left, so that the round is sold out whatever was granted. */
async function sellOut(round: Round): Promise<void> {
  const { body } = await operator.get<Round>(`/v1/rounds/${round.id}`)
  if (body.stock.remaining > 0) await turn(round, 'stock', { add: -body.stock.remaining })
}

const RESTOCK: Way = { refusal: 'sold_out', shut: sellOut, turn: round => turn(round, 'stock', { add: 1000 }) }
const RESUME: Way = { refusal: 'paused', shut: round => turn(round, 'pause'), turn: round => turn(round, 'resume') }
const OPEN: Way = { refusal: 'not_open', shut: async () => undefined, turn: round => turn(round, 'open') }

/** Shuts the round, lets B learn it from Redis, turns it on A while B is asked, and claims on B at A's answer. */
async function turnOnce(round: Round, way: Way): Promise<{ refused: number; after: string }> {
  const [busy, fresh] = [new Claimant(nodes[1], round.id), new Claimant(nodes[1], round.id)]
  try {
    await way.shut(round)
    await busy.claimUntil(({ code }) => code === way.refusal, REST_MS)
    let turned = false
    const asking = busy.claimUntil(({ code }) => turned || code === 'granted', REST_MS)
    const after = await way.turn(round).then(() => {
      turned = true
      return fresh.claim()
    })
    const told = await asking
    const strange = told.find(({ code }) => code !== way.refusal && code !== 'granted')
    expect(strange).toBeUndefined()
    return { refused: told.filter(({ code }) => code === way.refusal).length, after: after.code }
  } finally {
    busy.close()
    fresh.close()
  }
}

/** Turns the round while A is asked; whoever A grants is asked for on B at once. Resolves with what B says. */
async function askHolder(round: Round, way: Way): Promise<string> {
  const [a, b] = nodes.map(node => new Claimant(node, round.id)) as [Claimant, Claimant]
  try {
    await way.shut(round)
    await b.claimUntil(({ code }) => code === way.refusal, REST_MS)
    const turned = way.turn(round)
    const holder = (await a.claimUntil(({ code }) => code === 'granted', REST_MS)).at(-1) as Told
    const { code } = await b.claim(holder.user)
    await turned
    return code
  } finally {
    a.close()
    b.close()
  }
}

async function expectNeverFalse(): Promise<void> {
  const every = async (count: number, rules: object, way: Way, turns: number): Promise<number> => {
    const rounds = await Promise.all(Array.from({ length: count }, () => makeRound(operator, { stock: 5, ...rules })))
    let refused = 0
    for (let i = 0; i < turns; i++) {
      const ends = await Promise.all(rounds.map(round => turnOnce(round, way)))
      expect(ends.map(({ after }) => after)).toEqual(rounds.map(() => 'granted'))
      refused += ends.reduce((sum, end) => sum + end.refused, 0)
    }
    return refused
  }
  expect(await every(ROUNDS, {}, RESTOCK, TURNS)).toBeGreaterThan(0)
  expect(await every(ROUNDS, { stock: 5000 }, RESUME, TURNS)).toBeGreaterThan(0)
  expect(await every(ROUNDS * 2, { opens_at: null }, OPEN, 1)).toBeGreaterThan(0)
}

async function expectHoldersHeard(): Promise<void> {
  for (const [way, rules] of [
    [RESTOCK, { stock: 5 }],
    [RESUME, { stock: 5000 }],
    [OPEN, { opens_at: null }],
  ] as const) {
    const rounds = await Promise.all(Array.from({ length: ROUNDS }, () => makeRound(operator, rules)))
    const told = await Promise.all(rounds.map(round => askHolder(round, way)))
    expect([way.refusal, ...told]).toEqual([way.refusal, ...rounds.map(() => 'granted')])
  }
}

/** How often Redis was asked to decide a batch. */
async function batches(client: Redis): Promise<number> {
  const stats = await client.info('commandstats')
  return ['evalsha', 'eval'].reduce(
    (sum, name) => sum + Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(stats)?.[1] ?? 0),
    0,
  )
}

test('both nodes refuse by themselves once a round is sold out, and holders still get their claims', async () => {
  const client = rawRedis(redis.url)
  const round = await makeRound(operator, { stock: 3 })
  const claimants = nodes.map(node => new Claimant(node, round.id))
  for (const claimant of claimants) await claimant.claimUntil(({ code }) => code === 'sold_out')
  const [before, from] = [await batches(client), performance.now()]
  const asked = 200
  for (let i = 0; i < asked; i++)
    for (const claimant of claimants) expect((await claimant.claim()).code).toBe('sold_out')
  // Each node asks once a lease; the rest leaves room for what else it does on Redis meanwhile.
  const leases = (performance.now() - from) / LEASE_MS
  expect((await batches(client)) - before).toBeLessThan(nodes.length * leases + asked / 5)
  const grants = `/v1/rounds/${round.id}/claims?limit=1`
  const list = await operator.as(KEYS.viewer).get<{ data: { user_id: string; sequence: number }[] }>(grants)
  const [first] = list.body.data
  for (const node of nodes) {
    const again = await new Api(node.url, KEYS.platform).post(`/v1/rounds/${round.id}/claims`, {
      user_id: first?.user_id,
    })
    expect([again.status, again.body]).toMatchObject([200, { replayed: true, claim: { sequence: first?.sequence } }])
  }
  for (const claimant of claimants) claimant.close()
  client.disconnect()
})

test('after the answer to restock, resume or open, the other node grants', async () => {
  await expectNeverFalse()
})

/** Takes their subscriptions from both nodes while `check` runs, and looks that they stayed away. */
async function expectWithoutEvents(check: () => Promise<void>): Promise<void> {
  const client = rawRedis(redis.url)
  await client.call('ACL', 'SETUSER', 'default', '-psubscribe', '-subscribe')
  await client.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
  try {
    await check()
    expect(await client.pubsub('NUMPAT')).toBe(0)
  } finally {
    await client.call('ACL', 'SETUSER', 'default', '+psubscribe', '+subscribe')
    client.disconnect()
  }
}

test('the same when no stock event reaches anybody', async () => {
  await expectWithoutEvents(expectNeverFalse)
})

test('whoever one node granted is never refused by the other, though no stock event reaches it', async () => {
  await expectWithoutEvents(expectHoldersHeard)
})

test('a pause on one node holds on the other from its answer on, also under load', async () => {
  using stalls = new Stalls()
  const round = await makeRound(operator, { stock: 100_000 })
  const claimants = Array.from({ length: LOADED }, () => new Claimant(nodes[1], round.id))
  let pausedAt = Number.POSITIVE_INFINITY
  let left = 500
  const { promise: busy, resolve } = Promise.withResolvers<void>()
  const load = claimants.map(claimant =>
    claimant.claimUntil(({ code, sent }) => {
      if (code === 'granted' && --left === 0) resolve()
      return sent > pausedAt + 300
    }),
  )
  await busy
  await turn(round, 'pause')
  pausedAt = Date.now()
  const paused = performance.now()
  const told = (await Promise.all(load)).flat()
  expect(told.filter(({ code }) => code === 'granted').length).toBeGreaterThan(0)
  expect(told.filter(({ code, sent }) => sent > pausedAt && code !== 'paused')).toEqual([])
  const late = told.filter(
    ({ code, heard }) => code === 'granted' && heard - stalls.between(paused, heard) > paused + 1000,
  )
  expect(late).toEqual([])
  expect(Math.max(...told.map(({ grantedAt }) => grantedAt))).toBeLessThanOrEqual(pausedAt)
  for (const claimant of claimants) claimant.close()
})

/** Asks both nodes from before the opening until after the end; resolves with the codes that were told. */
async function askAroundWindow(lengthMs: number): Promise<ReadonlySet<string>> {
  const opens = Date.now() + lengthMs
  const closes = opens + lengthMs
  const rules = { stock: 100_000, opens_at: new Date(opens).toISOString(), closes_at: new Date(closes).toISOString() }
  const rounds = await Promise.all([1, 2].map(() => makeRound(operator, rules)))
  const claimants = rounds.flatMap(round => nodes.flatMap(node => [1, 2].map(() => new Claimant(node, round.id))))
  const told = (
    await Promise.all(claimants.map(claimant => claimant.claimUntil(({ sent }) => sent > closes + 200, REST_MS)))
  ).flat()
  const grants = told.filter(({ code }) => code === 'granted')
  expect(Math.min(...grants.map(({ grantedAt }) => grantedAt))).toBeGreaterThanOrEqual(opens)
  expect(Math.max(...grants.map(({ grantedAt }) => grantedAt))).toBeLessThan(closes)
  const right = ({ code, sent, answered }: Told): boolean => {
    if (code === 'not_open') return sent <= opens
    return code === 'granted' ? answered >= opens && sent <= closes : code === 'closed' && answered >= closes
  }
  expect(told.filter(each => !right(each))).toEqual([])
  const states = await Promise.all(nodes.map(node => new Api(node.url).get<Round>(`/v1/rounds/${rounds[0]?.id}`)))
  expect(states.map(({ body }) => body.state)).toEqual(['closed', 'closed'])
  for (const claimant of claimants) claimant.close()
  return new Set(told.map(({ code }) => code))
}

test('a round opens and closes by the clock of Redis, on both nodes alike', async () => {
  // All that was told has to be right each time; a machine that slept through a part is asked about a longer one.
  let told: ReadonlySet<string> = new Set()
  for (let lengthMs = 300; told.size < 3; lengthMs *= 2) told = await askAroundWindow(lengthMs)
  expect([...told].sort()).toEqual(['closed', 'granted', 'not_open'])
})
