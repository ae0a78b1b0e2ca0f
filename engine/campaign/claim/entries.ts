/**
 * Claims of one drawn round in one worker: each is answered with its entry's receipt while its window is open, with its
 * grant or with `sold_out` once it is drawn. One user has one entry: the first one stands, and whoever asks again, here or
 * elsewhere, with another nonce or none, gets its receipt. The list has tags, not user ids: what stands for a user in
 * Redis is a keyed digest, and their holder key (when they win) is their tag; both mappings are made here only.
 *
 * A claim goes four ways. Known winner by tag, known entrant by digest: answered here. Shed: refused, by a
 * threshold on the person's keyed hash that only rises within a window and is the highest of all workers'. Else it
 * waits for the next batch (scripts/enter.lua), which decides window, time and dedupe.
 */
import type { Person } from '../../auth/draw-secrets.ts'
import { Fault } from '../../base/assert.ts'
import { Batcher } from '../../base/batcher.ts'
import type { Clock } from '../../base/clock.ts'
import { CODES, type Code } from '../../base/codes.ts'
import { holderEnd, holderOfTag } from '../../base/holder.ts'
import { ANSWER_DEADLINE_MS } from '../../base/limits.ts'
import { commitUser, RECORD_BYTES, TAG_BYTES, tagOf } from '../../draw/entry.ts'
import type { Receipt } from '../../draw/receipt.ts'
import type { DrawState } from '../../store/data/draw-store.ts'
import { ENTRY_CLAIM_BYTES, type EntryDecision } from '../../store/data/entry-store.ts'
import type { Store } from '../../store/store.ts'
import type { Answers, ClaimRequest } from '../round/asks.ts'
import { KnownHolders } from '../round/known-holders.ts'
import type { Decider, DeciderParts, SingleAsk, Standing } from '../round/round.ts'
import { Receipts } from './receipts.ts'
import { askRenewed } from './renewed.ts'

/** Who asks. The tag costs two hashes, and most requests of a rush are repeats that need none. */
class Entrant {
  readonly user: Buffer
  readonly shed: number
  readonly nonce: Buffer
  readonly salt: Buffer
  readonly pool: number
  readonly askedAt: number
  readonly #roundId: string
  readonly #userId: string
  #tag: Buffer | undefined

  constructor(roundId: string, person: Person, request: ClaimRequest, askedAt: number) {
    this.user = person.user
    this.shed = person.shed
    this.nonce = request.nonce ? Buffer.from(request.nonce, 'hex') : person.nonce
    this.salt = request.salt ? Buffer.from(request.salt, 'hex') : person.salt
    this.pool = request.pool
    this.askedAt = askedAt
    this.#roundId = roundId
    this.#userId = request.userId
  }

  get tag(): Buffer {
    this.#tag ??= tagOf(this.#roundId, this.nonce, commitUser(this.salt, this.#userId))
    return this.#tag
  }
}

export interface EntriesOptions extends DeciderParts {
  readonly stores: Pick<Store, 'draws' | 'entries' | 'claims'>
  readonly clock: Clock
  readonly batchClaims: number
  readonly batchesInFlight: number
  readonly entrantsKnown: number
}

/** The load at which shedding begins; at 1 everybody new is shed. */
const SHED_FROM = 0.5
const SHED_STEPS = 256

/** How many of 256 people to shed under a load of 0..1. */
export function shedLevel(pressure: number): number {
  return Math.max(0, Math.min(SHED_STEPS, Math.ceil(((pressure - SHED_FROM) / (1 - SHED_FROM)) * SHED_STEPS)))
}

const refused = (code: Code): Standing => ({ outcome: CODES[code].number, sequence: 0, pool: 0 })

export class Entries implements Decider {
  readonly slots = 1
  readonly #options: EntriesOptions
  readonly #batcher: Batcher<Entrant, Standing>
  readonly #receipts: Receipts
  #known: KnownHolders
  #draw: DrawState | undefined
  #shed = 0
  #reading = false
  #readVersion = -1

  constructor(options: EntriesOptions) {
    const { view, stores, signingKey, batchClaims, batchesInFlight } = options
    this.#options = options
    this.#receipts = new Receipts(view.id, stores.entries, signingKey)
    this.#known = this.#nobody()
    this.#batcher = new Batcher({
      most: batchClaims,
      inFlight: batchesInFlight,
      send: (_, entrants) => this.#send(entrants),
      soon: run => options.clock.soon(run),
    })
  }

  /** Where the draw stands as far as this worker knows. */
  get draw(): DrawState | undefined {
    return this.#draw
  }

  /** Reads where the draws stand; called once before anything is asked. */
  async load(): Promise<void> {
    this.#draw = await this.#options.stores.draws.state(this.#options.view.id)
    this.#readVersion = this.#options.view.notice.version
  }

  /** Another history has the round: who had entered is asked anew. */
  startAgain(): Promise<void> {
    this.#known = this.#nobody()
    this.#receipts.forget()
    this.#draw = undefined
    this.#shed = 0
    return this.load()
  }

  #nobody(): KnownHolders {
    const { signingKey, view, entrantsKnown } = this.#options
    return new KnownHolders(entrantsKnown, signingKey.publicKey.length * 31 + view.config.number)
  }

  /** Something of the round moved: where its draws stand is read again. */
  changed(): void {
    const { view, stores, events } = this.#options
    if (this.#reading || this.#readVersion === view.notice.version) return
    this.#reading = true
    const { version } = view.notice
    stores.draws.state(view.id).then(
      state => {
        this.#reading = false
        this.#readVersion = version
        const last = this.#draw
        this.#draw = state
        if (state && last)
          for (let w = last.window; w < drawnWindows(state); w++) if (w >= drawnWindows(last)) events.drawn(view, w)
        if (state && state.window !== last?.window) this.#shed = 0
        this.changed()
      },
      fault => {
        this.#reading = false
        events.failed(fault, view)
      },
    )
  }

  /** Enters a person, or answers how they stand already. Rejects with a Fault. */
  async enter(request: ClaimRequest): Promise<Standing> {
    const { view, clock, gate } = this.#options
    const askedAt = clock.monotonicMs()
    if (request.slot > 1) return refused('limit_reached')
    const entrant = this.#entrantOf(request, askedAt)
    const own = view.holders.size > 0 ? view.holders.findText(holderOfTag(entrant.tag)) : -1
    if (own >= 0) return this.#granted(view.holders.sequenceOf(own), view.holders.poolOf(own))
    const known = this.#known.find(entrant.user, 0, entrant.user.length)
    if (known >= 0) return this.#standing(this.#known.sequenceOf(known), entrant)
    const code = gate()
    if (code) return refused(code)
    if (view.notice.state === 'scheduled') {
      const early = view.refusal(askedAt)
      if (early) return refused(early)
    }
    if (this.#sheds(entrant)) return refused('overloaded')
    return this.#batcher.ask(view.id, entrant)
  }

  ask(ask: SingleAsk): void {
    void this.#ask(ask).then(() =>
      ask.holds ? this.#options.round.settledAlone(ask) : this.#options.round.answered(ask),
    )
  }

  askPacked(users: Uint8Array, pool: number, answers: Answers): void {
    this.askMany(requestsIn(users, answers.count, pool), answers)
  }

  askMany(requests: readonly (ClaimRequest | number)[], answers: Answers): void {
    const enter = async (request: ClaimRequest | number, i: number) => {
      if (typeof request === 'number') return answers.refuse(i, request)
      const { outcome, sequence, pool } = await this.enter(request)
      if (outcome === CODES.replayed.number) answers.hold(i, sequence, pool)
      else answers.refuse(i, outcome)
    }
    const entered = requests.map((request, i) =>
      enter(request, i).catch(fault => answers.refuse(i, this.#refusalOf(fault))),
    )
    void Promise.all(entered).then(() => answers.close(requests.length))
  }

  /** An order of arrivals is nothing to a draw, and what waits too long its batch refuses. */
  awaited(): void {}

  sweep(): void {}

  /** How a user stands, or undefined when they did not enter. */
  async standingOf(userId: string, slot: number): Promise<Standing | undefined> {
    if (slot > this.slots) return undefined
    const { entrant, index } = await this.#find(userId)
    if (index < 0) return undefined
    return this.#standing(index, entrant, await this.#options.stores.draws.state(this.#options.view.id))
  }

  /** Whether a holder key is the user's. */
  async isHolder(userId: string, holder: string): Promise<boolean> {
    const { entrant, index } = await this.#find(userId)
    if (index < 0) return false
    if (holder === holderOfTag(entrant.tag)) return true
    return holder === holderOfTag((await this.#receipts.record(index)).subarray(0, TAG_BYTES))
  }

  /** All of a claim but the vouchers of a winner. */
  async #ask(ask: SingleAsk): Promise<void> {
    try {
      const { outcome, sequence, pool, receipt } = await this.enter(ask)
      if (outcome === CODES.replayed.number) ask.hold(sequence, pool)
      else ask.receipt = await receipt?.()
      ask.outcome = outcome
    } catch (fault) {
      ask.outcome = this.#refusalOf(fault)
    }
  }

  #refusalOf(fault: unknown): number {
    const outcome = codeOfFault(fault)
    this.#options.events.answered(outcome, 1)
    return outcome
  }

  async #find(userId: string): Promise<{ readonly entrant: Entrant; readonly index: number }> {
    const { view, stores, clock } = this.#options
    const entrant = this.#entrantOf({ userId, slot: 1, pool: 0 }, clock.monotonicMs())
    return { entrant, index: await stores.entries.indexOf(view.id, entrant.user) }
  }

  #entrantOf(request: ClaimRequest, askedAt: number): Entrant {
    const { secrets, view } = this.#options
    return new Entrant(view.id, secrets.personOf(request.userId), request, askedAt)
  }

  #sheds({ shed }: Entrant): boolean {
    this.#shed = Math.max(this.#shed, shedLevel(this.#options.pressure()))
    return shed < this.#shed
  }

  async #send(entrants: readonly Entrant[]): Promise<readonly Standing[]> {
    const { view, stores, clock, events, renew } = this.#options
    const sentAt = clock.monotonicMs()
    const fresh = entrants.filter(({ askedAt }) => sentAt - askedAt < ANSWER_DEADLINE_MS)
    const claims = Buffer.allocUnsafe(fresh.length * ENTRY_CLAIM_BYTES)
    for (const [i, { user, tag, pool }] of fresh.entries()) {
      claims.set(user, i * ENTRY_CLAIM_BYTES)
      claims.set(tag, i * ENTRY_CLAIM_BYTES + user.length)
      claims[(i + 1) * ENTRY_CLAIM_BYTES - 1] = pool
    }
    if (fresh.length === 0) return entrants.map(() => refused('overloaded'))
    const epochs = { epoch: () => view.notice.epoch, renew }
    const enter = (epoch: string) => stores.entries.enter(view.id, epoch, claims, this.#shed)
    const decision = await askRenewed(epochs, enter).catch(fault => {
      events.failed(fault, view)
      throw fault
    })
    const { notice, outcomes } = decision
    if (notice.epoch !== view.notice.epoch) throw new Fault('unknown', 'it entered in an epoch that a fail-over ended')
    view.take(notice, sentAt)
    this.#shed = Math.max(this.#shed, decision.shed)
    const standings = await this.#settle(fresh, claims, decision)
    events.decided(view, notice, outcomes, (clock.monotonicMs() - sentAt) / 1000)
    let next = 0
    return entrants.map(entrant => (entrant === fresh[next] ? (standings[next++] as Standing) : refused('overloaded')))
  }

  /** The standings of a decided batch; its new entries are kept to be signed when somebody wants a receipt. */
  #settle(entrants: readonly Entrant[], claims: Buffer, decision: EntryDecision): Promise<readonly Standing[]> {
    const { notice, window, entries, outcomes, indexes } = decision
    const records = Buffer.allocUnsafe(entrants.length * RECORD_BYTES)
    const standings: (Standing | Promise<Standing>)[] = []
    let taken = 0
    for (const [i, entrant] of entrants.entries()) {
      const [outcome, index] = [outcomes[i] as number, indexes[i] as number]
      if (index >= 0) this.#known.add(entrant.user, [0, entrant.user.length], index, 0)
      if (outcome === CODES.entered.number) {
        const record = (i + 1) * ENTRY_CLAIM_BYTES - RECORD_BYTES
        claims.copy(records, taken++ * RECORD_BYTES, record, record + RECORD_BYTES)
        standings.push(this.#entered(index, entrant))
      } else standings.push(index < 0 ? { outcome, sequence: 0, pool: 0 } : this.#standing(index, entrant))
    }
    const head = { first: entries, end: entries + taken, at: notice.at, window }
    if (taken > 0) this.#receipts.keep(head, records.subarray(0, taken * RECORD_BYTES))
    return Promise.all(standings)
  }

  /** How the owner of an entry stands: the window may be open still, or drawn. */
  async #standing(index: number, entrant: Entrant, draw = this.#draw): Promise<Standing> {
    if (index >= drawnEntries(draw)) return this.#entered(index, entrant)
    const { view, stores } = this.#options
    const record = await this.#receipts.record(index)
    const holder = holderOfTag(record.subarray(0, TAG_BYTES))
    const place = view.holders.findText(holder)
    if (place >= 0) return this.#granted(view.holders.sequenceOf(place), view.holders.poolOf(place))
    // Where the draw is known to be over, its winners may not be: the notice that counts them comes another way.
    const covered = view.holders.covered >= Math.max(view.notice.sequence, draw?.granted ?? 0)
    const holding = covered ? undefined : await stores.claims.holding(view.id, holder)
    return holding ? this.#granted(holding.sequence, holding.pool) : refused('sold_out')
  }

  #granted(sequence: number, pool: number): Standing {
    return { outcome: CODES.replayed.number, sequence, pool }
  }

  #entered(index: number, entrant: Entrant): Standing {
    const receipt = () => {
      const signed = this.#receipts.of(index)
      return signed instanceof Promise ? signed.then(owned) : owned(signed)
    }
    const owned = (signed: Receipt): Receipt =>
      signed.tag === entrant.tag.toString('hex')
        ? { ...signed, nonce: entrant.nonce.toString('hex'), salt: entrant.salt.toString('hex') }
        : signed
    return { outcome: CODES.entered.number, sequence: 0, pool: entrant.pool, receipt }
  }
}

const codeOfFault = (fault: unknown): number => CODES[fault instanceof Fault ? fault.code : 'unknown'].number

/** Packed user ids as requests. */
function requestsIn(users: Uint8Array, count: number, pool: number): ClaimRequest[] {
  const bytes = Buffer.from(users.buffer, users.byteOffset, users.length)
  const requests: ClaimRequest[] = []
  for (let i = 0, at = 0; i < count; i++) {
    const end = holderEnd(users, at)
    requests.push({ userId: bytes.toString('latin1', bytes[at] === 0xd9 ? at + 2 : at + 1, end), slot: 1, pool })
    at = end
  }
  return requests
}

/** Entries whose draw is over. */
function drawnEntries(draw: DrawState | undefined): number {
  if (!draw) return 0
  return draw.phase === 'done' ? draw.entries : draw.first
}

/** Windows whose draw is over. */
const drawnWindows = ({ window, phase }: DrawState): number => (phase === 'done' ? window + 1 : window)
