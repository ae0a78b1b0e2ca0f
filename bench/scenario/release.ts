/**
 * The release: people, bots, double taps and losers who try again, as the profile says, over one or both transports.
 *
 * Without flags the bench runs it twice in under a minute: a fifth of the release over the stream (platforms send
 * frames of many claims) and a fiftieth over HTTP (a claim a request), both in the plan's order as fast as it goes.
 * At the pace `real` the plan ends a quarter after the historical sell-out; the tail of late people would only
 * lengthen the run.
 */

import type { MeasuredPart } from '../measure/result.ts'
import { DRAW_BOTS, PROFILES, sizesOf } from '../people/profile.ts'
import type { Options } from '../stage/options.ts'
import { runClaims } from './claim-run.ts'
import type { ClaimRun } from './planned-run.ts'
import type { Stage } from './stage.ts'

const DEFAULTS = {
  stream: { scale: 0.2, connections: 4 },
  http: { scale: 0.02, connections: 64 },
} as const

const AFTER_SOLD_OUT = 1.25
const REAL_PACE_MIN_S = 15
/** At the pace max a plan has no clock: its one window ends when everybody has entered and the bench closes the round. */
const WINDOW_MS = { real: 3000, max: 3_600_000 } as const

export function releaseRun(options: Options, transport: 'http' | 'stream'): ClaimRun {
  const drawn = options.allocation === 'window'
  const profile = drawn ? { ...PROFILES[options.profile], entryTaps: DRAW_BOTS.taps } : PROFILES[options.profile]
  const scale = options.scale ?? DEFAULTS[transport].scale
  const untilS =
    options.pace === 'real' ? Math.max(REAL_PACE_MIN_S, profile.soldOutS * AFTER_SOLD_OUT) : Number.POSITIVE_INFINITY
  return {
    name: `${profile.name} over ${transport}`,
    plan: { shape: 'release', profile, sizes: sizesOf(profile, scale), untilS },
    transport,
    pace: options.pace,
    frame: options.frame,
    window: options.window,
    connections: options.connections ?? DEFAULTS[transport].connections,
    processes: options.processes,
    sameUsers: false,
    retries: true,
    expected: drawn ? ['sold_out', 'not_open', 'closed'] : ['sold_out', 'not_open'],
    strict: options.allocation === 'strict',
    ...(drawn ? { windowMs: options['window-ms'] ?? WINDOW_MS[options.pace] } : {}),
    settings: {
      profile: profile.name,
      scale,
      transport,
      pace: options.pace,
      ...(drawn ? { allocation: 'window', 'window-ms': options['window-ms'] ?? WINDOW_MS[options.pace] } : {}),
      ...(options.allocation === 'strict' ? { allocation: 'strict' } : {}),
      ...(transport === 'stream' ? { frame: options.frame, window: options.window } : {}),
    },
  }
}

export async function* playRelease(stage: Stage): AsyncGenerator<MeasuredPart> {
  const { options } = stage
  const transports = options.transport === undefined ? (['stream', 'http'] as const) : [options.transport]
  for (const transport of transports) {
    if (stage.interrupted.aborted) break
    yield await runClaims(stage, releaseRun(options, transport))
  }
}
