/**
 * Two nodes on one Redis, one release, in the long form 200,000 claims of 120,000 users for a stock of 50,000.
 *
 * Each node is `fairgrab up` in processes of its own and has 64 connections, one claim outstanding on each. A third of
 * the claims are repeats: half of them are sent to the other node at the same moment as the first, the rest at any
 * time. The seed decides who, where and when. The answers are checked twice: here with plain loops that a reader can
 * follow, and by the audit that every bench run has to pass, against the ledger that the engine exports.
 *
 * Rejected: fetch or the bench's generator processes. The one costs more than the engine, the others plan a release
 * over time, and this test wants both nodes as busy as they can be.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Frames } from '../../bench/audit/frames.ts'
import { GRANT, History, MEANINGS, NO_ANSWER } from '../../bench/audit/history.ts'
import { readLedger } from '../../bench/audit/ledger.ts'
import { auditRun, printVerdict } from '../../bench/audit/verdict.ts'
import { HttpConnection } from '../../bench/load/http-connection.ts'
import { claimRequest, outcomeOf, sequenceOf, vouchersOf } from '../../bench/load/http-generator.ts'
import { monotonicUs } from '../../bench/load/recorder.ts'
import { benchUsers, writeDigits } from '../../bench/load/user-id.ts'
import { Operator, type RoundState } from '../../bench/stage/operator.ts'
import { CODES } from '../../engine/base/codes.ts'
import { effort } from '../support/effort.ts'
import { KEYS, startNode, type TestNode } from '../support/engine.ts'
import { type RedisServer, startOwnRedis } from '../support/redis.ts'
import { below, random } from '../support/seed.ts'

const USERS = effort(12_000, 120_000)
const CLAIMS = effort(20_000, 200_000)
const STOCK = effort(5000, 50_000)
const LANES = 64
const NODES = 2
const FINAL = new Set<number>([CODES.granted.number, CODES.replayed.number, CODES.sold_out.number])
/** What an honest engine may say while the disk under Redis is busy; none of it settles a claim. */
const SHED = ['overloaded', 'unavailable', 'unknown', 'fenced'] as const

let redis: RedisServer
let nodes: readonly TestNode[] = []
beforeAll(async () => {
  redis = await startOwnRedis({ appendfsync: 'always' })
  const settings = { REDIS_URL: redis.url, LOG_LEVEL: 'warn' }
  nodes = await Promise.all(Array.from({ length: NODES }, () => startNode(settings)))
})
afterAll(async () => {
  await Promise.all(nodes.map(node => node.stop()))
  await redis.stop()
})

/** The users that each node is asked for, in order. */
function planClaims(): readonly number[][] {
  const next = random(7)
  const claims: { at: number; node: number; user: number }[] = []
  for (let user = 0; user < USERS; user++) claims.push({ at: next() * USERS, node: below(next, NODES), user })
  for (let i = 0; i < CLAIMS - USERS; i++) {
    const first = claims[below(next, USERS)] as (typeof claims)[number]
    const together = i % 2 === 0
    claims.push({
      at: together ? first.at : next() * USERS,
      node: together ? 1 - first.node : below(next, NODES),
      user: first.user,
    })
  }
  claims.sort((a, b) => a.at - b.at)
  return Array.from({ length: NODES }, (_, node) => claims.filter(claim => claim.node === node).map(({ user }) => user))
}

interface Told {
  readonly history: History
  /** Answers that settle nothing: after them the same user is asked for again, as a client would. */
  faults: number
  /** Milliseconds since 1970, by this machine's clock, of the first `sold_out`. */
  firstSoldOut: number
}

/** Plays one node's claims over its connections; resolves when all are answered. */
async function play(url: string, roundId: string, plan: readonly number[], told: Told): Promise<void> {
  const users = [...plan]
  const askAgain = (user: number) => users.push(user)
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let taken = 0
  let answered = 0
  const lanes = Array.from({ length: LANES }, (_, lane) => {
    const request = claimRequest({ url, roundId, key: KEYS.platform })
    let user = -1
    let sent = 0
    const send = (): void => {
      if (taken === users.length) return
      user = users[taken++] as number
      writeDigits(request.bytes, request.digitsAt, user)
      sent = monotonicUs()
      connection.send(request.bytes)
    }
    const settle = (outcome: number, sequence: number, vouchers: number): void => {
      const now = outcome === NO_ANSWER ? Number.POSITIVE_INFINITY : monotonicUs()
      if (!FINAL.has(outcome)) told.faults++
      told.history.push({ sent, answered: now, user, sequence, vouchers, connection: lane, slot: 1, pool: 0, outcome })
      if (++answered === users.length) resolve()
    }
    const connection: HttpConnection = new HttpConnection(url, {
      answered: (status, body) => {
        const outcome = outcomeOf(status, body)
        if (outcome === CODES.sold_out.number) told.firstSoldOut = Math.min(told.firstSoldOut, Date.now())
        const holds = MEANINGS[outcome] === GRANT
        settle(outcome, holds ? sequenceOf(body) : 0, holds ? vouchersOf(body) : 0)
        if (!FINAL.has(outcome)) askAgain(user)
        send()
      },
      broken: () => reject(new Error(`${url} closed a connection in the middle of the run`)),
      reopened: send,
    })
    return { connection, send }
  })
  try {
    await Promise.all(lanes.map(({ connection }) => connection.open()))
    for (const { send } of lanes) send()
    await promise
  } finally {
    for (const { connection } of lanes) connection.close()
  }
}

/** Each user's answers against each other, and all grants against 1..stock; returns how many answers repeated one. */
function expectOneStory({ at, length }: History): number {
  const held = new Uint32Array(USERS)
  const vouchers = new Uint32Array(USERS)
  const holder = new Int32Array(STOCK + 1).fill(-1)
  const counts = { granted: 0, repeated: 0, contradicting: 0 }
  for (let i = 0; i < length; i++) {
    if (MEANINGS[at.outcome[i] as number] !== GRANT) continue
    const [user, sequence] = [at.user[i] as number, at.sequence[i] as number]
    if (at.outcome[i] === CODES.granted.number) counts.granted++
    if (held[user] === 0) {
      held[user] = sequence
      vouchers[user] = at.vouchers[i] as number
    } else {
      counts.repeated++
      if (held[user] !== sequence || vouchers[user] !== at.vouchers[i]) counts.contradicting++
    }
    if (holder[sequence] === -1) holder[sequence] = user
    else if (holder[sequence] !== user) counts.contradicting++
  }
  expect(counts.contradicting).toBe(0)
  expect(counts.granted).toBeLessThanOrEqual(STOCK)
  expect(holder.indexOf(-1, 1)).toBe(-1)
  expect(held.filter(sequence => sequence > 0)).toHaveLength(STOCK)
  return counts.repeated
}

async function expectSound(round: RoundState, history: History): Promise<number> {
  const operator = new Operator((nodes[0] as TestNode).url, KEYS.operator)
  const users = benchUsers(USERS)
  const pools = round.pools.map(pool => pool.name)
  const ledger = await readLedger(operator.grants(round.id), { users, pools, capacity: STOCK + 1 })
  const verdict = auditRun({
    ...{ history, users, ledger, round, ordered: [STOCK], perUser: 1, mode: 'fcfs' as const },
    ...{ expected: new Set(['sold_out', ...SHED] as const), changes: [], frames: new Frames(), setAside: [] },
  })
  expect(printVerdict(verdict).filter(line => line.startsWith('✗'))).toEqual([])
  expect([verdict.ok, verdict.claims, verdict.grants]).toEqual([true, history.length, STOCK])
  // Nobody watches, the round was open from the start, and no holder was ever refused.
  const idle = verdict.checks.filter(check => check.checked === 0).map(({ id }) => id)
  expect(idle.filter(id => !/^I6|^I8-open$|^I2-limit$|^I10-holder$/.test(id))).toEqual([])
  return ledger.at.grantedAt[ledger.length - 1] as number
}

test(`${CLAIMS} claims on two nodes: ${STOCK} users hold 1..${STOCK}, every repeat its first answer`, async () => {
  const [a, b] = nodes as [TestNode, TestNode]
  const operator = new Operator(a.url, KEYS.operator)
  const { id } = await operator.createRound({ name: 'two nodes', stock: STOCK, opensAt: new Date(0) })
  const plans = planClaims()
  expect(plans.flat()).toHaveLength(CLAIMS)
  const told: Told = { history: new History(CLAIMS), faults: 0, firstSoldOut: Number.POSITIVE_INFINITY }
  const from = performance.now()
  await Promise.all(nodes.map((node, i) => play(node.url, id, plans[i] as number[], told)))
  const seconds = (performance.now() - from) / 1000
  const repeated = expectOneStory(told.history)
  expect(told.history.length - told.faults).toBe(CLAIMS)
  expect(repeated).toBeGreaterThan(STOCK / 10)
  const rounds = await Promise.all([a, b].map(node => new Operator(node.url, KEYS.operator).round(id)))
  expect(rounds[1]).toEqual(rounds[0])
  expect(rounds[0]).toMatchObject({ state: 'sold_out', stock: { total: STOCK, granted: STOCK, remaining: 0 } })
  const lastGrantedAt = await expectSound(rounds[0] as RoundState, told.history)
  expect(told.firstSoldOut).toBeGreaterThanOrEqual(lastGrantedAt)
  console.log(
    `two nodes: ${CLAIMS} claims in ${seconds.toFixed(1)} s, ${repeated} of them repeats of a grant, ${told.faults} asked again`,
  )
}, 600_000)
