/**
 * A pause under full load, on two nodes: nobody is granted anything a second after the operator asked for it.
 *
 * Both nodes are kept busy with frames of users that nobody asked for before, as fast as they answer, so each of them
 * is granted while the round is open. The operator asks one node. What counts is read from two sides: the moment at
 * which each grant's answer reached a client, and the time that Redis wrote beside it in the list of grants. Then the
 * load goes on for a while, and all of it has to be refused on both nodes; a resume lets the same load be granted
 * again, so it was the pause that stopped it.
 *
 * Rejected: stopping the load first. A pause that works when nobody claims is no lever.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Api, makeRound, type Round } from '../support/api.ts'
import { KEYS, startNode, type TestNode } from '../support/engine.ts'
import { type RedisServer, startOwnRedis } from '../support/redis.ts'
import { Stalls } from '../support/stalls.ts'
import { openStream } from '../support/stream-client.ts'

const STOCK = 5_000_000
const FRAME = 256
const LANES = 4
const EFFECTIVE_MS = 1000
/** Each lane is answered this often before the pause, and again after it. */
const FRAMES_BEFORE = 15
const FRAMES_AFTER = 15

let redis: RedisServer
let nodes: readonly TestNode[] = []
beforeAll(async () => {
  redis = await startOwnRedis({ appendfsync: 'always' })
  nodes = await Promise.all([0, 1].map(() => startNode({ REDIS_URL: redis.url, LOG_LEVEL: 'warn' })))
})
afterAll(async () => {
  await Promise.all(nodes.map(node => node.stop()))
  await redis?.stop()
})

interface Told {
  granted: number
  paused: number
  other: number
  /** When the last answer with a grant came, by performance.now(). */
  lastGrantAt: number
}

/** One connection that claims frame after frame until it is told to stop; `heard` is called at each answer. */
async function lane(url: string, roundId: string, name: string, heard: (told: Told) => boolean): Promise<Told> {
  const stream = await openStream(url, { credential: KEYS.platform })
  const told: Told = { granted: 0, paused: 0, other: 0, lastGrantAt: 0 }
  for (let id = 1; ; id++) {
    const user_ids = Array.from({ length: FRAME }, (_, i) => `${name}-${id}-${i}`)
    const answer = await stream.ask({ op: 'claims', id, round_id: roundId, user_ids })
    // A worker that stood still refuses a frame as a whole.
    const outcomes = (answer.outcomes ?? user_ids.map(() => answer.code)) as readonly string[]
    for (const outcome of outcomes) {
      if (outcome === 'granted') told.granted++
      else if (outcome === 'paused') told.paused++
      else told.other++
    }
    if (outcomes.includes('granted')) told.lastGrantAt = performance.now()
    if (heard(told)) break
  }
  await stream.close()
  return told
}

test('a pause is effective on two busy nodes within a second, and a resume lets both go on', async () => {
  using stalls = new Stalls()
  const api = new Api((nodes[0] as TestNode).url, KEYS.operator)
  const { id } = await makeRound(api, { stock: STOCK })
  let pausedAt = Number.POSITIVE_INFINITY
  const busy = Promise.withResolvers<void>()
  let warm = 0
  const load = nodes.flatMap((node, n) =>
    Array.from({ length: LANES }, (_, i) => {
      let frames = 0
      return lane(node.url, id, `n${n}l${i}`, told => {
        if (++frames === FRAMES_BEFORE && ++warm === LANES * nodes.length) busy.resolve()
        return told.paused >= FRAMES_AFTER * FRAME && Date.now() > pausedAt + EFFECTIVE_MS
      })
    }),
  )
  await busy.promise
  pausedAt = Date.now()
  const paused = performance.now()
  expect((await api.post(`/v1/rounds/${id}/pause`)).status).toBe(200)
  const answeredMs = Math.round(performance.now() - paused)
  const told = await Promise.all(load)
  for (const { granted, other, paused: refused, lastGrantAt } of told) {
    expect(granted).toBeGreaterThan(0)
    expect(granted + other).toBeGreaterThan(FRAMES_BEFORE * FRAME - 1)
    expect(refused).toBeGreaterThan(FRAMES_AFTER * FRAME - 1)
    expect(lastGrantAt - paused - stalls.between(paused, lastGrantAt)).toBeLessThan(EFFECTIVE_MS)
  }
  const granted = told.reduce((sum, lane) => sum + lane.granted, 0)
  const rounds = await Promise.all(nodes.map(({ url }) => new Api(url).get<Round>(`/v1/rounds/${id}`)))
  // On a busy disk a frame may end unknown; what it was granted is then in the round and in no answer.
  const doubtful = told.reduce((sum, lane) => sum + lane.other, 0)
  const held = rounds[0]?.body.stock.granted as number
  for (const { body } of rounds) expect([body.state, body.stock.granted]).toEqual(['paused', held])
  expect(held - granted).toBeGreaterThanOrEqual(0)
  expect(held - granted).toBeLessThanOrEqual(doubtful)
  const lastRow = await api.get<{ data: { granted_at: string }[] }>(`/v1/rounds/${id}/claims?cursor=${held - 1}`)
  // Redis's clock and the test's are the same machine's.
  const lost = stalls.between(paused, paused + answeredMs)
  expect(Date.parse(lastRow.body.data[0]?.granted_at as string) - pausedAt - lost).toBeLessThan(EFFECTIVE_MS)

  expect((await api.post(`/v1/rounds/${id}/resume`)).status).toBe(200)
  const again = await Promise.all(
    nodes.map(({ url }, n) => lane(url, id, `again${n}`, ({ granted: more }) => more > 0)),
  )
  expect(again.map(({ granted: more }) => more)).toEqual([FRAME, FRAME])
  const last = Math.round(Math.max(...told.map(({ lastGrantAt }) => lastGrantAt)) - paused)
  console.log(`pause: answered after ${answeredMs} ms, last grant told after ${last} ms, ${granted} granted before`)
})
