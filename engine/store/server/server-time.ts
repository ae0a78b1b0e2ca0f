/**
 * How far the server's clock is ahead of this machine's. The server looked at its clock somewhere between question and
 * answer, so what is reported is how far the two are apart at least: a slow answer is no difference. Rejected: the times in
 * the scripts' replies, since a round's time never goes back, whatever the server's does.
 */
import type { Clock } from '../../base/clock.ts'
import type { Finding } from '../../base/finding.ts'
import { CLOCK_APART_MS } from '../../base/limits.ts'
import type { Link } from '../connection/link.ts'

/** Clocks further apart than this are reported. */
const APART_MS = 5000

/** Milliseconds, less than 0 when the server's clock is behind. Throws Fault. */
export async function serverAheadMs(link: Link, clock: Clock): Promise<number> {
  const before = clock.monotonicMs()
  const time = await link.request(client => client.time())
  const way = (clock.monotonicMs() - before) / 2
  const ahead = Number(time[0]) * 1000 + Number(time[1]) / 1000 - (clock.wallMs() - way)
  return Math.round(Math.sign(ahead) * Math.max(0, Math.abs(ahead) - way))
}

function span(ms: number): string {
  if (ms < 120_000) return `${Math.round(ms / 1000)} s`
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} minutes`
  return ms < 172_800_000 ? `${Math.round(ms / 3_600_000)} hours` : `${Math.round(ms / 86_400_000)} days`
}

/** What a difference of the two clocks means, in words. */
export function clockWarnings(aheadMs: number): Finding[] {
  const apart = Math.abs(aheadMs)
  if (apart <= APART_MS) return []
  const what = `this machine's clock is ${span(apart)} ${aheadMs > 0 ? 'behind' : 'ahead of'} Redis's`
  const judged = 'tokens, business days and the times of changes are judged by the clock of Redis'
  return [
    {
      what: apart > CLOCK_APART_MS ? `${what}: ${judged}` : what,
      mend: 'run a time service (chrony) on both machines',
    },
  ]
}
