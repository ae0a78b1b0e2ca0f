/**
 * Whether nobody holds something. At the level fenced a fail-over may have lost who does for the moment, so that it is not
 * found says little. It is certain when the server is the one that the round is bound to, all replicas confirm it, and
 * the round's state leaves no doubt: no pack is quarantined (any user may be given one back); the sequence is one that
 * this server knows of, and in no range that is set aside and not released.
 *
 * State and keys are read on one connection, the state first, so both are one server's and what is given back meanwhile
 * is seen. Questions that come while others are under way leave together. At replicated every read waits for all replicas,
 * so nothing is asked. At the other levels what a primary lacks is not there; one that was made a replica says nothing
 * (primary.ts). Rejected: the notice that the worker knows; it may be another server's.
 */
import type { Redis } from 'ioredis'
import { Fault } from '../base/assert.ts'
import type { Clock } from '../base/clock.ts'
import { Batcher } from './batcher.ts'
import { logBatch } from './claim-store.ts'
import * as keys from './keys.ts'
import { callWithText, type Link } from './link.ts'
import { type Notice, quarantinedOf } from './notice.ts'
import { ofPrimary } from './primary.ts'
import { roundReadOf } from './round-store.ts'
import type { Script, ScriptName } from './scripts.ts'

/** A holder key, or a sequence. */
type Missed = string | number

/** Questions that leave together. */
const BATCH = 64
/** How long replicas may take to confirm; while one is away what is not found stays in doubt. */
const CONFIRM_MS = 500

export class AbsenceStore {
  readonly #link: Link
  readonly #script: Script
  readonly #questions: Batcher<Missed, string>
  readonly #fenced: boolean
  readonly #copied: boolean

  /** `fenced` is the level; `copied` is whether `link` answers when all replicas have confirmed; `soon` calls back when a queue may leave. */
  constructor(
    link: Link,
    scripts: Readonly<Record<ScriptName, Script>>,
    { fenced, copied, soon }: { readonly fenced: boolean; readonly copied: boolean; readonly soon: Clock['soon'] },
  ) {
    this.#link = link
    this.#script = scripts['round-read']
    this.#fenced = fenced
    this.#copied = copied
    this.#questions = new Batcher({
      most: BATCH,
      inFlight: 1,
      soon,
      send: (roundId, missed) => (fenced ? this.#ask(roundId, missed) : this.#askPrimary(roundId, missed)),
    })
  }

  /** Resolves when nobody holds what was not found; throws Fault `fenced` when somebody may. */
  async confirm(roundId: string, missed: Missed): Promise<void> {
    if (this.#copied && !this.#fenced) return
    const doubt = await this.#questions.ask(roundId, missed)
    if (doubt !== '') throw new Fault('fenced', `round ${roundId}: ${doubt}; ask again`)
  }

  /** The same where no replica is waited for: what was read may have been a deposed primary's. */
  async #askPrimary(roundId: string, missed: readonly Missed[]): Promise<readonly string[]> {
    const look = (client: Redis) => Promise.all(missed.map(each => isThere(client, roundId, each)))
    const seen = await this.#link.request(client => ofPrimary(client, look), CONFIRM_MS).catch(notAnswered)
    if (!seen) return missed.map(() => 'no primary has confirmed that it is not there')
    return seen.map(there => (there ? 'it was not seen a moment ago' : ''))
  }

  /** For each what speaks against its absence, or nothing. */
  async #ask(roundId: string, missed: readonly Missed[]): Promise<readonly string[]> {
    const ask = (client: Redis) =>
      Promise.all([
        callWithText(client, this.#script, [keys.roundState(roundId)]),
        Promise.all(missed.map(each => isThere(client, roundId, each))),
      ])
    const asked = await this.#link.request(ask, CONFIRM_MS).catch(notAnswered)
    if (!asked) return missed.map(() => 'not all replicas have confirmed that it is not there')
    const [reply, seen] = asked
    const read = roundReadOf(reply)
    if (!read) return missed.map(() => 'its state in Redis is missing')
    if (read.binding === 'elsewhere') return missed.map(() => 'a fail-over is not over for it')
    return missed.map((each, i) => (seen[i] ? 'it was given back only now' : doubtOf(read.notice, each)))
  }
}

/** A question without an answer in time leaves a doubt; another fault is the answer. */
function notAnswered(cause: unknown): undefined {
  if (!(cause instanceof Fault && cause.code === 'unknown')) throw cause
}

function doubtOf(notice: Notice, missed: Missed): string {
  const { sequence, aside = [] } = notice
  if (typeof missed === 'string')
    return quarantinedOf(notice) > 0 ? 'packs are quarantined, and any user may be given one back' : ''
  if (missed > sequence) return `sequence ${missed} is beyond what this server knows`
  const isOpen = aside.some(({ from, to, released }) => !released && missed >= from && missed <= to)
  return isOpen ? `sequence ${missed} is set aside and may be given back` : ''
}

async function isThere(client: Redis, roundId: string, missed: Missed): Promise<boolean> {
  if (typeof missed === 'string') return (await client.hexists(keys.roundHolders(roundId), missed)) === 1
  const [entries, restored] = await Promise.all([
    client.xrangeBuffer(keys.roundLog(roundId), `${missed}-0`, '+', 'COUNT', 1),
    client.zrangebyscore(keys.roundRestored(roundId), missed, missed),
  ])
  const [id, fields] = entries[0] ?? []
  const batch = id && logBatch(Number.parseInt(String(id), 10), fields as Buffer[])
  return restored.length > 0 || (batch ? batch.firstSequence <= missed : false)
}
