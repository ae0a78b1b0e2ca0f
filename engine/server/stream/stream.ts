/**
 * The live stream: claims and stock over one WebSocket. A MessagePack frame of claims takes the fast lane
 * (wire/claims-frame.ts); every other frame is decoded, validated and dispatched by its `op`. Stock goes out through
 * topics of the library, one encoded message for all viewers of an encoding; it may be dropped for a slow reader and
 * is absolute, and a reader that catches up gets the newest again. Answers to claims are never dropped.
 */

import { networkOf } from '../../auth/addresses.ts'
import { ANONYMOUS, type Caller, type Callers, isSame, may, reaches } from '../../auth/callers.ts'
import { isOver } from '../../auth/user-tokens.ts'
import { Refusal } from '../../base/assert.ts'
import { rfc3339 } from '../../base/clock.ts'
import { CLOSE_CODES, CODES, type Code } from '../../base/codes.ts'
import { packHolders } from '../../base/holder.ts'
import { FRAME_BYTES_MAX, OWED_BYTES_MAX, TOPICS_PER_SOCKET_MAX } from '../../base/limits.ts'
import type { Answers } from '../../campaign/round/asks.ts'
import type { Round, SingleAsk } from '../../campaign/round/round.ts'
import { COHORTS } from '../../campaign/round/stock-feed.ts'
import type { Notice } from '../../store/data/notice.ts'
import { claimAnswer } from '../../wire/claim-json.ts'
import { type ClaimsFrame, packResults, replayedPlaces, scanClaimsFrame, WORDS } from '../../wire/claims-frame.ts'
import { decode, encode, Malformed } from '../../wire/encoding.ts'
import { complaint, type StreamFrame, streamFrame } from '../../wire/schemas.ts'
import type { EncodedFrame } from '../../wire/stock-frame.ts'
import { askOf, countUnread, enteredAnswer, poolOf, refusalFields } from '../answers/claim.ts'
import { stockFrame } from '../answers/round-answers.ts'
import { KEYS_AWAY, type Services, surely } from '../http/gateway.ts'
import { readQuery } from '../http/query.ts'
import {
  originAllowed,
  type RefusedUpgrade,
  refusedBy,
  type StreamHandler,
  type StreamSocket,
  type UpgradeRequest,
} from './stream-socket.ts'

type FrameOf<Op extends StreamFrame['op']> = Extract<StreamFrame, { op: Op }>
type FrameId = StreamFrame['id']

/** Claims of one frame, before their round is known. */
interface ClaimsAsked {
  readonly id: FrameId
  readonly roundId: string
  readonly claims: number
}

interface Session {
  readonly caller: Caller
  readonly topics: Set<string>
  readonly cohort: number
}

/** A round as it was read for those who asked in one turn of the event loop. */
interface Read {
  readonly round: Round
  readonly notice: Notice
  readonly frame: EncodedFrame
}

/** Its stock now: what was encoded for all who asked with it, where nothing moved since. */
const frameNow = ({ round, notice, frame }: Read): EncodedFrame =>
  round.view.notice === notice ? frame : stockFrame(round)

/** The library's topic for the viewers of a round in one encoding and one cohort (campaign/round/stock-feed.ts). */
export const topicOf = (roundId: string, cohort: number, msgpack: boolean): string =>
  `${msgpack ? 'm' : 'j'}:${cohort}:${roundId}`

/** What is wrong with the query of an upgrade: a credential under a misspelt name would be none. */
function wrongQuery(query: string): Refusal | undefined {
  try {
    readQuery(query, ['access_token'])
    return undefined
  } catch (cause) {
    if (cause instanceof Refusal) return cause
    throw cause
  }
}

/** Refusals of an upgrade that count against the rate of their address; the others come of too many or of keys that are away. */
const COUNTED: readonly number[] = [CODES.unauthorized.status, CODES.forbidden.status, CODES.invalid.status]

/** The id that a frame's answer bears; 0 where it has none. */
function idIn(frame: unknown): FrameId {
  const id = (frame as { id?: unknown } | null)?.id
  return typeof id === 'number' || typeof id === 'string' ? id : 0
}

/** The same of a frame that is not looked at otherwise. */
function idOf(socket: StreamSocket, message: Buffer): FrameId {
  try {
    return idIn(decode(message, socket.msgpack ? 'msgpack' : 'json'))
  } catch {
    return 0
  }
}

/** Counts one more or one less; what there is none of is forgotten. */
function count(counts: Map<string, number>, name: string, more: 1 | -1): void {
  const now = (counts.get(name) ?? 0) + more
  if (now === 0) counts.delete(name)
  else counts.set(name, now)
}

export interface StreamOptions {
  readonly services: Services
  readonly callers: Callers
  readonly origins: readonly string[]
  readonly socketsMax: number
  /** Of one address without a credential; 0 is no limit. */
  readonly socketsAddressMax: number
}

export class Stream implements StreamHandler {
  readonly #options: StreamOptions
  readonly #sessions = new Map<StreamSocket, Session>()
  readonly #viewers = new Map<string, number>()
  /** Sockets without a credential, by their network. */
  readonly #nobodys = new Map<string, number>()
  /** Reads of rounds that have yet to leave. */
  readonly #reads = new Map<string, Promise<Read>>()
  #opened = 0

  constructor(options: StreamOptions) {
    this.#options = options
  }

  get sockets(): number {
    return this.#sessions.size
  }

  /** How many sockets watch a round. */
  viewers(roundId: string): number {
    return this.#viewers.get(roundId) ?? 0
  }

  readonly refuses = (request: UpgradeRequest): RefusedUpgrade | undefined => {
    const refused = this.#refused(request)
    if (!refused || !COUNTED.includes(refused.status)) return refused
    const { allowed, late } = this.#options.services.rates.take(ANONYMOUS, () => request.address)
    return allowed || late ? refused : refusedBy('rate_limited', 'slow down')
  }

  #refused(request: UpgradeRequest): RefusedUpgrade | undefined {
    const wrong = wrongQuery(request.query)
    if (wrong) return refusedBy(wrong.code, wrong.message)
    const code = this.#refusal(request)
    if (code === 'unauthorized') return this.#stranger(request)
    return code && refusedBy(code)
  }

  /** A credential that names nobody: refused, or for as long as the key that it names may have been published. */
  #stranger({ credential }: UpgradeRequest): RefusedUpgrade {
    const { callers } = this.#options
    const missing = callers.missing(credential ?? '')
    if (missing === undefined) return refusedBy('unauthorized', callers.complaint(credential ?? ''))
    const refused = refusedBy('unavailable', KEYS_AWAY)
    return missing === 'away' ? refused : { ...refused, wait: missing }
  }

  #refusal({ origin, host, credential, address }: UpgradeRequest): Code | undefined {
    const { callers, origins, socketsMax, socketsAddressMax } = this.#options
    if (!originAllowed(origin, host, origins)) return 'forbidden'
    const caller = credential === undefined ? undefined : callers.of(credential)
    if (!caller) return 'unauthorized'
    if (this.#sessions.size >= socketsMax) return 'overloaded'
    if (caller.role !== 'anonymous' || socketsAddressMax === 0) return undefined
    return (this.#nobodys.get(networkOf(address)) ?? 0) >= socketsAddressMax ? 'rate_limited' : undefined
  }

  readonly opened = (socket: StreamSocket): void => {
    const caller = this.#options.callers.of(socket.credential)
    if (!caller) return this.#end(socket, 'unauthorized')
    if (may(caller, 'claim-any')) socket.owedBytesMax = OWED_BYTES_MAX.key
    if (caller.role === 'anonymous') count(this.#nobodys, networkOf(socket.address), 1)
    this.#sessions.set(socket, { caller, topics: new Set(), cohort: this.#opened++ % COHORTS })
    const server_time = rfc3339(this.#options.services.rounds.serverTimeMs())
    this.#send(socket, { op: 'welcome', server_time, max_frame_bytes: FRAME_BYTES_MAX })
  }

  readonly received = (socket: StreamSocket, message: Buffer): void => {
    const session = this.#sessions.get(socket)
    if (!session) return
    if (message.length > FRAME_BYTES_MAX) return this.#end(socket, 'too_large')
    const { clock, rates } = this.#options.services
    const { user } = session.caller
    if (user && isOver(user, clock.wallMs())) return this.#end(socket, 'unauthorized')
    const { allowed, late } = rates.take(session.caller, () => socket.address)
    if (!allowed) return this.#error(socket, idOf(socket, message), late ? 'overloaded' : 'rate_limited')
    const frame = socket.msgpack ? scanClaimsFrame(message) : undefined
    if (frame) this.#packedClaims(socket, session, frame)
    else this.#ordinary(socket, session, message)
  }

  /** The newest stock again: frames may have been dropped while the reader was slow. */
  readonly drained = (socket: StreamSocket): void => {
    this.#options.services.metrics.count('fairgrab_stream_catch_ups_total')
    for (const roundId of this.#sessions.get(socket)?.topics ?? []) {
      const round = this.#options.services.rounds.peek(roundId)
      if (round) this.#sendEncoded(socket, stockFrame(round))
    }
  }

  readonly closed = (socket: StreamSocket): void => {
    const session = this.#sessions.get(socket)
    if (!session) return
    for (const roundId of session.topics) count(this.#viewers, roundId, -1)
    if (session.caller.role === 'anonymous') count(this.#nobodys, networkOf(socket.address), -1)
    this.#sessions.delete(socket)
  }

  /** Ends the sockets whose credential is no longer good, or is somebody else's now. */
  recheck(): void {
    for (const [socket, { caller }] of [...this.#sessions]) {
      if (caller.role === 'anonymous') continue
      if (!isSame(caller, this.#options.callers.of(socket.credential))) this.#end(socket, 'unauthorized')
    }
  }

  /** Ends every socket with "service restart", which asks clients to come back. */
  restart(): void {
    for (const socket of [...this.#sessions.keys()]) this.#end(socket, 'restart')
  }

  #packedClaims(socket: StreamSocket, { caller }: Session, frame: ClaimsFrame): void {
    const { id, roundId, count } = frame
    if (!may(caller, 'claim-any')) return this.#mayNot(socket, caller)
    const users = Uint8Array.from(frame.users)
    this.#withRound(socket, { id, roundId, claims: count }, round => {
      const pool = poolOf(round, frame.pool, caller)
      if (typeof pool !== 'number') return this.#error(socket, id, pool.code, pool.message)
      round.askPacked(users, count, pool, answers => socket.send(packResults(id, answers)), caller.via)
    })
  }

  #ordinary(socket: StreamSocket, session: Session, message: Buffer): void {
    let value: unknown
    try {
      value = decode(message, socket.msgpack ? 'msgpack' : 'json')
    } catch (cause) {
      if (!(cause instanceof Malformed)) throw cause
      return this.#error(socket, 0, 'malformed', cause.message)
    }
    const parsed = streamFrame.safeParse(value)
    if (parsed.success) this.#dispatch(socket, session, parsed.data)
    else this.#error(socket, idIn(value), 'invalid', complaint(parsed.error))
  }

  #dispatch(socket: StreamSocket, session: Session, frame: StreamFrame): void {
    switch (frame.op) {
      case 'ping': {
        const server_time = rfc3339(this.#options.services.rounds.serverTimeMs())
        return this.#send(socket, { op: 'pong', id: frame.id, server_time })
      }
      case 'subscribe':
        return this.#subscribe(socket, session, frame)
      case 'unsubscribe':
        return this.#unsubscribe(socket, session, frame)
      case 'claim':
        return this.#claim(socket, session, frame)
      case 'claims':
        return this.#claims(socket, session, frame)
    }
  }

  #subscribe(socket: StreamSocket, session: Session, { id, topics }: FrameOf<'subscribe'>): void {
    const wrong = topics.find(topic => !topic.startsWith('stock:'))
    if (wrong !== undefined) return this.#error(socket, id, 'not_found', `${wrong}: there is no such topic`)
    const ids = topics.map(topic => topic.slice('stock:'.length))
    const tooMany = () => {
      const all = new Set([...session.topics, ...ids]).size
      if (all > TOPICS_PER_SOCKET_MAX)
        this.#error(socket, id, 'invalid', `topics: at most ${TOPICS_PER_SOCKET_MAX} a socket`)
      return all > TOPICS_PER_SOCKET_MAX
    }
    if (tooMany()) return
    Promise.all(ids.map(roundId => this.#read(roundId))).then(
      read => {
        // Other frames of this socket may have taken the place while the rounds were read.
        if (tooMany()) return
        const other = read.find(({ round }) => !reaches(session.caller, round.view.config.campaign_id))
        if (other) return this.#error(socket, id, 'not_found', `there is no round ${other.round.view.id}`)
        for (const { view } of read.map(({ round }) => round)) {
          if (!socket.open || session.topics.has(view.id)) continue
          socket.subscribe(topicOf(view.id, session.cohort, socket.msgpack))
          session.topics.add(view.id)
          count(this.#viewers, view.id, 1)
        }
        socket.together(() => {
          this.#send(socket, { op: 'subscribed', id, topics })
          for (const each of read) this.#sendEncoded(socket, frameNow(each))
        })
      },
      (cause: unknown) => this.#failed(socket, id, cause),
    )
  }

  /** A round as it is now, and its frame; those who ask in one turn of the event loop share a read that leaves behind all of them. */
  #read(roundId: string): Promise<Read> {
    const { clock, lifecycle } = this.#options.services
    const known = this.#reads.get(roundId)
    if (known) return known
    const read = new Promise<void>(resolve => clock.soon(resolve))
      .then(() => {
        this.#reads.delete(roundId)
        return lifecycle.round(roundId)
      })
      .catch((cause: unknown) => surely(this.#options.services, cause))
      .then(round => ({ round, notice: round.view.notice, frame: stockFrame(round) }))
    this.#reads.set(roundId, read)
    return read
  }

  #unsubscribe(socket: StreamSocket, session: Session, { id, topics }: FrameOf<'unsubscribe'>): void {
    for (const topic of topics) {
      const roundId = topic.slice('stock:'.length)
      if (!session.topics.delete(roundId)) continue
      socket.unsubscribe(topicOf(roundId, session.cohort, socket.msgpack))
      count(this.#viewers, roundId, -1)
    }
    this.#send(socket, { op: 'unsubscribed', id, topics })
  }

  #claim(socket: StreamSocket, { caller }: Session, frame: FrameOf<'claim'>): void {
    const { id } = frame
    if (!may(caller, 'claim-any') && !may(caller, 'claim-own')) return this.#mayNot(socket, caller)
    this.#withRound(socket, { id, roundId: frame.round_id, claims: 1 }, round => {
      const ask = askOf(round, frame, caller, answered => this.#answer(socket, id, answered))
      if (!(ask instanceof Refusal)) return round.ask(ask)
      return ask.code === 'forbidden' ? this.#mayNot(socket, caller) : this.#error(socket, id, ask.code, ask.message)
    })
  }

  #answer(socket: StreamSocket, id: FrameOf<'claim'>['id'], answered: SingleAsk): void {
    const { round } = answered
    if (answered.holds) {
      const body = claimAnswer(round.view, answered, answered.outcome === CODES.replayed.number)
      return this.#send(socket, { op: 'result', id, ...body })
    }
    if (answered.receipt) return this.#send(socket, { op: 'result', id, ...enteredAnswer(answered.receipt) })
    const now = this.#options.services.rounds.serverTimeMs()
    this.#send(socket, { op: 'result', id, code: answered.code, ...refusalFields(round, answered, now) })
  }

  #claims(socket: StreamSocket, { caller }: Session, frame: FrameOf<'claims'>): void {
    if (!may(caller, 'claim-any')) return this.#mayNot(socket, caller)
    const { id, user_ids: ids } = frame
    this.#withRound(socket, { id, roundId: frame.round_id, claims: ids.length }, round => {
      const pool = poolOf(round, frame.pool, caller)
      if (typeof pool !== 'number') return this.#error(socket, id, pool.code, pool.message)
      round.askPacked(packHolders(ids), ids.length, pool, answers => this.#results(socket, id, answers), caller.via)
    })
  }

  #results(socket: StreamSocket, id: FrameId, answers: Answers): void {
    const outcomes = Array.from(answers.outcomes, outcome => WORDS[outcome])
    const replayed = replayedPlaces(answers)
    const more = replayed.length > 0 ? { replayed } : {}
    this.#send(socket, { op: 'results', id, outcomes, sequences: [...answers.sequences], ...more })
  }

  #withRound(socket: StreamSocket, { id, roundId, claims }: ClaimsAsked, then: (round: Round) => void): void {
    const known = this.#options.services.rounds.peek(roundId)
    if (known) return then(known)
    const failed = (cause: unknown) => {
      countUnread(this.#options.services.metrics, claims, cause)
      this.#failed(socket, id, cause)
    }
    this.#read(roundId).then(({ round }) => then(round), failed)
  }

  #failed(socket: StreamSocket, id: FrameId, cause: unknown): void {
    const fault = cause as { code?: Code; message?: string }
    if (fault.code !== undefined && fault.code in CODES) return this.#error(socket, id, fault.code, fault.message)
    this.#options.services.metrics.bug(cause)
    this.#error(socket, id, 'internal')
  }

  #error(socket: StreamSocket, id: FrameId, code: Code, detail: string = CODES[code].title): void {
    this.#send(socket, { op: 'error', id, code, detail })
  }

  #send(socket: StreamSocket, message: object): void {
    const encoded = encode(message, socket.msgpack ? 'msgpack' : 'json')
    socket.send(socket.msgpack ? encoded : encoded.toString('utf8'))
  }

  #sendEncoded(socket: StreamSocket, frame: EncodedFrame): void {
    socket.send(socket.msgpack ? frame.msgpack : frame.json)
  }

  /** Ends a socket that claims without the right to: nobody is to show a credential, somebody is to ask another. */
  #mayNot(socket: StreamSocket, caller: Caller): void {
    this.#end(socket, caller.role === 'anonymous' ? 'unauthorized' : 'forbidden')
  }

  #end(socket: StreamSocket, why: keyof typeof CLOSE_CODES): void {
    socket.end(CLOSE_CODES[why].close, CLOSE_CODES[why].title)
  }
}
