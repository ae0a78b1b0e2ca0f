/**
 * Whether nobody holds something. That a key does not have it says little where the round's keys contradict each other: of a
 * round whose holders or log are gone nobody gets the answer that they hold nothing. So the state is read before the keys, on the
 * same connection: then the keys have at least what the state counts, or something is lost.
 *
 * At the level fenced a fail-over may have lost who holds it for the moment. It is certain when the server is the one that
 * the round is bound to, all replicas confirm it, and the round's state leaves no doubt: no pack is quarantined (any user
 * may be given one back); the sequence is one that this server knows of, and in no range that is set aside and not released.
 * At the other levels what a primary lacks is not there; one that was made a replica says nothing (primary.ts).
 *
 * Questions that come while others are under way leave together. Rejected: the notice that the worker knows; it may be
 * another server's.
 */
import type { Redis } from 'ioredis'
import { Fault } from '../../base/assert.ts'
import { Batcher } from '../../base/batcher.ts'
import type { Clock } from '../../base/clock.ts'
import * as keys from '../connection/keys.ts'
import { callWithText, type Link } from '../connection/link.ts'
import { ofPrimary } from '../connection/primary.ts'
import type { Script, ScriptName } from '../connection/scripts.ts'
import { logBatch } from './claim-store.ts'
import { grantedOf, type Notice, quarantinedOf } from './notice.ts'
import { roundReadOf } from './round-store.ts'

/** A holder key, or a sequence. */
type Missed = string | number

/** Questions that leave together. */
const BATCH = 64
/** How long replicas may take to confirm; while one is away what is not found stays in doubt. */
const CONFIRM_MS = 500
/** How long a primary may take where nobody else is asked: a machine that is short of time is no doubt. */
const PRIMARY_MS = 2000

export class AbsenceStore {
  readonly #link: Link
  readonly #script: Script
  readonly #questions: Batcher<Missed, string>
  readonly #fenced: boolean

  /** `fenced` is the level, where `link` answers when all replicas have confirmed; `soon` calls back when a queue may leave. */
  constructor(
    link: Link,
    scripts: Readonly<Record<ScriptName, Script>>,
    { fenced, soon }: { readonly fenced: boolean; readonly soon: Clock['soon'] },
  ) {
    this.#link = link
    this.#script = scripts['round-read']
    this.#fenced = fenced
    this.#questions = new Batcher({
      most: BATCH,
      inFlight: 1,
      soon,
      send: (roundId, missed) => this.#ask(roundId, missed),
    })
  }

  /** Resolves when nobody holds what was not found; throws Fault `fenced` when somebody may. */
  async confirm(roundId: string, missed: Missed): Promise<void> {
    const doubt = await this.#questions.ask(roundId, missed)
    if (doubt !== '') throw new Fault('fenced', `round ${roundId}: ${doubt}; ask again`)
  }

  /** For each what speaks against its absence, or nothing. */
  async #ask(roundId: string, missed: readonly Missed[]): Promise<readonly string[]> {
    const look = (client: Redis) =>
      Promise.all([
        callWithText(client, this.#script, [keys.roundState(roundId)]),
        client.hlen(keys.roundHolders(roundId)),
        Promise.all(missed.map(each => isThere(client, roundId, each))),
      ])
    const ask = this.#fenced ? look : (client: Redis) => ofPrimary(client, look)
    const asked = await this.#link.request(ask, this.#fenced ? CONFIRM_MS : PRIMARY_MS).catch(notAnswered)
    if (!asked) return missed.map(() => 'Redis has not confirmed in time that it is not there')
    const [reply, holders, seen] = asked
    const read = roundReadOf(reply)
    if (!read) return missed.map(() => 'its state in Redis is missing')
    if (read.binding === 'elsewhere') return missed.map(() => 'a fail-over is not over for it')
    const { notice } = read
    return missed.map((each, i) => {
      if (seen[i]) return 'it was not seen a moment ago'
      return lossOf(notice, each, holders) ?? (this.#fenced ? doubtOf(notice, each) : '')
    })
  }
}

/** A question without an answer in time leaves a doubt; another fault is the answer. */
function notAnswered(cause: unknown): undefined {
  if (!(cause instanceof Fault && cause.code === 'unknown')) throw cause
}

/** What the keys lack of what the state counts. */
function lossOf(notice: Notice, missed: Missed, holders: number): string | undefined {
  if (typeof missed === 'string') {
    const granted = grantedOf(notice)
    return holders < granted ? `its holders are ${holders}, its state says ${granted}` : undefined
  }
  return missed <= notice.sequence && !asideOf(notice, missed) ? `its log lacks the sequence ${missed}` : undefined
}

const asideOf = ({ aside = [] }: Notice, sequence: number) =>
  aside.find(({ from, to }) => sequence >= from && sequence <= to)

/** What a fail-over may give back, at the level fenced. */
function doubtOf(notice: Notice, missed: Missed): string {
  if (typeof missed === 'string')
    return quarantinedOf(notice) > 0 ? 'packs are quarantined, and any user may be given one back' : ''
  if (missed > notice.sequence) return `sequence ${missed} is beyond what this server knows`
  return asideOf(notice, missed)?.released === false ? `sequence ${missed} is set aside and may be given back` : ''
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
