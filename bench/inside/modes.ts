/**
 * `--mode script` and `--mode engine`: what a claim costs before HTTP or the stream are added. `script` sends packed
 * batches straight to scripts/claim.lua (Redis alone, and the little that a client must do); `engine` asks the claims
 * room in this process for frames and for single claims with their vouchers. Each runs until the stock is gone and then
 * asks strangers again, so granted and refused are measured apart. The audit reads the log: sequences 1..stock, each
 * once, each holder once, and as many as the callers were told.
 */
import { CODES } from '../../engine/base/codes.ts'
import { HOLDER_BYTES_MAX, writeArrayHead, writeHolder } from '../../engine/base/holder.ts'
import { realRandom } from '../../engine/base/random.ts'
import { decidersOf } from '../../engine/campaign/claim/deciders.ts'
import type { Answers } from '../../engine/campaign/round/asks.ts'
import { type Round, SingleAsk } from '../../engine/campaign/round/round.ts'
import { Rounds } from '../../engine/campaign/round/rounds.ts'
import type { Durability } from '../../engine/store/server/health.ts'
import { userIdOf } from '../load/user-id.ts'
import { costBetween, treeOf } from '../measure/process-cost.ts'
import { type Figure, figure, type MeasuredPart } from '../measure/result.ts'
import type { Options } from '../stage/options.ts'
import { COMMON, type InsideRoom, NOBODY, withRoom } from './room.ts'

const PEOPLE = 1_500_000
const BATCH_MAX = 512
const GENERAL = Buffer.from([0])

/** Asks for the claims [from, to) and resolves with how many were granted. */
type Asker = (from: number, to: number) => Promise<number>

function packed(from: number, to: number, head: boolean): Buffer {
  const bytes = Buffer.allocUnsafe(3 + (to - from) * HOLDER_BYTES_MAX)
  let at = head ? writeArrayHead(bytes, 0, to - from) : 0
  for (let user = from; user < to; user++) at = writeHolder(bytes, at, userIdOf(user))
  return bytes.subarray(0, at)
}

const scriptAsker =
  ({ store, round, epoch }: InsideRoom): Asker =>
  async (from, to) => {
    const { first, notice } = await store.claims.claim(round.id, epoch, packed(from, to, true), GENERAL)
    return notice.sequence - first + 1
  }

/** Every other claim is of somebody who was granted `back` claims ago: a release in which all ask twice. */
const mixedAsker =
  ({ store, round, epoch }: InsideRoom, back: number): Asker =>
  async (from, to) => {
    const users = Buffer.allocUnsafe(3 + 2 * (to - from) * HOLDER_BYTES_MAX)
    let at = writeArrayHead(users, 0, 2 * (to - from))
    for (let user = from; user < to; user++) {
      at = writeHolder(users, at, userIdOf(user - back))
      at = writeHolder(users, at, userIdOf(user))
    }
    const { first, notice } = await store.claims.claim(round.id, epoch, users.subarray(0, at), GENERAL)
    return notice.sequence - first + 1
  }

const frameAsker =
  (claims: Round): Asker =>
  async (from, to) => {
    const answers = await new Promise<Answers>(done => claims.askPacked(packed(from, to, false), to - from, 0, done))
    return answers.outcomes.reduce((sum, outcome) => sum + (outcome === CODES.granted.number ? 1 : 0), 0)
  }

const singleAsker =
  (claims: Round): Asker =>
  async (from, to) => {
    const asked = Array.from(
      { length: to - from },
      (_, i) =>
        new Promise<number>(done =>
          claims.ask(new SingleAsk(claims, userIdOf(from + i), 0, { slot: 1 }, ask => done(ask.holds ? 1 : 0))),
        ),
    )
    return (await Promise.all(asked)).reduce((sum, granted) => sum + granted, 0)
  }

interface Pass {
  readonly name: string
  readonly ask: Asker
  readonly from: number
  readonly claims: number
  readonly redisPid: number
  /** Claims that are sent for each of `claims`; 1 where it is left out. */
  readonly each?: number
}

/** Runs a pass with `window` requests under way at once; gives its figures and what was granted. */
async function run(pass: Pass, options: Options): Promise<{ figures: Figure[]; granted: number }> {
  const { each = 1 } = pass
  const frame = Math.max(1, Math.floor(Math.min(options.frame, BATCH_MAX) / each))
  const claims = pass.claims * each
  const end = pass.from + pass.claims
  let next = pass.from
  let granted = 0
  const redis = treeOf(pass.redisPid)
  const own = process.cpuUsage()
  const start = performance.now()
  const lane = async () => {
    while (next < end) {
      const from = next
      next = Math.min(end, from + frame)
      const more = await pass.ask(from, next)
      granted += more
    }
  }
  await Promise.all(Array.from({ length: options.window }, lane))
  const seconds = (performance.now() - start) / 1000
  const { user, system } = process.cpuUsage(own)
  const redisUs = costBetween(redis, treeOf(pass.redisPid)).reduce((sum, { cpuUs }) => sum + cpuUs, 0)
  const figures = [
    figure(`${pass.name}: claims`, claims / seconds, '/s', 'higher'),
    figure(`${pass.name}: Redis CPU`, redisUs / claims, 'µs/claim', 'lower'),
    figure(`${pass.name}: own CPU`, (user + system) / claims, 'µs/claim', 'lower'),
    figure(`${pass.name}: a call`, (redisUs / claims) * frame * each, 'µs/call', 'lower'),
  ]
  return { figures, granted }
}

/** What the log says against what the callers were told. */
async function audit({ store, round }: InsideRoom, told: number): Promise<{ ok: boolean; lines: string[] }> {
  const holders = new Set<string>()
  let sequence = 0
  let gaps = 0
  for await (const batch of store.claims.batches(round.id, 1)) {
    if (batch.firstSequence !== sequence + 1) gaps++
    sequence = batch.firstSequence + batch.holders.length - 1
    for (const holder of batch.holders) holders.add(holder)
  }
  const ok = gaps === 0 && sequence === told && holders.size === told
  const line = `${ok ? '✓' : '✗'} told ${told} grants; the log has ${sequence}, ${holders.size} holders, ${gaps} gaps`
  return { ok, lines: [line] }
}

function inProcess({ store, round }: InsideRoom): Promise<Round | undefined> {
  const rounds = new Rounds({
    store,
    ...COMMON,
    secret: realRandom.bytes(32),
    drawSecret: realRandom.bytes(32),
    deciders: decidersOf({ store, ...COMMON, batchClaims: BATCH_MAX, batchesInFlight: 4, entrantsKnown: 0 }),
    healthGate: () => undefined,
    events: NOBODY,
  })
  return rounds.get(round.id).finally(() => rounds.close())
}

async function passes(mode: 'script' | 'engine', room: InsideRoom, people: number): Promise<Pass[]> {
  const { redisPid } = room
  if (mode === 'script') {
    const ask = scriptAsker(room)
    const half = people >> 1
    const granted = { name: 'granted', ask, from: 0, claims: half, redisPid }
    return [
      granted,
      { ...granted, name: 'half granted', ask: mixedAsker(room, half), from: half, claims: people - half, each: 2 },
      { ...granted, name: 'asked again' },
      { ...granted, name: 'refused', from: people },
    ]
  }
  const claims = await inProcess(room)
  if (!claims) throw new Error('the round that was just made is not there')
  const half = Math.floor(people / 2)
  return [
    { name: 'frames granted', ask: frameAsker(claims), from: 0, claims: half, redisPid },
    { name: 'singles granted', ask: singleAsker(claims), from: half, claims: people - half, redisPid },
    { name: 'frames refused', ask: frameAsker(claims), from: people, claims: people, redisPid },
    { name: 'singles refused', ask: singleAsker(claims), from: people, claims: people, redisPid },
  ]
}

/** Plays one of the two modes on a Redis of its own. */
export function playInside(options: Options, mode: 'script' | 'engine'): Promise<MeasuredPart[]> {
  const scale = options.scale ?? 1 / 3
  const people = Math.max(1000, Math.round(PEOPLE * scale))
  return withRoom(options.durability as Durability, people, async room => {
    const figures: Figure[] = []
    let told = 0
    for (const pass of await passes(mode, room, people)) {
      const measured = await run(pass, options)
      figures.push(...measured.figures)
      if (pass.name.endsWith('granted')) told += measured.granted
    }
    const { usedMemoryBytes } = await room.store.health()
    figures.push(figure('Redis memory', usedMemoryBytes / people, 'bytes/grant', 'lower'))
    const settings = { mode, scale, frame: Math.min(options.frame, BATCH_MAX), window: options.window }
    const part = { name: `mode ${mode}`, settings: { ...settings, durability: options.durability }, figures }
    const empty = {
      latencies: {},
      outcomes: {},
      timeline: [],
      notes: [],
      problems: [],
      hgrm: {},
      recordFolder: undefined,
    }
    return [{ ...part, ...empty, audit: await audit(room, told) }]
  })
}
