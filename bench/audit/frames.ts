/**
 * The viewers' record: every stock frame that a watching socket was sent, in the order in which it came.
 *
 * A viewer is one socket: a new connection is a new viewer, since it may reach another worker and starts with a
 * snapshot. Numbers must be unique over all processes of a run (process index times 65,536 plus socket, say). An
 * epoch is an opaque text on the wire and 32 bits of its hash here: the audit only asks whether two of them are the
 * same. Buffers of several processes may be appended in any order, because one viewer lives in one process.
 *
 * Rejected: recording only what a viewer shows after he dropped old frames. The rule of dropping would hide the very
 * fault that the audit looks for.
 */
import { Columns, fingerprint } from './columns.ts'

const SHAPE = {
  received: 'f64',
  version: 'f64',
  viewer: 'u32',
  epoch: 'u32',
  total: 'u32',
  granted: 'u32',
  remaining: 'u32',
} as const

export interface Frame {
  readonly received: number
  readonly viewer: number
  readonly epoch: string
  readonly version: number
  readonly total: number
  readonly granted: number
  readonly remaining: number
}

export class Frames extends Columns<typeof SHAPE> {
  constructor(capacity?: number) {
    super(SHAPE, capacity)
  }

  push(frame: Frame): void {
    const place = this.next()
    const { at } = this
    at.received[place] = frame.received
    at.version[place] = frame.version
    at.viewer[place] = frame.viewer
    at.epoch[place] = fingerprint(frame.epoch)
    at.total[place] = frame.total
    at.granted[place] = frame.granted
    at.remaining[place] = frame.remaining
  }
}
