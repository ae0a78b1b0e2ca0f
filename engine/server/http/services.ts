/**
 * What the routes and the stream may use: the parts that main.ts put together, and nothing else. A request that passed
 * the gateway is a Call; what a route gives back is an Answer.
 */
import type { Caller, Callers } from '../../auth/callers.ts'
import type { Clock } from '../../base/clock.ts'
import type { Code } from '../../base/codes.ts'
import type { Draws } from '../../campaign/drawing/draws.ts'
import type { FinalLists } from '../../campaign/drawing/final-lists.ts'
import type { Ledger } from '../../campaign/money/ledger.ts'
import type { Reports } from '../../campaign/money/report.ts'
import type { Settlements } from '../../campaign/money/settlement.ts'
import type { ChangeLog } from '../../campaign/operator/change-log.ts'
import type { Lifecycle } from '../../campaign/operator/lifecycle.ts'
import type { Rounds } from '../../campaign/round/rounds.ts'
import type { Controls } from '../../campaign/voucher/controls.ts'
import type { Histories } from '../../campaign/voucher/histories.ts'
import type { Merchants } from '../../campaign/voucher/merchants.ts'
import type { Promotions } from '../../campaign/voucher/promotions.ts'
import type { Redemption } from '../../campaign/voucher/redemption.ts'
import type { UserClaims } from '../../campaign/voucher/user-claims.ts'
import type { Vouchers } from '../../campaign/voucher/vouchers.ts'
import type { HealthReport } from '../../ops/health.ts'
import type { Metrics } from '../../ops/metrics.ts'
import type { Store } from '../../store/store.ts'
import type { Encoding } from '../../wire/encoding.ts'
import type { RateLimits } from './rate-limits.ts'
import type { Exchange, Headers } from './uws.ts'

export interface Services {
  readonly clock: Clock
  readonly callers: Callers
  readonly rates: RateLimits
  readonly store: Store
  readonly rounds: Rounds
  readonly lifecycle: Lifecycle
  readonly draws: Draws
  readonly promotions: Promotions
  readonly finalLists: FinalLists
  readonly changeLog: ChangeLog
  readonly controls: Controls
  readonly vouchers: Vouchers
  readonly userClaims: UserClaims
  readonly histories: Histories
  readonly redemption: Redemption
  readonly ledger: Ledger
  readonly settlements: Settlements
  readonly reports: Reports
  readonly merchants: Merchants
  readonly metrics: Metrics
  /** What a drain waits for besides claims: requests that a route has not answered yet. */
  readonly underWay: { requests: number }
  /** Resolves when what is not found in Redis was not lost with everything; else throws Fault `fenced`. */
  readonly kept: () => Promise<void>
  readonly health: () => HealthReport
  /** The metrics of all workers of this node, as Prometheus's text. */
  readonly metricsText: () => Promise<string>
}

/** One request that passed the gateway. */
export interface Call {
  readonly exchange: Exchange
  readonly caller: Caller
  readonly params: readonly string[]
  readonly query: URLSearchParams
  /** Validated by the route's schema; undefined where it has none. */
  readonly body: unknown
  readonly encoding: Encoding
}

/** What a route answers: a value to encode, or text that is encoded already, or nothing when it answered by itself. */
export interface Answer {
  readonly status: number
  readonly body?: unknown
  /** JSON that must reach the client byte for byte. */
  readonly json?: string
  readonly text?: { readonly type: string; readonly content: string | Uint8Array }
  readonly headers?: Headers
  readonly code?: Code
}
