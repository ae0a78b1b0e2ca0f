/**
 * The redemption loop: a process that takes vouchers through their scripts, one request a connection at a time.
 *
 * Each tiller owns a connection and one voucher; when the voucher's script is done it takes the next one. Answers are
 * checked as they come: the status, the body of a repeat against the first body, the sum of discount and payment
 * against the order. What is wrong is kept with its text, up to a handful.
 */

import { readFile, writeFile } from 'node:fs/promises'
import type { Told } from '../audit/redemption-audit.ts'
import { Latency } from '../measure/latency.ts'
import { Random } from '../people/random.ts'
import { HttpConnection, type HttpOwner } from './http-connection.ts'
import { serveBench } from './member.ts'
import { monotonicUs } from './recorder.ts'
import { REDEMPTION_ID, type Step, type StepKind, scriptOf } from './redeem-script.ts'

export interface RedeemJob {
  readonly url: string
  readonly key: string
  /** A JSON array of voucher codes. */
  readonly codesFile: string
  readonly connections: number
  readonly seed: number
  /** Where the redemptions and reversals that were answered go, as JSON. */
  readonly toldFile: string
}

export interface RedeemReport {
  readonly counts: Readonly<Record<StepKind, number>>
  readonly latency: string
  readonly lockLatency: string
  readonly wallUs: number
  readonly cpuUs: number
  readonly lost: number
  readonly wrong: number
  readonly examples: readonly string[]
}

export type ToRedeemer =
  | { readonly type: 'job'; readonly job: RedeemJob }
  | { readonly type: 'start' }
  | { readonly type: 'stop' }
export type FromRedeemer = { readonly type: 'ready' } | { readonly type: 'done'; readonly report: RedeemReport }

const EXAMPLES_MAX = 5
/** Objections that begin alike are one example: five times the same sentence would hide the sixth. */
const ALIKE_LETTERS = 45

class Counter {
  readonly #codes: readonly string[]
  readonly #random: Random
  #next = 0
  wrong = 0
  stopped = false
  readonly examples: string[] = []
  readonly counts: Record<StepKind, number> = { lock: 0, unlock: 0, redeem: 0, repeat: 0, second: 0, reverse: 0 }
  readonly latency = new Latency()
  readonly lockLatency = new Latency()
  readonly told = { redemptions: [] as Told[], reversals: [] as Told[] }

  constructor(codes: readonly string[], seed: number) {
    this.#codes = codes
    this.#random = new Random(seed, 0x0de)
  }

  nextScript(): Step[] | undefined {
    const code = this.stopped ? undefined : this.#codes[this.#next++]
    return code === undefined ? undefined : scriptOf(code, this.#next, this.#random)
  }

  objection(text: string): void {
    this.wrong++
    const alike = this.examples.some(example => example.slice(0, ALIKE_LETTERS) === text.slice(0, ALIKE_LETTERS))
    if (!alike && this.examples.length < EXAMPLES_MAX) this.examples.push(text)
  }
}

class Tiller implements HttpOwner {
  readonly connection: HttpConnection
  readonly #counter: Counter
  readonly #job: RedeemJob
  readonly #done: () => void
  #script: Step[] = []
  #step: Step | undefined
  #body = ''
  #redemptionId = ''
  #merchant = ''
  #resent = false
  #sentUs = 0

  constructor(job: RedeemJob, counter: Counter, done: () => void) {
    this.#job = job
    this.#counter = counter
    this.#done = done
    this.connection = new HttpConnection(job.url, this)
  }

  proceed(): void {
    if (this.#script.length === 0) this.#script = this.#counter.nextScript() ?? []
    this.#step = this.#script.shift()
    if (this.#step !== undefined) return this.#send(this.#step)
    // A connection that stays would be closed for its idleness, and opening it again would count this till twice.
    this.connection.close()
    this.#done()
  }

  answered(status: number, body: Buffer): void {
    const step = this.#step
    if (step === undefined) return
    const latency = step.kind === 'lock' ? this.#counter.lockLatency : this.#counter.latency
    if (step.kind === 'lock' || step.kind === 'redeem') latency.record(monotonicUs() - this.#sentUs)
    this.#counter.counts[step.kind]++
    const text = body.toString('utf8')
    const again = this.#resent && step.status === 201 && status === 200
    this.#resent = false
    if (status !== step.status && !again) {
      this.#counter.objection(`${step.kind} was answered ${status} in place of ${step.status}: ${text.slice(0, 300)}`)
      this.#script = []
    } else this.#check(step, text)
    this.proceed()
  }

  /** A redemption is asked again with its own key, which is what the key is for; so is everything else. */
  broken(): void {
    if (this.#step === undefined) return
    this.#script.unshift(this.#step)
    this.#resent = true
  }

  reopened(): void {
    this.proceed()
  }

  #check(step: Step, text: string): void {
    if (step.kind === 'repeat' && text !== this.#body) {
      this.#counter.objection(`a repeat was answered ${text.slice(0, 300)} after ${this.#body.slice(0, 300)}`)
    }
    if (step.kind === 'second' && !text.includes('"already_redeemed"'))
      this.#counter.objection(`a second redemption: ${text}`)
    if (step.kind === 'reverse') {
      const { id, amount } = JSON.parse(text) as { id: string; amount: number }
      this.#counter.told.reversals.push({ id, amount, merchant: this.#merchant })
    }
    if (step.kind !== 'redeem') return
    this.#body = text
    const told = JSON.parse(text) as { id: string; discount_amount: number; payer_amount: number; merchant_id: string }
    this.#redemptionId = told.id
    this.#merchant = told.merchant_id
    this.#counter.told.redemptions.push({ id: told.id, amount: told.discount_amount, merchant: told.merchant_id })
    if (told.discount_amount + told.payer_amount !== step.amount) {
      this.#counter.objection(
        `an order of ${step.amount} was split into ${told.discount_amount} and ${told.payer_amount}`,
      )
    }
  }

  #send(step: Step): void {
    const { pathname, host } = new URL(this.#job.url)
    const path = `${pathname.replace(/\/$/, '')}${step.path.replace(REDEMPTION_ID, this.#redemptionId)}`
    const head = [
      `POST ${path} HTTP/1.1`,
      `Host: ${host}`,
      `Authorization: Bearer ${this.#job.key}`,
      'Content-Type: application/json',
      ...(step.idempotencyKey === undefined ? [] : [`Idempotency-Key: ${step.idempotencyKey}`]),
      `Content-Length: ${step.body.length}`,
    ]
    this.#sentUs = monotonicUs()
    this.connection.send(Buffer.from(`${head.join('\r\n')}\r\n\r\n${step.body}`))
  }
}

class Redeemer {
  readonly #counter: Counter
  readonly #tillers: readonly Tiller[]
  readonly #idle = Promise.withResolvers<void>()
  readonly #toldFile: string
  #busy: number

  constructor(job: RedeemJob, codes: readonly string[]) {
    this.#counter = new Counter(codes, job.seed)
    this.#busy = job.connections
    this.#toldFile = job.toldFile
    this.#tillers = Array.from(
      { length: job.connections },
      () => new Tiller(job, this.#counter, () => this.#finished()),
    )
  }

  async open(): Promise<void> {
    await Promise.all(this.#tillers.map(tiller => tiller.connection.open()))
  }

  stop(): void {
    this.#counter.stopped = true
  }

  async run(): Promise<RedeemReport> {
    const startedUs = monotonicUs()
    const cpu = process.cpuUsage()
    for (const tiller of this.#tillers) tiller.proceed()
    await this.#idle.promise
    const wallUs = monotonicUs() - startedUs
    const used = process.cpuUsage(cpu)
    for (const tiller of this.#tillers) tiller.connection.close()
    const { counts, latency, lockLatency, wrong, examples } = this.#counter
    return {
      counts,
      latency: latency.encode(),
      lockLatency: lockLatency.encode(),
      wallUs,
      cpuUs: used.user + used.system,
      lost: this.#tillers.reduce((sum, tiller) => sum + tiller.connection.lost, 0),
      wrong,
      examples,
    }
  }

  writeTold(): Promise<void> {
    return writeFile(this.#toldFile, JSON.stringify(this.#counter.told))
  }

  #finished(): void {
    if (--this.#busy === 0) this.#idle.resolve()
  }
}

let redeemer: Redeemer | undefined

const send: (message: FromRedeemer) => void = serveBench<ToRedeemer>(async message => {
  if (message.type === 'job') {
    redeemer = new Redeemer(message.job, JSON.parse(await readFile(message.job.codesFile, 'utf8')) as string[])
    await redeemer.open()
    send({ type: 'ready' })
  } else if (message.type === 'stop') redeemer?.stop()
  else if (redeemer !== undefined) {
    const report = await redeemer.run()
    await redeemer.writeTold()
    send({ type: 'done', report })
  }
})
