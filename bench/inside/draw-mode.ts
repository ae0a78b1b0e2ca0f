/**
 * `--mode draw`: what a drawn round costs, step by step. Entries go straight to scripts/enter.lua in batches of 64 (what a
 * busy worker sends) until the list is as long as asked, 10 million at scale 1; then receipts are made for a part of them,
 * as the engine makes them; then the round is closed and drawn by the engine's own rules, from the list in Redis to the
 * last grant in Redis. The audit is the outsider's verifier on the published files, and the log against the result.
 * People are random bytes here: making tags is part of the receipts' figure, not of the script's.
 */

import { randomFillSync } from 'node:crypto'
import { RoundSecrets, signingSeed } from '../../engine/auth/draw-secrets.ts'
import { realClock, rfc3339 } from '../../engine/base/clock.ts'
import { realRandom } from '../../engine/base/random.ts'
import { decidersOf } from '../../engine/campaign/claim/deciders.ts'
import { Draws } from '../../engine/campaign/drawing/draws.ts'
import { windowRules } from '../../engine/campaign/drawing/window-rules.ts'
import { Rounds } from '../../engine/campaign/round/rounds.ts'
import { commitUser, recordOf, tagOf } from '../../engine/draw/entry.ts'
import { signBatch } from '../../engine/draw/receipt.ts'
import { signingKeyOf } from '../../engine/draw/signing-key.ts'
import { verifyBundle } from '../../engine/draw/verify/verification.ts'
import { ENTRY_CLAIM_BYTES } from '../../engine/store/data/entry-store.ts'
import type { Durability } from '../../engine/store/server/health.ts'
import type { AuditSummary } from '../audit/finding.ts'
import { userIdOf } from '../load/user-id.ts'
import { costBetween, treeOf } from '../measure/process-cost.ts'
import { type Figure, figure, type MeasuredPart } from '../measure/result.ts'
import type { Options } from '../stage/options.ts'
import { COMMON, type InsideRoom, NOBODY, withRoom } from './room.ts'

const PEOPLE = 10_000_000
const STOCK = 50_000
const BATCH = 64
const RECEIPTS = 65_536
const LANES = 4
const POLL_MS = 5
const ALLOCATION = {
  mode: 'window',
  window_ms: 86_400_000,
  beacon: { kind: 'commit' },
  quota_order: 'general-first',
  waitlist: 0,
} as const

/** Batches of random people. The bucket's number has 15 bits. */
function randomClaims(): Buffer {
  const claims = Buffer.allocUnsafe(BATCH * ENTRY_CLAIM_BYTES)
  randomFillSync(claims)
  for (let at = 0; at < claims.length; at += ENTRY_CLAIM_BYTES) {
    claims[at]! &= 0x7f
    claims[at + ENTRY_CLAIM_BYTES - 1] = 0
  }
  return claims
}

async function enterAll({ store, round, epoch, redisPid }: InsideRoom, people: number): Promise<Figure[]> {
  const before = await store.health()
  const redis = treeOf(redisPid)
  const own = process.cpuUsage()
  const start = performance.now()
  let left = Math.ceil(people / BATCH)
  const lane = async () => {
    while (left-- > 0) await store.entries.enter(round.id, epoch, randomClaims(), 0)
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  const seconds = (performance.now() - start) / 1000
  const { user, system } = process.cpuUsage(own)
  const redisUs = costBetween(redis, treeOf(redisPid)).reduce((sum, { cpuUs }) => sum + cpuUs, 0)
  const bytes = (await store.health()).usedMemoryBytes - before.usedMemoryBytes
  return [
    figure('entries', people / seconds, '/s', 'higher'),
    figure('entries: Redis CPU', redisUs / people, 'µs/entry', 'lower'),
    figure('entries: own CPU', (user + system) / people, 'µs/entry', 'lower'),
    figure('Redis memory', bytes / people, 'bytes/entrant', 'lower'),
  ]
}

/** The CPU that some work takes, microseconds. */
function cpuUs(work: () => void): number {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return user + system
}

/** What a worker does for an answer with a receipt, by batches: tags and records of people, then trees and signatures. */
function makeReceipts(roundId: string, secret: Buffer): Figure[] {
  const secrets = new RoundSecrets(secret, roundId)
  const key = signingKeyOf(signingSeed(secret))
  const batches: Buffer[] = []
  const tags = cpuUs(() => {
    for (let from = 0; from < RECEIPTS; from += BATCH) {
      const records = Array.from({ length: BATCH }, (_, i) => {
        const userId = userIdOf(from + i)
        const { nonce, salt } = secrets.personOf(userId)
        return recordOf(tagOf(roundId, nonce, commitUser(salt, userId)), 0)
      })
      batches.push(Buffer.concat(records))
    }
  })
  const receipts = cpuUs(() => {
    for (const records of batches) signBatch({ roundId, window: 0, at: rfc3339(realClock.wallMs()) }, records, key)
  })
  return [
    figure('tags: CPU', tags / RECEIPTS, 'µs/claim', 'lower'),
    figure('receipts: CPU', receipts / RECEIPTS, 'µs/claim', 'lower'),
  ]
}

/** Closes the round and lets the engine draw it; resolves with the seconds from the close to the last grant. */
async function drawAll({ store, round, epoch }: InsideRoom, rounds: Rounds): Promise<number> {
  const claims = await rounds.get(round.id)
  if (!claims) throw new Error('the round that was just made is not there')
  let failed: unknown
  const draws = new Draws({
    store,
    rounds,
    clock: realClock,
    failed: cause => {
      failed = cause
    },
  })
  await store.rounds.turn(round.id, epoch, 'close', 'close')
  await rounds.refresh(round.id)
  const start = performance.now()
  while (claims.decider.draw?.phase !== 'done') {
    draws.tick()
    await new Promise(resolve => realClock.after(POLL_MS, () => resolve(undefined)))
    if (failed) throw failed
  }
  return (performance.now() - start) / 1000
}

async function audit({ store, round }: InsideRoom, people: number): Promise<AuditSummary> {
  const files = new Map(Object.entries(await store.draws.files(round.id, 0)))
  files.set('entries.bin', await store.entries.records(round.id, 0, people))
  const { ok, checks } = verifyBundle(files)
  const { winners } = JSON.parse(String(files.get('result.json'))) as { winners: string[] }
  let granted = 0
  let wrong = 0
  for await (const { holders } of store.claims.batches(round.id, 1))
    for (const holder of holders) if (holder !== `tag:${winners[granted++]?.split(':')[0]}`) wrong++
  const same = wrong === 0 && granted === winners.length && granted === Math.min(STOCK, people)
  const line = `${same ? '✓' : '✗'} ${winners.length} winners; the log has ${granted} grants, ${wrong} of them others`
  return { ok: ok && same, lines: [...checks.map(each => `${each.ok ? '✓' : '✗'} ${each.name}: ${each.detail}`), line] }
}

/** Plays a drawn round on a Redis of its own. */
export function playDraw(options: Options): Promise<MeasuredPart[]> {
  const scale = options.scale ?? 0.1
  const people = Math.max(1, Math.round((PEOPLE * scale) / BATCH)) * BATCH
  const play = async (room: InsideRoom): Promise<MeasuredPart[]> => {
    const { store, round } = room
    const secret = realRandom.bytes(32)
    const secrets = new RoundSecrets(secret, round.id)
    const facts = { config: round, secrets, window: 0, closesAt: 0, pools: [{ total: STOCK, granted: 0 }] }
    await store.draws.open(round.id, { window: 0, ...windowRules({ ...facts, opensAt: Date.now() }), isNew: true })
    const figures = [...(await enterAll(room, people)), ...makeReceipts(round.id, secret)]
    const rounds = new Rounds({
      store,
      ...COMMON,
      secret,
      drawSecret: secret,
      deciders: decidersOf({
        store,
        ...COMMON,
        batchClaims: BATCH,
        batchesInFlight: LANES,
        entrantsKnown: people,
      }),
      healthGate: () => undefined,
      events: NOBODY,
    })
    const seconds = await drawAll(room, rounds).finally(() => rounds.close())
    figures.push(figure('draw: from the list to the last grant', seconds, 's', 'lower'))
    const start = performance.now()
    const verdict = await audit(room, people)
    figures.push(figure('verification', (performance.now() - start) / 1000, 's', 'lower'))
    const settings = { mode: 'draw', scale, people, stock: STOCK, durability: options.durability }
    const empty = {
      latencies: {},
      outcomes: {},
      timeline: [],
      notes: [],
      problems: [],
      hgrm: {},
      recordFolder: undefined,
    }
    return [{ name: 'mode draw', settings, figures, ...empty, audit: verdict }]
  }
  return withRoom(options.durability as Durability, STOCK, play, ALLOCATION)
}
