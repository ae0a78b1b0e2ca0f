/**
 * One measurement of one contender: start it, warm it up, load it, and check that its story holds.
 *
 * The warm-up reads the status of every answer (Node needs the time to compile, and the check needs the statuses);
 * the measured pass leaves the generator as cheap as it can be. After each pass the grants that clients counted are
 * compared with the grants that Redis holds, or that the engine's round reports: more answers than grants is a
 * phantom win, more than one grant a connection beyond the answers is a claim executed for nobody. Either voids
 * the run, and so does any unexpected answer, because a rate of wrong answers is no rate.
 * The bound: the claims cut off at the end of a pass can hide as many phantom wins; the audit of the main bench, which
 * reads every answer, has no such gap.
 * CPU is read just before and just after the measured pass, for the contender and for the whole machine; what is
 * neither the contender's nor the generator's belongs to others, and a reader must see it.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Contender, RoundState } from './contenders.ts'
import { CORES, readCpu, spent } from './cpu.ts'
import type { Driven, Pass } from './load.ts'
import { Room } from './room.ts'
import type { Target } from './target.ts'

/** More than any machine grants in a run, and within what one round of the engine may hold with five vouchers each. */
const STOCK = 20_000_000
const SETTLE_MS = 50
/** From this share of the CPU on, or with threads this full, the generator may be what was measured. */
const GENERATOR_SHARE = 0.5
const THREAD_FULL = 0.9

export interface Plan {
  readonly seconds: number
  readonly warmUpSeconds: number
  readonly connections: number
  readonly threads: number
}

export interface Run {
  readonly contender: string
  readonly round: number
  readonly claims: number
  readonly claimsPerS: number
  readonly serverUs: number
  readonly redisUs: number
  readonly generatorUs: number
  /** The generator's part of the CPU that the generator and the contender used together. */
  readonly generatorShare: number
  readonly generatorLimited: boolean
  /** The part of the machine that processes outside this run used. */
  readonly othersShare: number
  /** Grants that clients counted in the measured pass, and grants that were kept of it; null where nobody can say. */
  readonly grantsCounted: number | null
  readonly grantsKept: number | null
  /** Empty when the run is valid. */
  readonly troubles: readonly string[]
}

/** Measures once; `signal` ends the generator early, and the room with it. */
export async function measure(contender: Contender, round: number, plan: Plan, signal: AbortSignal): Promise<Run> {
  const room = await Room.open()
  try {
    const soldOut = contender.state === 'sold_out'
    const target = await contender.start(room, { durability: contender.durability, stock: soldOut ? 1 : STOCK })
    if (soldOut && target.granted) await takeTheOnlyUnit(target)
    const shape = { connections: plan.connections, threads: plan.threads, signal }
    const warm = await drive(contender, target, { ...shape, seconds: plan.warmUpSeconds, prefix: 'w', tally: true })
    const main = await drive(contender, target, { ...shape, seconds: plan.seconds, prefix: 'm', tally: false })
    room.alive()
    return { ...report(contender, round, main), troubles: [...warm.troubles, ...main.troubles] }
  } finally {
    await room.close()
  }
}

interface Driving extends Driven {
  readonly cpu: ReturnType<typeof spent>
  readonly kept: number | null
}

async function drive({ load, state }: Contender, target: Target, pass: Pass): Promise<Driving> {
  const keptBefore = await settled(target)
  const before = readCpu(target.pids)
  const driven = await load(target, pass)
  const cpu = spent(before, readCpu(target.pids))
  const keptAfter = await settled(target)
  const kept = keptBefore === null || keptAfter === null ? null : keptAfter - keptBefore
  const unread = target.redis && (await target.redis.executed()) !== keptAfter
  return {
    ...driven,
    cpu,
    kept,
    troubles: [
      ...driven.troubles,
      ...disagreements(driven, kept, state, pass.connections),
      ...(unread ? ['claims of different users were executed that are no grants'] : []),
    ],
  }
}

/** What is wrong with a pass's grants. `kept` is null where the contender keeps no state. */
export function disagreements(
  { claims, granted }: Pick<Driven, 'claims' | 'granted'>,
  kept: number | null,
  state: RoundState,
  connections: number,
): readonly string[] {
  const due = state === 'granted' ? claims : 0
  const found: string[] = []
  if (claims === 0) found.push('nothing was answered')
  if (granted !== null && granted !== due) found.push(`${granted} of ${claims} answers were grants, ${due} were due`)
  if (granted === null || kept === null) return found
  const nobodys = kept - granted
  const nobodysMax = state === 'granted' ? connections : 0
  if (nobodys < 0) found.push(`clients were told of ${granted} grants, ${kept} are kept`)
  if (nobodys > nobodysMax) found.push(`${kept} grants are kept, clients counted ${granted}: more than were in flight`)
  return found
}

/** Grants kept, once no request that the generator left behind is still being executed. */
async function settled({ granted }: Target): Promise<number | null> {
  if (!granted) return null
  for (let last = -1; ; ) {
    const now = await granted()
    if (now === last) return now
    last = now
    await pause(SETTLE_MS)
  }
}

async function takeTheOnlyUnit({ url, headers }: Target): Promise<void> {
  for (const [user, status] of [
    ['first', 201],
    ['second', 409],
  ] as const) {
    const json = { ...headers, 'content-type': 'application/json' }
    const answer = await fetch(url, { method: 'POST', headers: json, body: JSON.stringify({ user_id: user }) })
    const words = await answer.text()
    if (answer.status !== status) throw new Error(`the ${user} claim was answered ${answer.status}: ${words}`)
  }
}

function report(contender: Contender, round: number, main: Driving): Omit<Run, 'troubles'> {
  const { claims, seconds, generatorCpuS, generatorFull, cpu } = main
  const contenderS = cpu.serverS + cpu.redisS
  const generatorShare = generatorCpuS / (generatorCpuS + contenderS)
  const us = (cpuS: number): number => (cpuS / claims) * 1e6
  return {
    contender: contender.name,
    round,
    claims,
    claimsPerS: claims / seconds,
    serverUs: us(cpu.serverS),
    redisUs: us(cpu.redisS),
    generatorUs: us(generatorCpuS),
    generatorShare,
    generatorLimited: generatorShare > GENERATOR_SHARE || generatorFull > THREAD_FULL,
    othersShare: Math.max(0, cpu.machineS - contenderS - generatorCpuS) / (cpu.elapsedS * CORES),
    grantsCounted: main.granted,
    grantsKept: main.kept,
  }
}
