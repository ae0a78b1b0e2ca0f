/**
 * The trial of an allocator: its own draws, then every known bias and every exhibit of the museum, which must be found.
 *
 * A battery that passes proves nothing until it is seen to fail. So the allocator is sound only if its own draws pass,
 * a second implementation came to the same winners, and each unfair lottery failed on the very test that is there for it.
 * The two forms differ in size alone: in the long one the biases have their published size and are found with 4.4 M
 * pooled winners, in the short one they are as much larger as fewer winners see less.
 *
 * All draws here are replayed: the trial says nothing about workers and sockets.
 */

import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { judge, type TestResult } from './battery.ts'
import { simulateDemand, type WindowShare } from './demand.ts'
import { type Inequality, inequalityOf } from './inequality.ts'
import { BIASES, type Unfair } from './lotteries.ts'
import { MUSEUM } from './museum.ts'
import { HONEST, type Repeated, type Replay, type Replayed, sumReplays } from './replay.ts'
import type { FromReplayer, ReplayJob } from './replayer.ts'

interface Form {
  readonly entrants: number
  readonly stock: number
  readonly draws: number
  readonly people: number
}

export const FORMS = {
  long: { entrants: 200_000, stock: 4400, draws: 1000, people: 1_000_000 },
  short: { entrants: 10_000, stock: 244, draws: 250, people: 100_000 },
} as const satisfies Record<string, Form>

export type FormName = keyof typeof FORMS

export interface Judged {
  readonly name: string
  readonly entrants: number
  readonly draws: number
  readonly winners: number
  readonly tests: readonly TestResult[]
}

export interface Canary extends Judged {
  readonly foundBy: string
  readonly found: boolean
}

export interface Trial {
  readonly schema: 1
  /** What the numbers are about: an allocator alone. */
  readonly claim: 'replayed draws'
  readonly form: FormName
  readonly seed: number
  readonly ok: boolean
  readonly judged: Judged
  readonly again: Repeated
  readonly inequality: Readonly<Record<string, Inequality>>
  /** How many times their published size the small biases were injected. */
  readonly strength: number
  readonly biases: readonly Canary[]
  readonly museum: readonly Canary[]
  readonly demand: readonly WindowShare[]
}

export interface TrialRequest {
  readonly form: FormName
  readonly seed: number
  /** One lottery to be judged alone; undefined for the allocator and, after it, all canaries. */
  readonly judged: string | undefined
  readonly progress: (played: { readonly name: string; readonly draws: number; readonly of: number }) => void
}

/** How much larger a bias has to be here to stand out as it does in the long form. */
function strengthOf({ entrants, stock, draws }: Form): number {
  const sharpness = (form: Form): number => form.draws * form.stock * (1 - form.stock / form.entrants)
  return Math.sqrt(sharpness(FORMS.long) / sharpness({ entrants, stock, draws, people: 0 }))
}

/** Plays all replays, each shared by all threads; the first thread says how far it is. */
async function playOnThreads(replays: readonly Replay[], progress: TrialRequest['progress']): Promise<Replayed[]> {
  const of = availableParallelism()
  const shares = Array.from({ length: of }, (_, index) => {
    const job: ReplayJob = { replays, share: { index, of } }
    const worker = new Worker(new URL('./replayer.ts', import.meta.url), { workerData: job })
    return new Promise<readonly Replayed[]>((resolve, reject) => {
      worker.on('error', reject)
      worker.on('exit', code => reject(new Error(`a thread of the trial ended with code ${code}`)))
      worker.on('message', (message: FromReplayer) => {
        if (message.type === 'done') resolve(message.replayed)
        else if (index === 0) progress(message)
      })
    })
  })
  const parts = await Promise.all(shares)
  return replays.map((_, place) => sumReplays(parts.map(part => part[place]!)))
}

function judgedOf({ name, entrants, draws }: Replay, { tally }: Replayed): Judged {
  return { name, entrants, draws, winners: tally.winners, tests: judge(tally) }
}

export async function runTrial({ form, seed, judged, progress }: TrialRequest): Promise<Trial> {
  const size = FORMS[form]
  const strength = strengthOf(size)
  const own: Replay = { ...size, name: judged ?? HONEST.name, seed, strength }
  const trying = judged === undefined ? { biases: BIASES, museum: MUSEUM } : { biases: [], museum: [] }
  const replays = [
    own,
    ...trying.biases.map(({ name }): Replay => ({ ...own, name })),
    ...trying.museum.map(
      ({ name, entrants, stock, draws }): Replay => ({ ...own, name, entrants, stock, draws, strength: 1 }),
    ),
  ]
  const played = await playOnThreads(replays, progress)
  const rows = played.map((one, place) => judgedOf(replays[place]!, one))
  const caught = ({ foundBy }: Unfair, row: Judged): Canary => {
    const found = row.tests.some(({ test, mark }) => test === foundBy && mark === 'fail')
    return { ...row, foundBy, found }
  }
  const biases = trying.biases.map((bias, place) => caught(bias, rows[1 + place]!))
  const museum = trying.museum.map((exhibit, place) => caught(exhibit, rows[1 + biases.length + place]!))
  const [verdict, { tally, again }] = [rows[0]!, played[0]!]
  const passed = verdict.tests.every(({ mark }) => mark !== 'fail') && again.different === 0
  return {
    schema: 1,
    claim: 'replayed draws',
    form,
    seed,
    ok: passed && [...biases, ...museum].every(({ found }) => found),
    judged: verdict,
    again,
    inequality: Object.fromEntries(Object.entries(tally.cells).map(([name, cells]) => [name, inequalityOf(cells)])),
    strength,
    biases,
    museum,
    demand: simulateDemand(size.people, seed),
  }
}

export const JUDGED = [HONEST, ...BIASES].map(({ name }) => name)
