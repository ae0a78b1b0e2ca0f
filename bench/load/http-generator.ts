/**
 * Claims over HTTP/1.1: one claim a request, one request outstanding a connection, on raw sockets.
 *
 * A lane writes its request once and patches the nine digits of the user id, then waits for the answer, reads the
 * outcome from the status and, where a status is ambiguous, from the `code` of the body. There is no pipelining: the
 * engine's server refuses it, and people's phones do not pipeline either.
 *
 * A socket that breaks may have carried a claim that was executed: it is recorded as unanswered and asked again. fetch
 * and autocannon were rejected as the load: both cost more than the engine and would measure themselves.
 */

import { CODES, type Code } from '../../engine/base/codes.ts'
import { ENTERED, GRANT, MEANINGS, NO_ANSWER } from '../audit/history.ts'
import type { ClaimFlow } from './claim-flow.ts'
import { HttpConnection, type HttpOwner } from './http-connection.ts'
import { digits } from './http-response.ts'
import type { Target, Transport, TransportSettings } from './transport.ts'
import { userIdOf, writeDigits } from './user-id.ts'

const SEQUENCE = Buffer.from('"sequence":')
const CODE = Buffer.from('"code":"')
const GRANTED_AT = Buffer.from('"granted_at":"')
const TAG = Buffer.from('"tag":"')
const NOTHING = Buffer.alloc(0)
const QUOTE = 34
const BY_STATUS: Readonly<Record<number, number>> = {
  [CODES.granted.status]: CODES.granted.number,
  [CODES.replayed.status]: CODES.replayed.number,
  [CODES.entered.status]: CODES.entered.number,
}

/** The bytes of a claim and where the nine digits of its user stand. */
export function claimRequest(target: Target): { readonly bytes: Buffer; readonly digitsAt: number } {
  const { host, pathname } = new URL(target.url)
  const body = `{"user_id":"${userIdOf(0)}"}`
  const head = [
    `POST ${pathname.replace(/\/$/, '')}/v1/rounds/${target.roundId}/claims HTTP/1.1`,
    `Host: ${host}`,
    `Authorization: Bearer ${target.key}`,
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
  ]
  const bytes = Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}`)
  return { bytes, digitsAt: bytes.length - '000000000"}'.length }
}

/** The outcome number of a response; a body without a code of the table is a bug of the engine. */
export function outcomeOf(status: number, body: Buffer): number {
  const byStatus = BY_STATUS[status]
  if (byStatus !== undefined) return byStatus
  const start = body.indexOf(CODE) + CODE.length
  const name = body.toString('latin1', start, body.indexOf(QUOTE, start))
  return CODES[name as Code]?.number ?? CODES.internal.number
}

export function sequenceOf(body: Buffer): number {
  const at = body.indexOf(SEQUENCE)
  return at < 0 ? 0 : digits(body, at + SEQUENCE.length)
}

/** FNV-1a over the bytes up to the next quote. */
function fold(body: Buffer, start: number, seed: number): number {
  let hash = seed
  for (let at = start; at < body.length && body[at] !== QUOTE; at++) hash = Math.imul(hash ^ body[at]!, 0x01000193)
  return hash >>> 0
}

/** The audit's `voucherHash` of a granted body, computed from its bytes. */
export function vouchersOf(body: Buffer): number {
  const at = body.indexOf(GRANTED_AT)
  if (at < 0) return 0
  let hash = fold(body, at + GRANTED_AT.length, 0x811c9dc5)
  for (let code = body.indexOf(CODE); code >= 0; code = body.indexOf(CODE, code + CODE.length)) {
    hash = fold(body, code + CODE.length, hash ^ 0x2c)
  }
  return hash || 1
}

/** The first four bytes of the tag in a receipt, 0 where there is none. */
export function tagHeadOf(body: Buffer): number {
  const at = body.indexOf(TAG)
  return at < 0 ? 0 : Number.parseInt(body.toString('latin1', at + TAG.length, at + TAG.length + 8), 16)
}

class Lane implements HttpOwner {
  readonly connection: HttpConnection
  readonly #flow: ClaimFlow
  readonly #number: number
  readonly #request: ReturnType<typeof claimRequest>
  #slot = -1

  constructor(target: Target, flow: ClaimFlow, number: number) {
    this.connection = new HttpConnection(target.url, this)
    this.#flow = flow
    this.#number = number
    this.#request = claimRequest(target)
  }

  /** Sends the next claim that is due if none is outstanding. */
  sendClaim(): void {
    if (!this.connection.free) return
    const slot = this.#flow.take()
    if (slot < 0) return
    this.#slot = slot
    writeDigits(this.#request.bytes, this.#request.digitsAt, this.#flow.flights.user[slot]!)
    this.#flow.sent(1)
    this.connection.send(this.#request.bytes)
  }

  answered(status: number, body: Buffer): void {
    this.#flow.tick()
    this.#settle(outcomeOf(status, body), body)
    this.sendClaim()
  }

  broken(outstanding: boolean): void {
    this.#flow.tick()
    if (outstanding) this.#settle(NO_ANSWER, NOTHING)
  }

  reopened(): void {
    this.#flow.tick()
    this.sendClaim()
  }

  #settle(outcome: number, body: Buffer): void {
    const granted = MEANINGS[outcome] === GRANT
    const shown = granted ? vouchersOf(body) : outcome === ENTERED ? tagHeadOf(body) : 0
    this.#flow.from(this.#number, shown)
    this.#flow.answer(this.#slot, outcome, granted ? sequenceOf(body) : 0)
  }
}

export class HttpTransport implements Transport {
  readonly #lanes: readonly Lane[]

  constructor({ target, connections, firstConnection }: TransportSettings, flow: ClaimFlow) {
    this.#lanes = Array.from({ length: connections }, (_, place) => new Lane(target, flow, firstConnection + place))
  }

  get lost(): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.connection.lost, 0)
  }

  async open(): Promise<void> {
    await Promise.all(this.#lanes.map(lane => lane.connection.open()))
  }

  pump(): void {
    for (const lane of this.#lanes) lane.sendClaim()
  }

  close(): void {
    for (const lane of this.#lanes) lane.connection.close()
  }
}
