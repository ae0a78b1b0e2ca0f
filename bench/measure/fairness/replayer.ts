/**
 * A thread that plays its share of several replays and posts their tallies: draws do not depend on each other.
 *
 * Threads, not processes: a replay measures no speed, and a tally with its wins by entrant crosses as it is. A thread
 * takes all replays of a trial, since starting one costs as much as a short replay.
 */

import { parentPort, workerData } from 'node:worker_threads'
import { playReplay, type Replay, type Replayed, type Share } from './replay.ts'

export interface ReplayJob {
  readonly replays: readonly Replay[]
  readonly share: Share
}

export type FromReplayer =
  | { readonly type: 'played'; readonly name: string; readonly draws: number; readonly of: number }
  | { readonly type: 'done'; readonly replayed: readonly Replayed[] }

const PROGRESS_EVERY = 20

const { replays, share } = workerData as ReplayJob
const replayed = replays.map(replay => {
  let draws = 0
  return playReplay(replay, share, () => {
    if (++draws % PROGRESS_EVERY !== 0) return
    const { name } = replay
    const played: FromReplayer = { type: 'played', name, draws, of: Math.ceil(replay.draws / share.of) }
    parentPort?.postMessage(played)
  })
})
parentPort?.postMessage({ type: 'done', replayed } satisfies FromReplayer)
