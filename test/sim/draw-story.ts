/**
 * What the people of one simulated drawn round were told, and the judgement over it: who was answered `entered` is in the list of
 * that window, once and in their pool; the list has nobody else; each window's files verify, and a slow and plain model of
 * the draw gives the same winners; the winners, in that order, are the holders; and everybody is told so.
 *
 * Tags stand for people. Some people bring a nonce of their own, and not each time: the first one that is taken stands, so a
 * person has one of two tags. The times that a commitment states are left out: operators pause and clocks jump here, which
 * breaks the promise of a window and is stated truly. Rejected: the engine's verifier alone, since it and the draw share code.
 */
import { RoundSecrets, signingSeed } from '../../engine/auth/draw-secrets.ts'
import type { Code } from '../../engine/base/codes.ts'
import { holderOfTag } from '../../engine/base/holder.ts'
import type { ClaimRequest } from '../../engine/campaign/round/asks.ts'
import type { SingleAsk } from '../../engine/campaign/round/round.ts'
import { commitUser, tagOf } from '../../engine/draw/entry.ts'
import { findReceiptFlaw, type Receipt } from '../../engine/draw/receipt.ts'
import { signingKeyOf } from '../../engine/draw/signing-key.ts'
import { bundleParts } from '../../engine/draw/verify/bundle.ts'
import { verifyBundle } from '../../engine/draw/verify/verification.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import { plainDraw, plainRoot, RECORD } from '../support/draw-model.ts'
import type { Keyspace } from './redis/keyspace.ts'
import type { Chance } from './timeline.ts'

const CHUNK = 3854
const EXAMPLES = 2
const NONCE_BYTES = 16
/** Whoever holds a receipt may be told this, and that nothing certain can be said. */
const MAY_BE_TOLD: ReadonlySet<Code> = new Set([
  ...(['entered', 'granted', 'replayed', 'sold_out', 'fenced', 'overloaded', 'unknown', 'unavailable'] as const),
])

interface Person {
  readonly nonce: string
  readonly salt: string
  /** The tag with their own nonce, and the one that the engine makes. */
  readonly tags: readonly [string, string]
  receipt: Receipt | undefined
  /** When the receipt came, by the world's time. */
  enteredAt: number
  granted: { readonly sequence: number; readonly pool: number } | undefined
  isRefused: boolean
}

/** A window as the surviving server has it. */
interface Window {
  readonly window: number
  readonly entries: Buffer
  readonly winners: readonly string[]
}

export interface DrawStoryOptions {
  readonly id: string
  readonly pools: readonly string[]
  readonly userId: (user: number) => string
  readonly drawSecret: Buffer
}

/** What one receipt promises, without what is told to its owner only. */
const promiseOf = ({ salt: _, nonce: __, ...promise }: Receipt): string => JSON.stringify(promise)

export class DrawStory {
  readonly #options: DrawStoryOptions
  readonly #people = new Map<number, Person>()
  readonly #problems: string[] = []
  readonly #secrets: RoundSecrets

  constructor(options: DrawStoryOptions) {
    this.#options = options
    this.#secrets = new RoundSecrets(options.drawSecret, options.id)
  }

  /** How many were told that they won. */
  get grants(): number {
    return [...this.#people.values()].filter(({ granted }) => granted !== undefined).length
  }

  /** How many hold a receipt. */
  get entries(): number {
    return [...this.#people.values()].filter(({ receipt }) => receipt !== undefined).length
  }

  /** What a person brings with a claim, now and then. */
  bring(user: number, chance: Chance): Pick<ClaimRequest, 'nonce' | 'salt'> {
    const known = this.#people.get(user) ?? this.#newPerson(user, chance)
    this.#people.set(user, known)
    return chance.happens(0.5) ? { nonce: known.nonce, salt: known.salt } : {}
  }

  /** A person was answered; what was asked before the receipt came may have been decided before they entered. */
  told(user: number, [sent, at]: readonly [number, number], [code, ask]: readonly [Code, SingleAsk | undefined]): void {
    const person = this.#people.get(user)
    if (!person) return
    const name = this.#options.userId(user)
    if (person.enteredAt < sent && !MAY_BE_TOLD.has(code)) this.#tell(`${name} holds a receipt and is told ${code}`)
    const { receipt } = ask ?? {}
    if (code === 'entered' && !receipt) this.#tell(`${name} entered and has no receipt`)
    if (receipt && promiseOf(person.receipt ?? receipt) !== promiseOf(receipt))
      this.#tell(`${name} has two receipts: ${promiseOf(person.receipt as Receipt)} and ${promiseOf(receipt)}`)
    if (receipt && !person.receipt) person.enteredAt = at
    if (receipt) person.receipt ??= receipt
    if (code === 'sold_out') person.isRefused = true
    if (!ask?.holds) return
    const { sequence, pool } = person.granted ?? ask
    if (sequence !== ask.sequence || pool !== ask.pool) this.#tell(`${name} is told ${sequence}, then ${ask.sequence}`)
    person.granted = { sequence, pool }
  }

  /** Holder keys of everybody who may have entered, to their numbers. */
  get owners(): ReadonlyMap<string, number> {
    const rows = [...this.#people].flatMap(([user, { tags }]) => tags.map(tag => [tag, user] as const))
    return new Map(rows.map(([tag, user]) => [holderOfTag(Buffer.from(tag, 'hex')), user]))
  }

  /** What does not hold by the keys of the server that survives. */
  judge(redis: Keyspace): readonly string[] {
    const windows = this.#windows(redis)
    this.#judgeLists(windows)
    this.#judgeHolders(redis, windows)
    for (const [user, person] of this.#people) this.#judgePerson(this.#options.userId(user), person, windows)
    return this.#problems.map(problem => `D ${problem}`)
  }

  #tell(problem: string): void {
    if (this.#problems.length < EXAMPLES) this.#problems.push(problem)
  }

  #newPerson(user: number, chance: Chance): Person {
    const { id, userId } = this.#options
    const name = userId(user)
    const [nonce, salt] = [chance.bytes(NONCE_BYTES), chance.bytes(NONCE_BYTES)]
    const own = this.#secrets.personOf(name)
    const tags = [{ nonce, salt }, own].map(made => tagOf(id, made.nonce, commitUser(made.salt, name)).toString('hex'))
    return {
      ...{ nonce: nonce.toString('hex'), salt: salt.toString('hex'), tags: tags as [string, string] },
      ...{ receipt: undefined, enteredAt: Number.POSITIVE_INFINITY, granted: undefined, isRefused: false },
    }
  }

  /** The windows that were drawn, each verified and drawn again. */
  #windows(redis: Keyspace): readonly Window[] {
    const { id } = this.#options
    const draw = redis.hash(keys.roundDraw(id))
    const entries = Number(draw?.get('entries') ?? 0)
    const isDrawn = draw && (draw.get('phase') === 'done' || Number(draw.get('first')) === entries)
    if (!isDrawn)
      this.#tell(`the round is ${draw?.get('phase') ?? 'without a draw'} at the end, with ${entries} entries`)
    const firsts = [...(draw ?? [])].flatMap(([field, first]) =>
      field.startsWith('first ') ? [[Number(field.slice(6)), Number(first)] as const] : [],
    )
    const inOrder = firsts.sort(([a], [b]) => a - b)
    return inOrder.map(([window, first], i) => {
      const list = this.#entriesIn(redis, first, inOrder[i + 1]?.[1] ?? entries)
      return { window, entries: list, winners: this.#verify(redis, window, list) }
    })
  }

  #entriesIn(redis: Keyspace, from: number, to: number): Buffer {
    const chunks = Array.from({ length: Math.ceil(to / CHUNK) }, (_, chunk) =>
      Buffer.from(redis.text(keys.roundEntries(this.#options.id, chunk)) ?? '', 'latin1'),
    )
    return Buffer.concat(chunks).subarray(from * RECORD, to * RECORD)
  }

  /** The winners of a window, as published. */
  #verify(redis: Keyspace, window: number, entries: Buffer): readonly string[] {
    const { id, drawSecret } = this.#options
    const published = [...(redis.hash(keys.roundBundle(id, window)) ?? [])]
    const files = new Map<string, Buffer>(published.map(([name, text]) => [name, Buffer.from(text, 'latin1')]))
    files.set('entries.bin', entries)
    const { publicKey } = signingKeyOf(signingSeed(drawSecret))
    const untrue = verifyBundle(files, { publicKey }).checks.filter(({ name, ok }) => !ok && name !== 'times')
    for (const { name, detail } of untrue) this.#tell(`window ${window}: ${name}: ${detail}`)
    if (untrue.length > 0) return []
    const parts = bundleParts(files)
    const { pools, quota_order, waitlist } = parts.rules()
    const totals = pools.map(({ total }) => total)
    const plain = plainDraw(parts.seed(), entries, { totals, generalFirst: quota_order === 'general-first', waitlist })
    const tagAt = (index: number) => entries.toString('hex', index * RECORD, index * RECORD + RECORD - 1)
    const winners = plain.winners.map(([index, pool]) => `${tagAt(index)}:${pools[pool]?.name}`)
    const { commit } = parts.commit()
    if (commit.root !== plainRoot(entries).toString('hex')) this.#tell(`window ${window}: its root is another one`)
    if (String(winners) !== String(parts.result().winners))
      this.#tell(`window ${window}: others win by the plain model`)
    return winners
  }

  /** Every entry is somebody's who asked, and nobody has two. */
  #judgeLists(windows: readonly Window[]): void {
    const [owners, seen] = [this.owners, new Set<number>()]
    for (const { window, entries } of windows)
      for (let at = 0; at < entries.length; at += RECORD) {
        const tag = entries.subarray(at, at + RECORD - 1)
        const user = owners.get(holderOfTag(tag))
        if (user === undefined) this.#tell(`window ${window}: ${tag.toString('hex')} is nobody's who asked`)
        else if (seen.has(user)) this.#tell(`${this.#options.userId(user)} entered twice`)
        else seen.add(user)
      }
  }

  /** The holders are the winners of one window after the other, and no more. */
  #judgeHolders(redis: Keyspace, windows: readonly Window[]): void {
    const { id, pools } = this.#options
    const holders = redis.hash(keys.roundHolders(id)) ?? new Map<string, string>()
    const lines = windows.flatMap(({ winners }) => winners)
    if (holders.size !== lines.length) this.#tell(`${lines.length} won, and there are ${holders.size} holders`)
    for (const [i, line] of lines.entries()) {
      const [tag = '', pool = ''] = line.split(':')
      const grant = Buffer.from(holders.get(holderOfTag(Buffer.from(tag, 'hex'))) ?? '', 'latin1')
      const isHeld = grant.length === 5 && grant.readUInt32BE(0) === i + 1 && grant[4] === pools.indexOf(pool)
      if (!isHeld) this.#tell(`${line} won seat ${i + 1} and holds ${grant.toString('hex') || 'nothing'}`)
    }
  }

  #judgePerson(name: string, person: Person, windows: readonly Window[]): void {
    const { receipt, granted, isRefused, tags } = person
    const lines = windows.flatMap(({ winners }) => winners)
    const won = lines.findIndex(line => tags.some(tag => line.startsWith(tag)))
    if (granted && granted.sequence !== won + 1)
      this.#tell(`${name} is told ${granted.sequence}; by the draw ${won + 1}`)
    if (!receipt) return
    if (won >= 0 && isRefused) this.#tell(`${name} won seat ${won + 1} and was told sold_out`)
    if (won >= 0 && !granted) this.#tell(`${name} won seat ${won + 1} and was never told`)
    const { publicKey } = signingKeyOf(signingSeed(this.#options.drawSecret))
    const flaw = findReceiptFlaw(receipt, publicKey)
    if (flaw) this.#tell(`the receipt of ${name}: ${flaw}`)
    const { entries = Buffer.alloc(0) } = windows.find(({ window }) => window === receipt.window) ?? {}
    const record = Buffer.concat([Buffer.from(receipt.tag, 'hex'), Buffer.of(receipt.pool)])
    const places = Array.from({ length: entries.length / RECORD }, (_, i) => i * RECORD)
    const isIn = places.some(at => record.equals(entries.subarray(at, at + RECORD)))
    if (!isIn) this.#tell(`${name} holds a receipt for window ${receipt.window}, and is not in its list`)
  }
}
