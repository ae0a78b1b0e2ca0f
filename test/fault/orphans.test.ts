/**
 * kill -9 of a supervisor whose workers are under load: they stop granting and redeeming at once, and end.
 *
 * Who launches a node again finds its port and its journal in the hands of what is left of the old one, and an operator who killed
 * a node believes that it is dead. So what is asked after the death is refused or not answered: what was under way may
 * still be answered. Clients are many connections that ask without a pause, on claims and on redemptions, and each answer is
 * held to the moment when its request was sent. No witness: the node is dead at the end, and nobody is there to be asked. Rejected: looking at the processes alone; it is what they write that matters.
 */
import { Agent, request } from 'node:http'
import { expect, test } from 'vitest'
import { treeOf } from '../../bench/measure/process-cost.ts'
import { Api, type Granted, makeRound } from '../support/api.ts'
import { PATIENCE_MS } from '../support/effort.ts'
import { KEYS } from '../support/engine.ts'
import { tell } from '../support/figures.ts'
import { readMetrics, sumOf } from '../support/metrics.ts'
import { type NodeProcess, startNodeProcess } from '../support/node-process.ts'
import { isRunning } from '../support/process-files.ts'
import { startLocalRedis } from '../support/redis.ts'

/** A worker hears of the death with its next look at its channels: as late as the machine lets it run. */
const AT_ONCE_MS = 100
/** Less than a claim waits for its answer, which is what ends a drain whose Redis is silent. */
const ENDS_MS = 1500
const LANES = 48

interface Answered {
  readonly sentAt: number
  readonly status: number
}

/** Connections that stay, as those of a balancer do: they are what goes on asking a worker that no longer listens. */
const agent = new Agent({ keepAlive: true, maxSockets: LANES })

/** Status 0 when nobody answered. */
function ask(url: string, path: string, body: object, key: string): Promise<number> {
  return new Promise(done => {
    const headers = { authorization: `Bearer ${KEYS.operator}`, 'idempotency-key': key }
    const sent = request(`${url}${path}`, { method: 'POST', headers, agent }, answer => {
      answer.resume()
      answer.once('close', () => done(answer.statusCode ?? 0))
    })
    sent.once('error', () => done(0))
    sent.end(JSON.stringify(body))
  })
}

const metricsOf = async ({ url }: NodeProcess): Promise<string> =>
  String((await new Api(url, KEYS.operator).get('/metrics')).body)

const workersOf = ({ pid }: NodeProcess): readonly number[] =>
  treeOf(pid).flatMap(use => (use.name.startsWith('worker') ? [use.pid] : []))

test(
  'a worker whose supervisor was killed waits for no answer of a Redis that is silent',
  async () => {
    await using redis = await startLocalRedis({ appendfsync: 'no' })
    const settings = { REDIS_URL: redis.url, FAIRGRAB_DURABILITY: 'memory' }
    await using node = await startNodeProcess(settings)
    const round = await makeRound(new Api(node.url, KEYS.operator), { stock: 10 })
    const path = `/v1/rounds/${round.id}/claims`
    expect(await ask(node.url, path, { user_id: 'u0' }, '')).toBe(201)
    const workers = workersOf(node)
    await redis.kill('SIGSTOP')
    let over = false
    const told: number[] = []
    const lane = async (user: number) => {
      while (!over) told.push(await ask(node.url, path, { user_id: `u${user + 1}` }, ''))
    }
    const lanes = Array.from({ length: 8 }, (_, i) => lane(i))
    const taken = async () => sumOf(readMetrics(await metricsOf(node)), 'fairgrab_claims_unanswered')
    await expect.poll(taken, { timeout: 30_000, interval: 5 }).toBeGreaterThan(0)
    await node.killSupervisor()
    const killedAt = performance.now()
    await expect.poll(() => workers.filter(isRunning), { timeout: 30_000, interval: 5 }).toEqual([])
    expect(performance.now() - killedAt).toBeLessThan(ENDS_MS)
    over = true
    await Promise.all(lanes)
    expect(told).not.toContain(201)
  },
  PATIENCE_MS,
)

test(
  'workers whose supervisor was killed grant and redeem nothing that is asked afterwards, and end at once',
  async () => {
    await using redis = await startLocalRedis({ appendfsync: 'no' })
    await using node = await startNodeProcess({
      REDIS_URL: redis.url,
      FAIRGRAB_WORKERS: '2',
      FAIRGRAB_DURABILITY: 'memory',
    })
    const api = new Api(node.url, KEYS.operator)
    const round = await makeRound(api, { stock: 100_000 })
    const claimsBody = { claims: Array.from({ length: 4000 }, (_, i) => ({ user_id: `holder-${i}` })) }
    const path = `/v1/rounds/${round.id}/claims/batch?vouchers=true`
    const { body } = await api.post<{ results: Granted[] }>(path, claimsBody)
    const codes = body.results.flatMap(({ vouchers }) => vouchers.map(({ code }) => code))
    const workers = workersOf(node)
    expect(workers).toHaveLength(2)
    const [claims, redemptions]: [Answered[], Answered[]] = [[], []]
    let asked = 0
    let over = false
    const lane = async (lane: number) => {
      while (!over) {
        const [n, sentAt] = [asked++, performance.now()]
        const code = lane % 2 === 0 ? undefined : codes.pop()
        const order = { id: `o${n}`, amount: 5000, currency: 'CNY' }
        const status = code
          ? await ask(node.url, '/v1/redemptions', { code, order, merchant_id: 'm' }, `k${n}`)
          : await ask(node.url, `/v1/rounds/${round.id}/claims`, { user_id: `u${n}` }, '')
        ;(code ? redemptions : claims).push({ sentAt, status })
      }
    }
    const lanes = Array.from({ length: LANES }, (_, i) => lane(i))
    await expect.poll(() => claims.length > 300 && redemptions.length > 100, { timeout: 30_000 }).toBe(true)
    // When its end is known here its channels are closed.
    await node.killSupervisor()
    const killedAt = performance.now()
    await expect.poll(() => workers.filter(isRunning), { timeout: 30_000, interval: 5 }).toEqual([])
    const endedMs = performance.now() - killedAt
    over = true
    await Promise.all(lanes)
    const late = (answers: readonly Answered[]) =>
      answers.filter(({ sentAt, status }) => status === 201 && sentAt > killedAt + AT_ONCE_MS).length
    const afterDeath = (answers: readonly Answered[]) =>
      answers.filter(({ sentAt, status }) => status === 201 && sentAt > killedAt).length
    tell({ endedMs: Math.round(endedMs), claimsAfter: afterDeath(claims), redemptionsAfter: afterDeath(redemptions) })
    expect([late(claims), late(redemptions)]).toEqual([0, 0])
    expect(endedMs).toBeLessThan(ENDS_MS)
  },
  PATIENCE_MS,
)
