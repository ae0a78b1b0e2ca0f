/**
 * Claims of strict rounds in Redis: the one call that registers a worker's claims, reports its mark and brings what is
 * decided by now (scripts/allot.lua). What a strict grant is read by later, holder and log, is the same as elsewhere
 * (claim-store.ts).
 */
import { CODES } from '../../base/codes.ts'
import { certain } from '../connection/doubt.ts'
import * as keys from '../connection/keys.ts'
import type { Link, Reply } from '../connection/link.ts'
import type { Script, ScriptName } from '../connection/scripts.ts'
import { keysLost } from './claim-store.ts'
import { type Notice, noticeIn } from './notice.ts'

export const TIE_BYTES = 8

/** A claim as it is sent, without its holder key: stamp f64, asked before u8, tie (8), pool u8, length of the key u8. */
export const ALLOT_HEAD_BYTES = 11 + TIE_BYTES

/** One decided claim: index u16, outcome u8, sequence u32, pool u8, f64 ms of its grant, big endian. */
export const DECIDED_BYTES = 16

export interface Decided {
  /** Which of the claims that were sent. */
  readonly index: number
  /** An outcome number of the table. */
  readonly outcome: number
  readonly sequence: number
  readonly pool: number
  /** Milliseconds since 1970, Redis's clock; 0 where nothing is held. */
  readonly at: number
}

export interface Allotment {
  readonly notice: Notice
  /** Microseconds since 1970: every claim that was registered with a stamp up to this one is decided. */
  readonly frontier: number
  /** Claims of the round that came behind the frontier, over all workers. */
  readonly late: number
  /** The others still wait. */
  readonly decided: readonly Decided[]
}

const number = (reply: Reply | undefined): number => Number(reply)

function decidedIn(bytes: Buffer): readonly Decided[] {
  return Array.from({ length: bytes.length / DECIDED_BYTES }, (_, i) => {
    const at = i * DECIDED_BYTES
    return {
      index: bytes.readUInt16BE(at),
      outcome: bytes[at + 2] as number,
      sequence: bytes.readUInt32BE(at + 3),
      pool: bytes[at + 7] as number,
      at: bytes.readDoubleBE(at + 8),
    }
  })
}

export class AllotStore {
  readonly #claims: Link
  readonly #reads: Link
  readonly #script: Script

  constructor(claims: Link, reads: Link, scripts: Readonly<Record<ScriptName, Script>>) {
    this.#claims = claims
    this.#reads = reads
    this.#script = scripts.allot
  }

  /**
   * Registers claims (ALLOT_HEAD_BYTES and the holder key each) and this worker's mark, microseconds since 1970. Throws
   * Fault `fenced` when the round's state is missing or of another epoch, `unknown`, `unavailable`. `vias` are the scopes of the
   * claims (packVias of claim-store.ts).
   */
  async allot(
    roundId: string,
    epoch: string,
    { worker, mark }: { readonly worker: string; readonly mark: number },
    claims: Buffer,
    vias?: Buffer,
  ): Promise<Allotment> {
    const args = [keys.roundChannel(roundId), epoch, worker, mark, claims]
    if (vias) args.push(vias)
    const { reply, again, executed } = await this.#claims.send(
      this.#script,
      [keys.roundState, keys.roundHolders, keys.roundLog, keys.roundOrder, keys.roundWaiting].map(key => key(roundId)),
      args,
    )
    const [outcome, notice, frontier, late, decided] = reply
    if (outcome !== CODES.granted.number) throw keysLost(roundId, again || executed)
    return {
      notice: noticeIn(notice),
      frontier: number(frontier),
      late: number(late),
      decided: decidedIn(decided as Buffer).map(each => ({ ...each, outcome: certain({ again }, each.outcome) })),
    }
  }

  /** Claims of a round that came behind the frontier, over all workers. */
  async late(roundId: string): Promise<number> {
    return Number((await this.#reads.request(client => client.hget(keys.roundOrder(roundId), 'late'))) ?? 0)
  }
}
