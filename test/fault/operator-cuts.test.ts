/**
 * Changes of operators, cut off from Redis at each of their steps, and asked again under the same Idempotency-Key: each is made
 * once, wherever it was cut, and budgets, logs and the audit agree.
 *
 * A step is a request to Redis that has to do with the change. It is lost on its way, arrives late, when the answer is long
 * given, or is executed while its reply is lost. The operator asks again at the same node when it is back, or at another one
 * at once, while the first is still at it. Several nodes, each behind a way of its own, are cut side by side.
 *
 * No witness: nobody claims here, and what a change came to is read whole from the API, the logs and the budgets.
 */
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import * as keys from '../../engine/store/connection/keys.ts'
import { Api, type Reply } from '../support/api.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { KEYS, startTestWorker, type TestWorker } from '../support/engine.ts'
import { tell } from '../support/figures.ts'
import { type Change, fresh, OperatorChanges } from '../support/operator-changes.ts'
import { PatientApi } from '../support/patient-api.ts'
import { untilHolds } from '../support/polled.ts'
import { type RedisProcess, startLocalRedis } from '../support/redis.ts'
import { random } from '../support/seed.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

/** In the short form each kind of change once. */
const CUTS = effort(19, 1000)
const LANES = 8
const WAYS = ['lost', 'late', 'unanswered'] as const

/** A node with a way to Redis of its own. */
interface Lane {
  readonly proxy: TcpProxy
  readonly worker: TestWorker
  readonly api: Api
}

let redis: RedisProcess
let client: Redis
let direct: TestWorker
let api: Api
let changes: OperatorChanges
const lanes: Lane[] = []
beforeAll(async () => {
  redis = await startLocalRedis({ appendfsync: 'no' })
  client = new Redis(redis.url)
  direct = await startTestWorker(redis.url)
  api = new Api(direct.url, KEYS.operator)
  changes = new OperatorChanges(new PatientApi(direct.url, KEYS.operator), client)
  for (let i = 0; i < LANES; i++) {
    const proxy = await TcpProxy.open({ path: redis.socketPath as string }, { remembers: false })
    const worker = await startTestWorker(proxy.url, { LOG_LEVEL: 'silent' })
    lanes.push({ proxy, worker, api: new Api(worker.url, KEYS.operator) })
  }
})
afterAll(async () => {
  for (const { proxy, worker } of lanes) {
    await worker.stop()
    await proxy.close()
  }
  await direct?.stop()
  client?.disconnect()
  await redis?.stop()
})

/** What each change has to do with besides its own: its key, and the log of changes. */
const COMMON = [keys.requestSecret(), '{operators}', keys.auditState()]

const ask = (by: Api, { method, path, body, headers = {} }: Change, key: string): Promise<Reply> =>
  by.call(method, path, { body, headers: { ...headers, 'idempotency-key': key } })

/** Asks until there is an answer that says what became of it. */
async function insist(by: Api, change: Change, key: string): Promise<Reply> {
  let reply = await ask(by, change, key)
  if (reply.status >= 500)
    await untilHolds(async () => {
      reply = await ask(by, change, key)
      return reply.status < 500
    })
  return reply
}

const ready = ({ api: there }: Lane): Promise<void> =>
  untilHolds(async () => (await there.get('/readyz')).status === 200)

/** Resolves when the k-th request to Redis that has to do with a change is there, and closes the way. */
function cutAt({ proxy }: Lane, way: (typeof WAYS)[number], isStep: (bytes: Buffer) => boolean): () => boolean {
  let [isArmed, isCut] = [true, false]
  const close = (to: TcpProxy['way']) => () => {
    if (!isArmed) return
    isCut = true
    proxy.way = to
  }
  const matches = (bytes: Buffer) => isArmed && !isCut && isStep(bytes)
  if (way === 'unanswered') void proxy.forwarded('request', matches).then(close('drop replies'))
  else void proxy.keepBack(matches).then(close('black hole'))
  return () => {
    isArmed = false
    return isCut
  }
}

function open({ proxy }: Lane, way: (typeof WAYS)[number]): void {
  if (way === 'lost') proxy.disconnect()
  proxy.way = 'pass'
  proxy.letGo()
}

const stepsOf = ({ marks }: Change) => {
  const words = [...marks, ...COMMON]
  return (bytes: Buffer): boolean => words.some(word => bytes.includes(word))
}

/** How many steps a change has that nobody cuts. */
async function countSteps(lane: Lane, change: Change): Promise<number> {
  let steps = 0
  const isStep = stepsOf(change)
  const disarm = cutAt(lane, 'late', bytes => {
    if (isStep(bytes)) steps++
    return false
  })
  expect((await ask(lane.api, change, fresh('key'))).status).toBeLessThan(300)
  disarm()
  lane.proxy.letGo()
  await change.check()
  return steps
}

/** Where a change is cut, and how. */
interface Cut {
  readonly name: string
  readonly place: number
  readonly way: (typeof WAYS)[number]
}

/**
 * Every step of every change in every way, by chance, but one change after the other. Of the first change the last step goes
 * unanswered first, so that however few are cut, one of them was made already when it is asked again.
 */
function planOf(steps: Readonly<Record<string, number>>, next: () => number): readonly Cut[] {
  const each = Object.entries(steps).map(([name, count], kind) => {
    const cuts = Array.from({ length: count }, (_, i) => WAYS.map(way => ({ name, place: i + 1, way }))).flat()
    const isMade = ({ place, way }: Cut) => kind === 0 && place === count && way === 'unanswered'
    return cuts.map(cut => ({ cut, at: isMade(cut) ? -1 : next() })).toSorted((a, b) => a.at - b.at)
  })
  const most = Math.max(...each.map(({ length }) => length))
  return Array.from({ length: most }, (_, i) => each.flatMap(cuts => cuts[i]?.cut ?? [])).flat()
}

const figures = { cuts: 0, answeredBefore: 0, replayed: 0, madeByRepetition: 0 }

/** Cuts one change, asks again and looks at what came of it; resolves with whether it got as far as the cut. */
async function cutOnce(lane: Lane, { name, place, way }: Cut, elsewhere: boolean): Promise<boolean> {
  const change = await changes.kinds[name]?.()
  if (!change) throw new Error(`there is no change ${name}`)
  const [key, isStep] = [fresh('key'), stepsOf(change)]
  let seen = 0
  const disarm = cutAt(lane, way, bytes => isStep(bytes) && ++seen === place)
  const first = ask(lane.api, change, key)
  const early = elsewhere ? await insist(api, change, key) : undefined
  const answer = await first
  const isCut = disarm()
  if (isCut) figures.cuts++
  else figures.answeredBefore++
  open(lane, way)
  await ready(lane)
  const repeated = early ?? (await insist(lane.api, change, key))
  const what = `${name}, ${way} at step ${place}, asked again ${elsewhere ? 'elsewhere' : 'here'}`
  expect([repeated.status, answer.status], `${what}: ${JSON.stringify(repeated.body)}`).toEqual([
    expect.toSatisfy((status: number) => status === 200 || status === 201),
    expect.toSatisfy((status: number) => status < 300 || status >= 500),
  ])
  if (repeated.headers.get('idempotent-replayed') === 'true') figures.replayed++
  else figures.madeByRepetition++
  await change.check().catch((cause: Error) => {
    throw new Error(`${what}: ${cause.message}`, { cause })
  })
  const last = await insist(api, change, key)
  expect([last.status, last.headers.get('idempotent-replayed')], what).toEqual([200, 'true'])
  return isCut
}

test(
  `${CUTS} changes that were cut off are made once by whoever asks again`,
  async () => {
    const next = random(16)
    const steps: Record<string, number> = {}
    for (const [name, begin] of Object.entries(changes.kinds))
      steps[name] = await countSteps(lanes[0] as Lane, await begin())
    const plan = planOf(steps, next)
    const reached = new Set<Cut>()
    let begun = 0
    const drive = async (lane: Lane) => {
      while (begun < CUTS) {
        const cut = plan[begun++ % plan.length] as Cut
        if (await cutOnce(lane, cut, next() < 0.5)) reached.add(cut)
      }
    }
    await Promise.all(lanes.map(drive))
    expect(await wrongEnds()).toEqual([])
    expect(await changes.lotteryEnds()).toEqual([])
    expect(figures.cuts).toBeGreaterThan(CUTS / 2)
    expect(Math.min(figures.replayed, figures.madeByRepetition)).toBeGreaterThan(0)
    tell({ ...figures, steps_reached: reached.size, steps: plan.length, doubled: 0 })
  },
  PATIENCE_MS,
)

/** Changes that the log of changes has as made more than once, or neither as made nor as found made. */
async function wrongEnds(): Promise<readonly string[]> {
  const { bytes } = await api.get('/v1/audit', { accept: 'application/x-ndjson' })
  const entries = bytes
    .toString()
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as Record<'action' | 'target' | 'body' | 'outcome', string>)
  const byChange = Object.groupBy(entries, ({ action, target, body }) => `${action} ${target} ${body}`)
  return Object.entries(byChange).flatMap(([change, of = []]) => {
    const made = of.filter(({ outcome }) => outcome === '200' || outcome === '201').length
    const found = of.filter(({ outcome }) => outcome === 'replayed').length
    // What the test makes for itself, without a key, has the same words each time.
    if (found === 0 || /omitted/.test(change)) return []
    return made > 1 ? [`${change}: made ${made} times, found ${found} times`] : []
  })
}
