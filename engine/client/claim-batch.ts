/**
 * Claims of many users at once, for a platform's own server: up to 4,096 go as one request, and what has no certain result yet
 * is asked again, alone, until the deadline. Results come in the order asked.
 *
 * A claim whose answer was once in doubt stays in doubt until it is certain, whatever a busy engine says later. Rejected:
 * asking the whole batch again. It would be right, and ten thousand certain answers would be paid for twice.
 */
import {
  type ClaimOptions,
  claimBody,
  claimPath,
  type Granted,
  grantOf,
  isSaid,
  type NotNow,
  type RoundSays,
} from './claim.ts'
import { type NotDone, notDone, type Refused } from './ending.ts'
import { BUSY, DEADLINE_MS, insist, LEAST_MS, type Patience, pause, waitBefore } from './patience.ts'
import { fits, isDone, isText, type Transport } from './transport.ts'

/** One of the claims. */
export type BatchClaim = Pick<ClaimOptions, 'pool' | 'slot'> & { readonly user: string }

/** What became of one: a grant with its vouchers, or how it ended. A draw's receipt comes with `claim`. */
export type BatchResult =
  | Granted
  | { readonly outcome: 'entered' | RoundSays['outcome'] | NotNow['outcome'] }
  | ({
      readonly outcome: NotDone['outcome']
      readonly code?: string | undefined
      readonly executed: NotDone['executed']
      /** Where the whole batch was not done: also what `claim` says of it, such as what is wrong. */
    } & Partial<Pick<Refused, 'status' | 'detail' | 'body'>>)

const BATCH_MAX = 4096
const DOUBTFUL = ['unknown', 'internal']

interface Item {
  readonly outcome: string
  readonly claim?: unknown
}

const isOpen = ({ outcome }: Item): boolean => [...BUSY, 'rate_limited', ...DOUBTFUL].includes(outcome)

function resultOf(item: Item, inDoubt: boolean): BatchResult {
  const { outcome: code } = item
  if (code === 'granted' || code === 'entered' || isSaid(code, inDoubt)) return item as BatchResult
  const executed = inDoubt ? 'maybe' : 'no'
  if (!isOpen(item)) return { outcome: 'refused', code, executed }
  return inDoubt ? { outcome: 'unknown', executed } : { outcome: 'not_executed', code, executed }
}

class Batch {
  readonly #claims: readonly BatchClaim[]
  readonly results: BatchResult[]
  /** The places of those without a certain result, and of those that may have been executed. */
  pending: readonly number[]
  readonly #doubted = new Set<number>()

  constructor(claims: readonly BatchClaim[]) {
    this.#claims = claims
    this.results = claims.map(() => ({ outcome: 'not_executed', executed: 'no' }))
    this.pending = claims.map((_, place) => place)
  }

  /** One request for all that is pending. True when it was answered one by one. */
  async ask(transport: Transport, round: string, patience: Patience): Promise<boolean> {
    const asked = this.pending
    const claims = asked.map(place => claimBody(this.#claims[place] as BatchClaim))
    const path = `${claimPath(round)}/batch?vouchers=true`
    const resultFor = (place: number) => (item: unknown) =>
      fits(
        item,
        fits(item, { outcome: 'granted' }) ? grantOf(round, this.#claims[place] as BatchClaim) : { outcome: isText },
      )
    const results = { length: asked.length, ...(asked.map(resultFor) as object) }
    const settled = await insist(transport, { method: 'POST', path, body: { claims }, expects: { results } }, patience)
    const { answer, inDoubt } = settled
    if (!isDone(answer)) {
      for (const place of asked) this.results[place] = notDone({ answer, inDoubt: inDoubt || this.#doubted.has(place) })
      return false
    }
    this.pending = asked.filter((place, i) => {
      const item = (answer.body.results as Item[])[i] as Item
      if (inDoubt || DOUBTFUL.includes(item.outcome)) this.#doubted.add(place)
      this.results[place] = resultOf(item, this.#doubted.has(place))
      return isOpen(item)
    })
    return this.pending.length > 0
  }
}

/** Claims for users; the deadline is that of each 4,096. */
export async function claimBatch(
  transport: Transport,
  round: string,
  claims: readonly BatchClaim[],
  patience: Patience = {},
): Promise<readonly BatchResult[]> {
  const end = performance.now() + (patience.deadlineMs ?? DEADLINE_MS)
  const batch = new Batch(claims.slice(0, BATCH_MAX))
  const left = () => end - performance.now()
  for (let attempt = 2; batch.pending.length > 0; attempt++) {
    if (!(await batch.ask(transport, round, { ...patience, deadlineMs: left() }))) break
    const waitMs = waitBefore(attempt, undefined)
    if (left() - waitMs < LEAST_MS) break
    await pause(waitMs, patience.signal)
  }
  if (claims.length <= BATCH_MAX) return batch.results
  return [...batch.results, ...(await claimBatch(transport, round, claims.slice(BATCH_MAX), patience))]
}
