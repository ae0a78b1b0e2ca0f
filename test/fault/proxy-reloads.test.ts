/**
 * What stands in front of the engine is reloaded under load, and no answer is lost: claims one by one, claims on a stream, batches
 * of 4,096 and exports go on through nginx, HAProxy and Caddy, and without any of them while the engine reads its keys again,
 * over IPv4 and IPv6. An export that was begun before a reload is whole behind it. One node with two workers serves all of them, and
 * nobody stays with a worker.
 *
 * No witness: every lane checks its own answers as they come, and the round's count has to be theirs.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CLAIMS_PER_REQUEST_MAX } from '../../engine/base/limits.ts'
import { Api, makeRound, type Round } from '../support/api.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { KEYS } from '../support/engine.ts'
import { tell } from '../support/figures.ts'
import { type NodeProcess, startNodeProcess } from '../support/node-process.ts'
import { PatientApi } from '../support/patient-api.ts'
import { untilHolds } from '../support/polled.ts'
import { addressOf, FAMILIES, type Family, FrontProxy, PROXIES, type ProxyName, Trusted } from '../support/proxies.ts'
import { beginExport, EXPORTED, LANES, type Lane } from '../support/reload-lanes.ts'

const RELOADS = effort(1, 50)
/** Answers of each lane before and behind each reload. */
const ANSWERS = 2
const STOCK = 100_000_000

/** What the load goes through. */
interface Front {
  url(family: Family): string
  reload(): Promise<void>
  stop(): Promise<unknown>
}

const trusted = new Trusted()
const folder = mkdtempSync(join(tmpdir(), 'fg-reloads-'))
const keyFile = join(folder, 'keys')
let node: NodeProcess
let api: Api
let full: string
beforeAll(async () => {
  writeKeys(0)
  node = await startNodeProcess({
    ...{ HOST: '', FAIRGRAB_KEYS: '', FAIRGRAB_KEYS_FILE: keyFile, FAIRGRAB_WORKERS: '2' },
    ...{ FAIRGRAB_DURABILITY: 'memory', FAIRGRAB_TRUSTED_PROXIES: '127.0.0.1' },
  })
  api = new PatientApi(node.url, KEYS.operator)
  full = await makeFull()
})
afterAll(async () => {
  await node?.stop()
  trusted[Symbol.dispose]()
  rmSync(folder, { recursive: true })
})

const viewer = (count: number): string => `viewer-number-${count}`

function writeKeys(count: number): void {
  const { operator, platform } = KEYS
  writeFileSync(keyFile, `operator:${operator},platform:${platform},viewer:${viewer(count)}`)
}

/** The engine itself; it reads its keys again. */
function itself(): Front {
  const { port } = new URL(node.url)
  let count = 0
  const status = async () => (await new Api(node.url, viewer(count)).get('/v1/rates')).status
  return {
    url: family => addressOf(family, port, 'http'),
    reload: async () => {
      writeKeys(++count)
      process.kill(node.pid, 'SIGHUP')
      await untilHolds(async () => (await status()) === 200)
    },
    stop: async () => {},
  }
}

const open = (name: ProxyName | 'direct'): Promise<Front> | Front =>
  name === 'direct' ? itself() : FrontProxy.start(name, node.url, trusted)

/** A round that is exported. */
async function makeFull(): Promise<string> {
  const round = await makeRound(api, { stock: EXPORTED })
  for (let from = 0; from < EXPORTED; from += CLAIMS_PER_REQUEST_MAX) {
    const claims = Array.from({ length: CLAIMS_PER_REQUEST_MAX }, (_, i) => ({ user_id: `exported-${from + i}` }))
    expect((await api.post(`/v1/rounds/${round.id}/claims/batch`, { claims })).status).toBe(200)
  }
  return round.id
}
const ONE_VOUCHER = {
  pack: [{ template: 't', discount: { type: 'amount_off', amount_off: 100, minimum_amount: 100 }, valid_for_s: 1000 }],
}

const more = (lanes: readonly Lane[]) => Promise.all(lanes.map(lane => lane.more(ANSWERS)))

/** What ends streams when it is reloaded, and what ends connections without having said so behind the answer before. */
const ENDS_STREAMS = ['Caddy']
const ENDS_CONNECTIONS = ['nginx', 'Caddy']
/** Go's server may end a connection as idle whose next request it has just read: now and then one is taken and not answered. */
const LEAVES_UNANSWERED = ['Caddy']

test.each(['direct', ...PROXIES] as const)(
  `%s is reloaded ${RELOADS} times under load and no answer is lost`,
  async name => {
    const front = await open(name)
    const rounds = { full, open: (await makeRound(api, { stock: STOCK }, ONE_VOUCHER)).id }
    const lanes = FAMILIES.flatMap(family => Object.values(LANES).map(Kind => new Kind(front.url(family), rounds)))
    for (const lane of lanes) lane.start()
    for (let i = 1; i <= RELOADS; i++) {
      await more(lanes)
      const begun = await Promise.all(FAMILIES.map(family => beginExport(front.url(family), rounds)))
      await front.reload()
      await more(lanes)
      for (const finish of begun) expect(await finish()).toEqual([])
      // What was under way is answered by the old one, and one answer more may be.
      while (lanes.some(({ generation }) => generation !== undefined && generation !== String(1 + i))) await more(lanes)
    }
    await Promise.all(lanes.map(lane => lane.stop()))
    await front.stop()
    const sum = (count: 'users' | 'answers' | 'untaken' | 'unanswered' | 'interrupted') =>
      lanes.reduce((all, { tally }) => all + tally[count], 0)
    expect(lanes.flatMap(({ tally }) => tally.lost)).toEqual([])
    expect((await api.get<Round>(`/v1/rounds/${rounds.open}`)).body.stock.granted).toBe(sum('users'))
    expect(sum('interrupted') > 0).toBe(ENDS_STREAMS.includes(name))
    if (!ENDS_CONNECTIONS.includes(name)) expect(sum('untaken')).toBe(0)
    expect(sum('unanswered')).toBeLessThanOrEqual(LEAVES_UNANSWERED.includes(name) ? RELOADS : 0)
    tell({
      reloads: RELOADS,
      answers: sum('answers'),
      claims: sum('users'),
      asked_again: sum('untaken'),
      unanswered: sum('unanswered'),
      lost: 0,
    })
  },
  PATIENCE_MS,
)
