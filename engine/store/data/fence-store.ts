/**
 * The level fenced in Redis: how far a round may grant is raised, what was lost is given back, a round is bound to the
 * server that it is on now. Each method is one script; docs/reliability.md has the protocol.
 *
 * What must be on every replica before the next step may begin (the note of a raise) goes over a link of its own, which
 * answers only when all replicas have confirmed; everything else goes over the link of the claims, so that it sees
 * what they see. Rejected: a WAIT on the link of the claims; every batch would wait behind it.
 */
import type { Code } from '../../base/codes.ts'
import * as keys from '../connection/keys.ts'
import type { Link } from '../connection/link.ts'
import type { Scripts } from '../connection/scripts.ts'
import { claimCode } from './claim-store.ts'
import { type Notice, noticeIn } from './notice.ts'
import {
  type DryTurned,
  dryChange,
  type RoundRead,
  type RoundStore,
  stateless,
  type Turned,
  turnedBy,
} from './round-store.ts'

/** A grant as an engine acknowledged it. */
export interface KnownGrant {
  readonly sequence: number
  /** The pool's place. */
  readonly pool: number
  /** Milliseconds since 1970, Redis's clock, when it was made. */
  readonly at: number
  readonly holder: string
}

export interface Restored {
  readonly notice: Notice
  readonly restored: number
  readonly conflicts: number
}

export interface Bound {
  /** granted, replayed (another engine was first) or unavailable (engines are waited for). */
  readonly code: Code
  readonly notice: Notice
  /** Sequences that were set aside. */
  readonly missing: number
}

/** What one engine asks of one round in one epoch. */
export interface Standing {
  readonly roundId: string
  readonly epoch: string
  readonly engine: string
  /** The server that was looked at: what follows from that is refused by any other. */
  readonly server?: string
}

export interface Release {
  readonly most: number
  readonly request: string
}

export const RESTORE_GRANTS_MAX = 512

export class FenceStore {
  readonly #claims: Link
  readonly #copied: Link
  readonly #rounds: RoundStore
  readonly #scripts: Scripts

  /** `copied` answers when all replicas have what it did. `rounds` reads on the connection that carries the claims. */
  constructor(links: { claims: Link; copied: Link }, scripts: Scripts, rounds: RoundStore) {
    this.#claims = links.claims
    this.#copied = links.copied
    this.#scripts = scripts
    this.#rounds = rounds
  }

  /** A round as the server of the claims has it now; undefined when it has no state of it. */
  read(roundId: string): Promise<RoundRead | undefined> {
    return this.#rounds.read(roundId)
  }

  /** Throws Fault `fenced` while the round is bound to another server than this one: what is read of it may lack the end. */
  async assertBound(roundId: string): Promise<void> {
    if ((await this.read(roundId))?.binding === 'elsewhere') throw stateless(roundId)
  }

  /** The engines that have not reported yet what they acknowledged before a fail-over. */
  async owed(roundId: string): Promise<readonly string[]> {
    const owed = await this.#claims.request(client => client.hget(keys.roundState(roundId), 'owed'))
    return [...new Set([...(owed ?? '').matchAll(/(\w+):/g)].map(match => match[1] as string))]
  }

  /** Notes on all replicas that up to `chunk` more may be granted, and that this engine is one of the round's. */
  async note(standing: Standing, chunk: number): Promise<number> {
    return this.#reserve(this.#copied, standing, [chunk, 0])
  }

  /** Lets the round grant up to what was noted. Resolves with the last sequence that may be granted. */
  async lift(standing: Standing, noted: number): Promise<number> {
    return this.#reserve(this.#claims, standing, [0, noted])
  }

  /** Takes the engine off the round's list; everything that it acknowledged must be on all replicas. */
  async signOff(standing: Standing): Promise<void> {
    await this.#reserve(this.#claims, standing, [-1, 0])
  }

  /** Gives grants back, at most RESTORE_GRANTS_MAX; `reported` are epochs of which this engine has now reported everything. */
  async restore(standing: Standing, grants: readonly KnownGrant[], reported: readonly string[]): Promise<Restored> {
    const { roundId, epoch, engine, server = '' } = standing
    const lines = grants.map(({ sequence, pool, at, holder }) => `${sequence} ${pool} ${at} ${holder}\n`).join('')
    const names = [
      ...[keys.roundState(roundId), keys.roundHolders(roundId), keys.roundLog(roundId)],
      keys.roundRestored(roundId),
    ]
    const args = [keys.roundChannel(roundId), epoch, engine, reported.join(' '), lines, server]
    const reply = await this.#claims.script(this.#scripts['fence-restore'], names, args)
    if (claimCode(reply[0] as number) === 'fenced') throw stateless(roundId)
    return { notice: noticeIn(reply[1]), restored: Number(reply[2]), conflicts: Number(reply[3]) }
  }

  /** Ends an epoch and begins the `next` on the server as it is now. */
  async bind({ roundId, epoch, server = '' }: Standing, next: string, patienceMs: number): Promise<Bound> {
    const names = [keys.roundState(roundId), keys.roundLog(roundId), keys.roundRestored(roundId)]
    const args = [keys.roundChannel(roundId), epoch, next, patienceMs, this.#rounds.holdOf(next), server]
    const reply = await this.#claims.script(this.#scripts['fence-bind'], names, args)
    const code = claimCode(reply[0] as number)
    if (code === 'fenced') throw stateless(roundId)
    return { code, notice: noticeIn(reply[1]), missing: Number(reply[2]) }
  }

  /** Gives what is quarantined back to the pools. */
  async release(roundId: string, epoch: string, { most, request }: Release): Promise<Turned> {
    const names = [keys.roundState(roundId), keys.roundLog(roundId)]
    const args = [keys.roundChannel(roundId), epoch, most, this.#rounds.holdOf(request), request, '']
    return turnedBy(roundId, await this.#copied.send(this.#scripts['fence-release'], names, args))
  }

  /** What a release would do; `replayed` where the request did it before. */
  dryRelease(
    roundId: string,
    epoch: string,
    { most, request }: { most: number; request?: string },
  ): Promise<DryTurned> {
    return dryChange(this.#copied, this.#scripts['fence-release-dry'], roundId, {
      args: [epoch, most],
      ...(request === undefined ? {} : { request }),
    })
  }

  async #reserve(link: Link, { roundId, epoch, engine }: Standing, args: readonly number[]): Promise<number> {
    const names = [keys.roundState(roundId)]
    const [outcome, sequence] = await link.script(this.#scripts['fence-reserve'], names, [epoch, engine, ...args])
    if (claimCode(outcome as number) === 'fenced') throw stateless(roundId)
    return Number(sequence)
  }
}
