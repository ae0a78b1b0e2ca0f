/**
 * A generator process: makes its part of the plan of each round, drives a transport a round, reports what happened.
 *
 * The bench forks it, so its cost and the engine's are separate processes and can be read from /proc. The order is
 * fixed by messages: `ready` (plan made, connections open) → `start` → [claims before the opening are answered] →
 * `waiting` → `opened` → … → `done`. At the pace `real` the opening is an instant that was agreed beforehand.
 *
 * The history goes to the bench as a file (it may be hundreds of megabytes), the rest as one message. The process
 * measures itself too: its CPU, its event-loop delay and how late it sent are what decides whether a figure is the
 * engine's or the generator's.
 */

import { availableParallelism } from 'node:os'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { NO_ANSWER } from '../audit/history.ts'
import { type Plan, planLate, planRelease, planUntil } from '../people/arrival.ts'
import { ClaimFlow, type Pace } from './claim-flow.ts'
import { HttpTransport } from './http-generator.ts'
import type { GeneratorJob, GeneratorReport, RoundJob, RoundReport, ToBench, ToGenerator } from './job.ts'
import { serveBench } from './member.ts'
import { monotonicUs } from './recorder.ts'
import { StreamTransport } from './stream-generator.ts'
import type { MakeTransport, Transport, TransportName } from './transport.ts'

const TRANSPORTS: Readonly<Record<TransportName, MakeTransport>> = {
  http: (settings, flow) => new HttpTransport(settings, flow),
  stream: (settings, flow) => new StreamTransport(settings, flow),
}

/**
 * Timers are a millisecond coarse. Where there are cores to spare, the pacer spins through the event loop below that
 * wait; on two cores the spinning would take from the engine what it measures, so there it sends once a millisecond.
 */
const SPIN_US = 1000
const SPINS = availableParallelism() > 2
const PROGRESS_MS = 200

function planOf({ plan, part }: GeneratorJob, seed: number): Plan {
  if (plan.shape === 'late') return planLate(plan, part)
  const whole = planRelease({ profile: plan.profile, sizes: plan.sizes, seed, part })
  return planUntil(whole, plan.untilS)
}

/** One round's claims and the connections that they go over. */
class RoundLoad {
  readonly flow: ClaimFlow
  readonly transport: Transport
  readonly #historyFile: string

  constructor(job: GeneratorJob, { roundId, seed, historyFile }: RoundJob) {
    const { pace, retries, part, transport, settings, target } = job
    this.#historyFile = historyFile
    this.flow = new ClaimFlow({ plan: planOf(job, seed), pace, seed: seed + part.index, retries })
    this.transport = TRANSPORTS[transport]({ ...settings, target: { ...target, roundId } }, this.flow)
  }

  async end(): Promise<RoundReport> {
    const { recorder } = this.flow
    this.transport.close()
    this.flow.abandon(NO_ANSWER)
    await recorder.history.save(this.#historyFile)
    return { ...recorder.summary(), lostConnections: this.transport.lost }
  }
}

class Generator {
  readonly #pace: Pace
  readonly #loads: readonly RoundLoad[]
  readonly #delay = monitorEventLoopDelay({ resolution: 10 })
  #cpu = process.cpuUsage()
  #startedUs = 0
  #opened = false
  #stopped = false
  #waiting = false

  constructor(job: GeneratorJob) {
    this.#pace = job.pace
    this.#loads = job.rounds.map(round => new RoundLoad(job, round))
  }

  async open(): Promise<void> {
    await Promise.all(this.#loads.map(({ transport }) => transport.open()))
    send({ type: 'ready', planned: this.#loads.reduce((sum, { flow }) => sum + flow.left, 0) })
  }

  start(startUs: number): void {
    this.#delay.enable()
    this.#cpu = process.cpuUsage()
    this.#startedUs = monotonicUs()
    for (const { flow } of this.#loads) flow.recorder.startUs = startUs
    setInterval(() => this.#progress(), PROGRESS_MS).unref()
    this.#turn()
  }

  openGate(openedUs: number): void {
    this.#opened = true
    for (const { flow } of this.#loads) flow.openGate(openedUs)
    if (this.#waiting) this.#turn()
  }

  stop(): void {
    this.#stopped = true
    if (this.#waiting) this.#turn()
  }

  /** One turn of the pacer: send what is due, then come back when more is. */
  #turn(): void {
    this.#waiting = false
    let waitUs = Number.POSITIVE_INFINITY
    for (const { flow, transport } of this.#loads) {
      flow.tick()
      if (!this.#stopped) transport.pump()
      waitUs = Math.min(waitUs, flow.waitUs())
    }
    if (this.#stopped || (this.#opened && this.#loads.every(({ flow }) => flow.finished))) void this.#finish()
    else if (!this.#opened && this.#loads.every(({ flow }) => flow.idle)) this.#wait()
    else if (SPINS && this.#pace === 'real' && waitUs < SPIN_US) setImmediate(() => this.#turn())
    else setTimeout(() => this.#turn(), 1)
  }

  /** Everything before the opening is answered: no turn comes until the gate opens or the run is stopped. */
  #wait(): void {
    this.#waiting = true
    send({ type: 'waiting' })
  }

  #progress(): void {
    const progress = { sent: 0, answered: 0, granted: 0, inFlight: 0 }
    for (const { recorder, flights } of this.#loads.map(({ flow }) => flow)) {
      progress.sent += recorder.sent
      progress.answered += recorder.history.length
      progress.granted += recorder.outcomes[0] ?? 0
      progress.inFlight += flights.count
    }
    send({ type: 'progress', ...progress })
  }

  async #finish(): Promise<void> {
    const cpu = process.cpuUsage(this.#cpu)
    const wallUs = monotonicUs() - this.#startedUs
    this.#delay.disable()
    const rounds: RoundReport[] = []
    for (const load of this.#loads) rounds.push(await load.end())
    const report: GeneratorReport = {
      cpuUs: cpu.user + cpu.system,
      wallUs,
      loopDelayP99Us: this.#delay.percentile(99) / 1000,
      loopDelayMaxUs: this.#delay.max / 1000,
      rounds,
    }
    send({ type: 'done', report })
  }
}

let generator: Generator | undefined

async function receive(message: ToGenerator): Promise<void> {
  if (message.type === 'job') {
    generator = new Generator(message.job)
    await generator.open()
  } else if (message.type === 'start') generator?.start(message.startUs)
  else if (message.type === 'opened') generator?.openGate(message.openedUs)
  else generator?.stop()
}

const send: (message: ToBench) => void = serveBench(receive)
