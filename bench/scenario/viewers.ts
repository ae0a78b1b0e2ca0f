/**
 * The viewers: sockets in two processes watch the stock go while others drain it as fast as they can.
 *
 * Two questions: how old is a stock frame when it arrives, over all sockets and all frames, and what does the showing
 * cost those who claim? So the same drain is played twice, alone and watched, in one run. The frames go through the
 * audit like everything else, and everybody has to see the last one. With more viewers than a worker may have sockets
 * (the limit is on open files) the bench starts the engine with as many workers as they need.
 */

import { platform } from 'node:os'
import { join } from 'node:path'
import { Frames } from '../audit/frames.ts'
import { Member } from '../load/member.ts'
import type { FromViewers, ToViewers } from '../load/viewer.ts'
import { mergeLatencies } from '../measure/latency.ts'
import { figure, type MeasuredPart } from '../measure/result.ts'
import { latencyFigures } from './claim-part.ts'
import { runClaims } from './claim-run.ts'
import type { Audience, AudienceReport, ClaimRun } from './planned-run.ts'
import type { Stage } from './stage.ts'

const VIEWERS_DEFAULT = 1000
const VIEWER_PROCESSES = 2
/** Viewer numbers of a process begin at a multiple of this. */
const VIEWERS_PER_PROCESS = 65_536
/** About what two cores grant a second, so that `--seconds` is roughly the length of a drain. */
const CLAIMS_PER_S = 200_000

type ViewerMember = Member<ToViewers, FromViewers>

class Watching implements Audience {
  readonly #members: readonly ViewerMember[]
  readonly #files: readonly string[]
  readonly #sockets: number

  constructor(stage: Stage, roundId: string) {
    const sockets = Math.ceil((stage.options.connections ?? VIEWERS_DEFAULT) / VIEWER_PROCESSES)
    this.#sockets = sockets * VIEWER_PROCESSES
    this.#files = Array.from({ length: VIEWER_PROCESSES }, (_, index) => join(stage.scratch, `frames-${index}.bin`))
    this.#members = this.#files.map((framesFile, index) => {
      const member: ViewerMember = new Member('./viewer.ts')
      const { url, key } = stage.engine
      const from = ownAddress(url, index)
      const job = { url, key, roundId, sockets, firstViewer: index * VIEWERS_PER_PROCESS, framesFile, from }
      member.send({ type: 'job', job })
      return member
    })
  }

  async ready(): Promise<this> {
    await Promise.all(this.#members.map(member => member.wait('ready')))
    return this
  }

  async leave(version: number): Promise<AudienceReport> {
    for (const member of this.#members) member.send({ type: 'leave', version })
    const reports = (await Promise.all(this.#members.map(member => member.wait('done')))).map(done => done.report)
    const frames = new Frames()
    for (const file of this.#files) await frames.load(file)
    const ages = mergeLatencies(reports.map(report => report.ages))
    const sum = (key: 'frames' | 'current' | 'closed') => reports.reduce((total, report) => total + report[key], 0)
    return {
      frames,
      ages,
      figures: [
        figure('viewers', this.#sockets, 'sockets'),
        figure('frames received', sum('frames'), 'frames'),
        figure('viewers without the last frame', this.#sockets - sum('current'), 'sockets', 'lower'),
        figure('viewers who were closed', sum('closed'), 'sockets', 'lower'),
        ...latencyFigures('frame age', ages),
      ],
    }
  }

  kill(): void {
    for (const member of this.#members) member.kill()
  }
}

/** Where Linux gives all of 127/8 to the loopback, each process comes from an address of its own, with its own ports. */
function ownAddress(url: string, index: number): string | undefined {
  return platform() === 'linux' && new URL(url).hostname === '127.0.0.1' ? `127.0.0.${index + 2}` : undefined
}

/** The drain alone, then the same drain under the eyes of the viewers: what do they cost those who claim? */
export async function* playViewers(stage: Stage): AsyncGenerator<MeasuredPart> {
  const { options } = stage
  const people = Math.max(2, Math.round(CLAIMS_PER_S * options.seconds * (options.scale ?? 1)))
  const drain: Omit<ClaimRun, 'name'> = {
    plan: { shape: 'late', sizes: { people, stock: people, bots: 0 }, taps: 1, secondsPerTap: 1 },
    transport: 'stream',
    pace: 'max',
    frame: options.frame,
    window: options.window,
    connections: 4,
    processes: 1,
    sameUsers: false,
    retries: true,
    expected: ['overloaded'],
    settings: { scenario: 'viewers', people },
  }
  const alone = await runClaims(stage, { ...drain, name: 'drain without viewers' })
  const unwatched = rateOf(alone)
  yield alone
  const watched = await runClaims(stage, {
    ...drain,
    name: 'drain with viewers',
    notes: ["the engine's cpu a claim holds the fan-out of the frames"],
    audience: round => new Watching(stage, round.id).ready(),
  })
  yield judged(watched, rateOf(watched) / unwatched)
}

const valueIn = (part: MeasuredPart, name: string): number => part.figures.find(one => one.name === name)?.value ?? 0
const rateOf = (part: MeasuredPart): number => valueIn(part, 'grants')

/** Adds what the viewers cost, and a problem when somebody never saw the end. */
function judged(part: MeasuredPart, ratio: number): MeasuredPart {
  const figures = [figure('grants/s against no viewers', ratio, '×', 'higher'), ...part.figures]
  const late = valueIn(part, 'viewers without the last frame')
  if (late === 0) return { ...part, figures }
  return { ...part, figures, problems: [...part.problems, `${late} viewers never saw the last stock frame`] }
}
