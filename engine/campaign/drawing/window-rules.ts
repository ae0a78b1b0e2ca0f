/**
 * The rules of a window, as they are published before anybody may enter it: what is drawn, from which pools, by which
 * beacon, and when. A lottery has one window, from its opening to its close. A round in `window` mode has one after the
 * other; each is drawn from what the draws before it left, and has a secret of its own in the chain.
 */
import type { RoundSecrets } from '../../auth/draw-secrets.ts'
import { WINDOWS_MAX } from '../../base/limits.ts'
import { drandRoundAfter, QUICKNET, WindowSecrets } from '../../draw/beacon.ts'
import { sha256 } from '../../draw/digest.ts'
import { LEAF_RECORDS } from '../../draw/merkle.ts'
import { writeRules } from '../../draw/rules.ts'
import { lateness } from '../../draw/times.ts'
import type { WindowRules } from '../../store/data/draw-store.ts'
import type { PoolCount } from '../../store/data/notice.ts'
import type { DrawnAllocation, RoundConfig } from '../round/round-config.ts'

export interface WindowFacts {
  readonly config: RoundConfig
  readonly secrets: RoundSecrets
  readonly window: number
  /** Milliseconds since 1970. */
  readonly opensAt: number
  /** The end of the round, 0 for none. */
  readonly closesAt: number
  readonly pools: readonly PoolCount[]
}

const chains = new WeakMap<RoundSecrets, WindowSecrets>()

/** The operator's secret of a window, 32 bytes. */
export function beaconSecret(secrets: RoundSecrets, window: number): Buffer {
  const chain = chains.get(secrets) ?? new WindowSecrets(secrets.beacon, WINDOWS_MAX)
  chains.set(secrets, chain)
  return chain.of(window)
}

/** The list is to be committed before the public beacon exists: half a minute is ten rounds of quicknet. */
const COMMIT_WITHIN_MS = 30_000

const beaconAfter = (allocation: DrawnAllocation, closes: number): number =>
  (allocation.mode === 'lottery' ? Date.parse(allocation.draws_at) : closes) + COMMIT_WITHIN_MS

export function windowRules({ config, secrets, window, opensAt, closesAt, pools }: WindowFacts): WindowRules {
  const { allocation } = config
  if (allocation.mode === 'fcfs') throw new RangeError(`round ${config.id} is not drawn`)
  const full = allocation.mode === 'window' ? opensAt + allocation.window_ms : closesAt
  const closes = closesAt > opensAt ? Math.min(full, closesAt) : full
  const left = pools.map(({ total, granted }, place) => ({
    name: config.pools[place] as string,
    total: total - granted,
  }))
  const [opens_at, closes_at] = [new Date(opensAt).toISOString(), new Date(closes).toISOString()]
  const rules = writeRules({
    v: 1,
    round_id: config.id,
    mode: allocation.mode,
    ...(allocation.mode === 'window' ? { window } : {}),
    stock: left.reduce((sum, { total }) => sum + total, 0),
    pools: left,
    quota_order: allocation.quota_order,
    waitlist: allocation.waitlist,
    ...(allocation.mode === 'window' ? { window_ms: allocation.window_ms } : {}),
    opens_at,
    closes_at,
    may_end_early: allocation.may_end_early ?? false,
    beacon:
      allocation.beacon.kind === 'drand'
        ? { kind: 'drand', chain: QUICKNET.chain, round: drandRoundAfter(beaconAfter(allocation, closes)) }
        : { kind: 'commit', hash: sha256(beaconSecret(secrets, window)).toString('hex') },
    leaf_records: LEAF_RECORDS,
  })
  return { rules, closes, latest: opensAt + lateness({ opens_at, closes_at }) }
}
