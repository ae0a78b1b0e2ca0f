/**
 * The viewers: a thousand sockets in two processes watch the stock go while others claim at a steady pace.
 *
 * The question is how old a stock frame is when it arrives, for all sockets and all frames, and whether everybody saw
 * the last one. Claims come at two thousand a second in an open loop, so that the stock changes all the time and the
 * fan-out, not the claiming, is the load. The frames go through the audit like everything else.
 */

import { join } from 'node:path'
import { Frames } from '../audit/frames.ts'
import { Member } from '../load/member.ts'
import type { FromViewers, ToViewers } from '../load/viewer.ts'
import { mergeLatencies } from '../measure/latency.ts'
import { figure, type MeasuredPart } from '../measure/result.ts'
import type { Stage } from '../stage.ts'
import { latencyFigures } from './claim-part.ts'
import { type Audience, type AudienceReport, runClaims } from './claim-run.ts'

const VIEWERS_DEFAULT = 1000
const VIEWER_PROCESSES = 2
/** Viewer numbers of a process begin at a multiple of this. */
const VIEWERS_PER_PROCESS = 65_536
const CLAIMS_PER_S = 2000

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
      const job = { url, key, roundId, sockets, firstViewer: index * VIEWERS_PER_PROCESS, framesFile }
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

export async function playViewers(stage: Stage): Promise<MeasuredPart[]> {
  const { options } = stage
  const people = Math.max(2, Math.round(CLAIMS_PER_S * options.seconds * (options.scale ?? 1)))
  const stock = Math.ceil(people * 0.8)
  const part = await runClaims(stage, {
    name: 'viewers of the stock',
    plan: { shape: 'late', sizes: { people, stock, bots: 0 }, taps: 1, secondsPerTap: options.seconds },
    transport: 'stream',
    pace: 'real',
    frame: options.frame,
    window: options.window,
    connections: 2,
    processes: 1,
    sameUsers: false,
    retries: false,
    expected: ['sold_out'],
    settings: { scenario: 'viewers', pace: 'real' },
    notes: ["the engine's cpu a claim holds the fan-out of the frames, which is most of it"],
    audience: round => new Watching(stage, round.id).ready(),
  })
  const late = part.figures.find(({ name }) => name === 'viewers without the last frame')?.value ?? 0
  if (late === 0) return [part]
  return [{ ...part, problems: [...part.problems, `${late} viewers never saw the last stock frame`] }]
}
