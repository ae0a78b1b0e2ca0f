/**
 * kill -9 of a supervisor whose workers are under load: they stop granting and redeeming at once, and end.
 *
 * Who launches a node again finds its port and its journal in the hands of what is left of the old one, and an operator who killed
 * a node believes that it is dead. So what is asked after the death is refused or not answered: what was under way may
 * still be answered. Clients are many connections that ask without a pause, on claims and on redemptions, and each answer is
 * held to the moment when its request was sent. Rejected: looking at the processes alone; it is what they write that matters.
 */
import { existsSync, readFileSync } from 'node:fs'
import { request } from 'node:http'
import { expect, test } from 'vitest'
import { treeOf } from '../../bench/measure/process-cost.ts'
import { Api, type Granted, makeRound } from '../support/api.ts'
import { PATIENCE_MS } from '../support/effort.ts'
import { KEYS } from '../support/engine.ts'
import { tell } from '../support/figures.ts'
import { startNodeProcess } from '../support/node-process.ts'
import { startLocalRedis } from '../support/redis.ts'

/** What is sent within this after the kill may have been sent before the workers could know: the machine is shared. */
const AT_ONCE_MS = 250
const ENDS_MS = 1000
const LANES = 48

interface Answered {
  readonly sentAt: number
  readonly status: number
}

/** One request on a new connection, as those of a balancer come; status 0 when nobody answered. */
function ask(url: string, path: string, body: object, key: string): Promise<number> {
  return new Promise(done => {
    const headers = { authorization: `Bearer ${KEYS.operator}`, 'idempotency-key': key }
    const sent = request(`${url}${path}`, { method: 'POST', headers, agent: false }, answer => {
      answer.resume()
      answer.once('close', () => done(answer.statusCode ?? 0))
    })
    sent.once('error', () => done(0))
    sent.end(JSON.stringify(body))
  })
}

/** Alive and not only unburied: its parent is dead, and whoever inherits it may take a moment. */
function runs(pid: number): boolean {
  if (!existsSync(`/proc/${pid}/stat`)) return false
  return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
}

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
    const granted = await Promise.all(
      Array.from({ length: 400 }, (_, i) =>
        api.post<Granted>(`/v1/rounds/${round.id}/claims`, { user_id: `holder-${i}` }),
      ),
    )
    const codes = granted.flatMap(({ body }) => body.vouchers.map(({ code }) => code))
    const workers = treeOf(node.pid).flatMap(use => (use.name.startsWith('worker') ? [use.pid] : []))
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
    const killedAt = performance.now()
    await node.killSupervisor()
    await expect.poll(() => workers.filter(runs), { timeout: 30_000, interval: 5 }).toEqual([])
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
