/**
 * A round as everybody may see it, read with the same patience as everything else, and how long it is until it opens.
 *
 * The countdown runs on the engine's clock, which the stream has, and ends by the stream, too: when the round opens earlier by
 * hand, or its time has come. Rejected: a countdown from `opens_at` and the clock of the machine in front of the person.
 */
import { EngineError } from './ending.ts'
import { insist, type Patience } from './patience.ts'
import type { RoundWatch, WatchOptions } from './stock.ts'
import type { StockFrame } from './stream.ts'
import { inPath, isDone, type Transport } from './transport.ts'

export interface Round {
  readonly id: string
  readonly campaign_id: string
  readonly name?: string
  readonly state: 'scheduled' | 'open' | 'paused' | 'sold_out' | 'closed' | 'fenced' | 'drawing' | 'drawn'
  /** Null: by hand. */
  readonly opens_at: string | null
  readonly closes_at: string | null
  readonly allocation: Readonly<Record<string, unknown>> & { readonly mode: 'fcfs' | 'window' | 'lottery' }
  readonly stock: Pick<StockFrame, 'total' | 'granted' | 'remaining' | 'quarantined' | 'epoch' | 'version'>
  readonly pools: NonNullable<StockFrame['pools']>
}

const SECOND_MS = 1000

/** A round; throws EngineError where there is none, or none could be read in time. */
export async function readRound(transport: Transport, roundId: string, patience?: Patience): Promise<Round> {
  const path = `/v1/rounds/${inPath(roundId)}`
  const settled = await insist(transport, { path, expects: { id: roundId } }, patience)
  if (!isDone(settled.answer)) throw new EngineError(settled, path)
  return settled.answer.body as unknown as Round
}

/**
 * Whole milliseconds until a round opens, now and at each full second; null while it opens by hand. Ends when it opens, or does not
 * wait for its opening any more.
 */
export async function* countdown(
  { transport, watch }: { readonly transport: Transport; readonly watch: RoundWatch },
  roundId: string,
  { signal }: WatchOptions = {},
): AsyncGenerator<number | null> {
  const { opens_at: opensAt } = await readRound(transport, roundId, { signal })
  const opens = Date.parse(opensAt ?? '') || null
  let state: string | undefined
  let shown: number | null | undefined
  let failure: unknown
  let isNews = false
  let wake = () => {}
  const tell = () => {
    isNews = true
    wake()
  }
  const leave = watch.add(roundId, {
    received: frame => {
      state = frame.state
      tell()
    },
    missed: () => {},
    failed: error => {
      failure = error
      tell()
    },
  })
  signal?.addEventListener('abort', tell)
  /** Resolves with news, also with what came while the reader was busy, or after so many milliseconds. */
  const news = (ms?: number) =>
    new Promise<void>(resolve => {
      const timer = ms === undefined ? undefined : setTimeout(resolve, ms)
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
      if (isNews) wake()
    })
  try {
    for (;;) {
      isNews = false
      signal?.throwIfAborted()
      if (failure !== undefined) throw failure
      const left = opens === null ? null : Math.ceil(opens - watch.now())
      if (state === undefined) await news()
      else if (state !== 'scheduled' || (left !== null && left <= 0)) return
      else {
        const second = left === null ? null : Math.ceil(left / SECOND_MS)
        // A clock that was corrected, or a change that is none of the opening, shows no second twice.
        if (second !== shown) yield left
        shown = second
        await news(left === null ? undefined : (left % SECOND_MS) + 1)
      }
    }
  } finally {
    signal?.removeEventListener('abort', tell)
    leave()
  }
}
