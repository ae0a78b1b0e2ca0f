/**
 * The crew: the generator processes of one run, started, brought into step and stopped as one.
 *
 * Users are split by index, so a natural key never has two processes asking for it at once unless the scenario wants
 * exactly that (`sameUsers`). Every process plays its part of all rounds. The crew waits until all are ready, opens the gate for all in the same turn, and merges
 * what they report.
 *
 * Worker threads were rejected: their CPU could not be told apart from the bench's own in /proc.
 */

import { unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { History } from '../audit/history.ts'
import type { GeneratorJob, GeneratorReport, Progress, ToBench, ToGenerator } from './job.ts'
import { Member } from './member.ts'
import { monotonicUs } from './recorder.ts'

/** Connection numbers of a process begin at a multiple of this; the history has 16 bits for them. */
export const CONNECTIONS_PER_PROCESS = 2048

export interface CrewJob extends Omit<GeneratorJob, 'part' | 'rounds'> {
  readonly roundIds: readonly string[]
  readonly seed: number
  readonly processes: number
  /** Every process asks for all users: repeats of a claim meet each other in the engine. */
  readonly sameUsers: boolean
  readonly directory: string
}

export interface CrewReport {
  /** A history a round, of all processes. */
  readonly histories: readonly History[]
  readonly generators: readonly GeneratorReport[]
}

export type Opening =
  | { readonly at: 'agreed'; readonly openedUs: number }
  | { readonly at: 'after-early'; readonly open: () => Promise<void> }

/** The histories of one round, which every process wrote into a file of its own. */
async function merged(files: readonly string[]): Promise<History> {
  const history = new History()
  for (const file of files) {
    await history.load(file)
    await unlink(file)
  }
  return history
}

export class Crew {
  readonly #members: readonly Member<ToGenerator, ToBench>[]
  readonly #jobs: readonly GeneratorJob[]

  constructor(job: CrewJob) {
    const { plan, pace, retries, transport, target } = job
    const connections = Math.max(1, Math.ceil(job.settings.connections / job.processes))
    this.#jobs = Array.from({ length: job.processes }, (_, index) => ({
      ...{ plan, pace, retries, transport, target },
      part: job.sameUsers ? { index: 0, of: 1 } : { index, of: job.processes },
      settings: { ...job.settings, connections, firstConnection: index * CONNECTIONS_PER_PROCESS },
      rounds: job.roundIds.map((roundId, round) => ({
        roundId,
        seed: job.seed + round,
        historyFile: join(job.directory, `history-${index}-${round}.bin`),
      })),
    }))
    this.#members = this.#jobs.map(one => {
      const member = new Member<ToGenerator, ToBench>('./generator.ts')
      member.send({ type: 'job', job: one })
      return member
    })
  }

  get progress(): Progress {
    const parts = this.#members.map(member => member.latest('progress'))
    const sum = (key: keyof Progress) => parts.reduce((total, part) => total + (part?.[key] ?? 0), 0)
    return { sent: sum('sent'), answered: sum('answered'), granted: sum('granted'), inFlight: sum('inFlight') }
  }

  /** Waits for the plans and the connections; says how many claims are planned. */
  async ready(): Promise<number> {
    const ready = await Promise.all(this.#members.map(member => member.wait('ready')))
    return ready.reduce((sum, message) => sum + message.planned, 0)
  }

  /** Runs to the end of the plan, or until `stop`. */
  async run(startUs: number, opening: Opening): Promise<CrewReport> {
    if (opening.at === 'agreed') this.#all({ type: 'opened', openedUs: opening.openedUs })
    this.#all({ type: 'start', startUs })
    if (opening.at === 'after-early') {
      await Promise.all(this.#members.map(member => Promise.race([member.wait('waiting'), member.wait('done')])))
      await opening.open()
      this.#all({ type: 'opened', openedUs: monotonicUs() })
    }
    const done = await Promise.all(this.#members.map(member => member.wait('done')))
    const files = this.#jobs.map(({ rounds }) => rounds.map(({ historyFile }) => historyFile))
    const histories: History[] = []
    for (const round of files[0]?.keys() ?? []) histories.push(await merged(files.map(of => of[round] as string)))
    return { histories, generators: done.map(message => message.report) }
  }

  /** Ends the load early; what was answered so far is reported. */
  stop(): void {
    this.#all({ type: 'stop' })
  }

  kill(): void {
    for (const member of this.#members) member.kill()
  }

  #all(message: ToGenerator): void {
    for (const member of this.#members) member.send(message)
  }
}
