/**
 * The draw of a window in Redis: its rules, its phases, the files of its proof, its grants. Each step is one script that
 * compares before it sets, so a step that is repeated, by the same worker or by another, finds what stands:
 *
 *   new -> open -> closed -> committed -> beacon -> drawn -> (the next window) open, or done
 *
 * draw-take.lua closes a window and lends the work to one worker; draw-write.lua publishes a file and ends a phase;
 * draw-grant.lua makes grants in the result's order; draw-finish.lua opens what comes next.
 */
import { Fault } from '../../base/assert.ts'
import type { Code } from '../../base/codes.ts'
import { HOLDER_BYTES_MAX, writeArrayHead, writeHolder } from '../../base/holder.ts'
import type { Random } from '../../base/random.ts'
import * as keys from '../connection/keys.ts'
import type { Link, Reply } from '../connection/link.ts'
import type { Script, ScriptName } from '../connection/scripts.ts'
import { claimCode } from './claim-store.ts'
import { type Notice, noticeIn } from './notice.ts'

export type DrawPhase = 'new' | 'open' | 'closed' | 'committed' | 'beacon' | 'drawn' | 'done'

/** Where a drawn round stands. Entries [first, entries) are the window's; all before `first` are drawn. */
export interface DrawState {
  readonly window: number
  readonly phase: DrawPhase
  readonly first: number
  readonly entries: number
  /** Milliseconds since 1970. */
  readonly closes: number
  /** Grants of the round; those of all that is drawn are among them. */
  readonly granted: number
}

/** A draw that this worker has in hand. */
export interface TakenDraw extends Pick<DrawState, 'window' | 'phase' | 'first' | 'entries'> {
  /** Grants of the round before this draw's. */
  readonly base: number
  /** Milliseconds since 1970, Redis's clock. */
  readonly at: number
  /** When the round opened and closes, milliseconds since 1970; 0 for none. */
  readonly times: Pick<Notice, 'opensAt' | 'closesAt'>
}

export interface Taken {
  readonly code: Code
  readonly notice: Notice
  readonly draw: TakenDraw | undefined
}

export interface DrawStep {
  readonly window: number
  readonly from: DrawPhase
  readonly to: DrawPhase
  readonly files: Readonly<Record<string, Buffer>>
}

/** Winners in the result's order, their holder keys and the pools whose seats they have. */
export interface Winners {
  /** The sequence of the first of them. */
  readonly first: number
  readonly holders: readonly string[]
  readonly pools: Buffer
}

/** A window's rules as they are published; empty where they are not known yet. Times are milliseconds since 1970. */
export interface WindowRules {
  readonly rules: Buffer
  /** When entries end. */
  readonly closes: number
  /** After this the window would open late by these rules. */
  readonly latest: number
}

/** A change of a round as its log has it: `create`, `open`, `pause`, `resume`, `close`, `draw N` and others. */
export interface LoggedChange {
  readonly kind: string
  /** Milliseconds since 1970. */
  readonly at: number
  readonly amount: number
}

/** A worker's hold of a draw, milliseconds; each step prolongs it. */
const LEASE_MS = 5000

const text = (reply: Reply | undefined): string => (reply as Buffer).toString('latin1')

export class DrawStore {
  readonly #link: Link
  readonly #scripts: Readonly<Record<ScriptName, Script>>
  readonly #owner: string

  constructor(link: Link, scripts: Readonly<Record<ScriptName, Script>>, random: Random) {
    this.#owner = random.bytes(8).toString('hex')
    this.#link = link
    this.#scripts = scripts
  }

  /** Puts a round that was made among those that workers look after from their start. */
  async announce(roundId: string): Promise<void> {
    await this.#link.request(client => client.sadd(keys.undrawnRounds(), roundId))
  }

  /** Takes a round off that list when nothing is left to be drawn. */
  async retire(roundId: string): Promise<void> {
    await this.#link.request(client => client.srem(keys.undrawnRounds(), roundId))
  }

  undrawn(): Promise<string[]> {
    return this.#link.request(client => client.smembers(keys.undrawnRounds()))
  }

  /**
   * Publishes a window's rules (empty: not yet) and opens it; `isNew` while the round is being made. `not_open` when it is
   * too late for these rules; `now` is Redis's time.
   */
  async open(
    roundId: string,
    { window, rules, closes, latest, isNew }: WindowRules & { readonly window: number; readonly isNew: boolean },
  ): Promise<{ readonly code: Code; readonly now: number }> {
    const args = [window, rules, closes, latest, isNew ? 1 : 0]
    const [code, reply] = await this.#run('draw-open', this.#drawKeys(roundId, window), args)
    return { code, now: Number(reply[1]) }
  }

  /** Closes the window if its time is over and takes its draw in hand; `drawsAt` 0 for at once. */
  async take(roundId: string, epoch: string, drawsAt: number): Promise<Taken> {
    const [code, reply] = await this.#run(
      'draw-take',
      [keys.roundState(roundId), keys.roundDraw(roundId), keys.roundLog(roundId)],
      [keys.roundChannel(roundId), epoch, this.#owner, LEASE_MS, drawsAt],
    )
    const notice = noticeIn(reply[1])
    if (code !== 'granted') return { code, notice, draw: undefined }
    const of = (place: number) => Number(reply[place])
    const phase = text(reply[3]) as DrawPhase
    const counts = { window: of(2), first: of(4), entries: of(5), base: of(6), at: of(7) }
    return { code, notice, draw: { ...counts, phase, times: notice } }
  }

  /** Publishes files and ends a phase: `granted`, `replayed` when it is over, `wrong_state` when another worker is to commit. */
  async write(roundId: string, { window, from, to, files }: DrawStep): Promise<Code> {
    const args = [this.#owner, LEASE_MS, window, from, to, ...Object.entries(files).flat()]
    const [code] = await this.#run('draw-write', this.#drawKeys(roundId, window), args)
    return code
  }

  /** Grants a batch of winners, at most 512. */
  async grant(roundId: string, epoch: string, { first, holders, pools }: Winners): Promise<void> {
    const packed = Buffer.allocUnsafe(3 + holders.length * HOLDER_BYTES_MAX)
    let at = writeArrayHead(packed, 0, holders.length)
    for (const holder of holders) at = writeHolder(packed, at, holder)
    const args = [keys.roundChannel(roundId), epoch, LEASE_MS, first, packed.subarray(0, at), pools]
    const [code] = await this.#run('draw-grant', this.#grantKeys(roundId), args)
    if (code === 'sold_out') throw new Fault('fenced', `round ${roundId}: its draw has more winners than its stock`)
  }

  /** Ends a draw whose winners are granted; `next` opens the following window to what is left. */
  async finish(roundId: string, epoch: string, window: number, next: WindowRules | undefined): Promise<Notice> {
    const [, reply] = await this.#run(
      'draw-finish',
      [keys.roundState(roundId), keys.roundDraw(roundId), keys.roundBundle(roundId, window + 1)],
      [keys.roundChannel(roundId), epoch, window, next?.rules ?? '', next?.closes ?? 0, next?.latest ?? 0],
    )
    return noticeIn(reply[1])
  }

  /** Promotes one person to a lapsed seat; `wrong_state` when promotions.log is longer than `before` by now. */
  async lapse(
    roundId: string,
    epoch: string,
    { before, line, holder, pool }: { before: number; line: string; holder: string; pool: number },
  ): Promise<{ readonly code: Code; readonly notice: Notice }> {
    const user = Buffer.allocUnsafe(3 + HOLDER_BYTES_MAX)
    const end = writeHolder(user, writeArrayHead(user, 0, 1), holder)
    const [code, reply] = await this.#run(
      'draw-lapse',
      [...this.#grantKeys(roundId), keys.roundBundle(roundId, 0)],
      [keys.roundChannel(roundId), epoch, before, line, user.subarray(0, end), holder, pool],
    )
    return { code, notice: noticeIn(reply[1]) }
  }

  /** Where the round stands, or undefined when it is not a drawn one. */
  async state(roundId: string): Promise<DrawState | undefined> {
    const [[window, phase, first, entries, closes], sequence] = await this.#link.request(client =>
      Promise.all([
        client.hmget(keys.roundDraw(roundId), 'window', 'phase', 'first', 'entries', 'closes'),
        client.hget(keys.roundState(roundId), 'sequence'),
      ]),
    )
    if (!window) return undefined
    return {
      window: Number(window),
      phase: phase as DrawPhase,
      first: Number(first),
      entries: Number(entries),
      closes: Number(closes),
      granted: Number(sequence),
    }
  }

  /** The changes of a round that stand in its log behind so many grants and before the next one, oldest first. */
  async changes(roundId: string, grants: number): Promise<readonly LoggedChange[]> {
    const rows = await this.#link.request(client =>
      client.xrange(keys.roundLog(roundId), String(grants), String(grants)),
    )
    return rows.flatMap(([, fields]) => {
      const { kind, at, amount } = Object.fromEntries(
        Array.from({ length: fields.length / 2 }, (_, i) => [fields[2 * i], fields[2 * i + 1]]),
      ) as Readonly<Record<string, string | undefined>>
      return kind === undefined ? [] : [{ kind, at: Number(at), amount: Number(amount) }]
    })
  }

  /** The index of the first entry of a window that is closed. */
  async firstOf(roundId: string, window: number): Promise<number> {
    return Number(await this.#link.request(client => client.hget(keys.roundDraw(roundId), `first ${window}`)))
  }

  /** The published files of a window, by name. */
  files(roundId: string, window: number): Promise<Record<string, Buffer>> {
    return this.#link.request(client => client.hgetallBuffer(keys.roundBundle(roundId, window)))
  }

  /** One published file, or undefined. */
  async file(roundId: string, window: number, name: string): Promise<Buffer | undefined> {
    return (await this.#link.request(client => client.hgetBuffer(keys.roundBundle(roundId, window), name))) ?? undefined
  }

  #grantKeys(roundId: string): readonly string[] {
    return [keys.roundState(roundId), keys.roundHolders(roundId), keys.roundLog(roundId), keys.roundDraw(roundId)]
  }

  #drawKeys(roundId: string, window: number): readonly string[] {
    return [keys.roundDraw(roundId), keys.roundBundle(roundId, window)]
  }

  async #run(
    name: ScriptName,
    names: readonly string[],
    args: readonly (string | number | Buffer)[],
  ): Promise<readonly [Code, readonly Reply[]]> {
    const reply = await this.#link.script(this.#scripts[name], names, args)
    const code = claimCode(reply[0] as number)
    if (code === 'fenced') throw new Fault('fenced', `${names[0]} is missing in Redis or of another epoch`)
    return [code, reply]
  }
}
