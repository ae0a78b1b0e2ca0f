/**
 * A generator process: makes its part of the plan, drives one transport, reports what happened.
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
import { ClaimFlow } from './claim-flow.ts'
import { HttpTransport } from './http-generator.ts'
import type { GeneratorJob, GeneratorReport, ToBench, ToGenerator } from './job.ts'
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

function planOf(job: GeneratorJob): Plan {
  if (job.plan.shape === 'late') return planLate(job.plan, job.part)
  const whole = planRelease({ profile: job.plan.profile, sizes: job.plan.sizes, seed: job.seed, part: job.part })
  return planUntil(whole, job.plan.untilS)
}

class Generator {
  readonly #job: GeneratorJob
  readonly #flow: ClaimFlow
  readonly #transport: Transport
  readonly #delay = monitorEventLoopDelay({ resolution: 10 })
  #cpu = process.cpuUsage()
  #startedUs = 0
  #opened = false
  #stopped = false
  #waiting = false

  constructor(job: GeneratorJob) {
    this.#job = job
    this.#flow = new ClaimFlow({
      plan: planOf(job),
      pace: job.pace,
      seed: job.seed + job.part.index,
      retries: job.retries,
    })
    this.#transport = TRANSPORTS[job.transport](job.settings, this.#flow)
  }

  async open(): Promise<void> {
    await this.#transport.open()
    send({ type: 'ready', planned: this.#flow.left })
  }

  start(startUs: number): void {
    this.#delay.enable()
    this.#cpu = process.cpuUsage()
    this.#startedUs = this.#flow.tick()
    this.#flow.recorder.startUs = startUs
    setInterval(() => this.#progress(), PROGRESS_MS).unref()
    this.#turn()
  }

  openGate(openedUs: number): void {
    this.#opened = true
    this.#flow.openGate(openedUs)
    if (this.#waiting) this.#turn()
  }

  stop(): void {
    this.#stopped = true
    if (this.#waiting) this.#turn()
  }

  /** One turn of the pacer: send what is due, then come back when more is. */
  #turn(): void {
    this.#waiting = false
    this.#flow.tick()
    if (!this.#stopped) this.#transport.pump()
    const waitUs = this.#flow.waitUs()
    if (this.#stopped || (this.#opened && this.#flow.finished)) void this.#finish()
    else if (!this.#opened && this.#flow.idle) this.#wait()
    else if (SPINS && this.#job.pace === 'real' && waitUs < SPIN_US) setImmediate(() => this.#turn())
    else setTimeout(() => this.#turn(), 1)
  }

  /** Everything before the opening is answered: no turn comes until the gate opens or the run is stopped. */
  #wait(): void {
    this.#waiting = true
    send({ type: 'waiting' })
  }

  #progress(): void {
    const { recorder, flights } = this.#flow
    send({
      type: 'progress',
      sent: recorder.sent,
      answered: recorder.history.length,
      granted: recorder.outcomes[0] ?? 0,
      inFlight: flights.count,
    })
  }

  async #finish(): Promise<void> {
    const { recorder } = this.#flow
    const cpu = process.cpuUsage(this.#cpu)
    const wallUs = monotonicUs() - this.#startedUs
    this.#delay.disable()
    this.#transport.close()
    this.#flow.abandon(NO_ANSWER)
    await recorder.history.save(this.#job.historyFile)
    const report: GeneratorReport = {
      ...recorder.summary(),
      cpuUs: cpu.user + cpu.system,
      wallUs,
      loopDelayP99Us: this.#delay.percentile(99) / 1000,
      loopDelayMaxUs: this.#delay.max / 1000,
      lostConnections: this.#transport.lost,
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
