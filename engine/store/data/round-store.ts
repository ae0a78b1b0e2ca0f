/**
 * Campaigns and rounds in Redis: written once, turned by scripts, listed by their indexes. A round's configuration is
 * immutable JSON in its state hash; what moves is the notice. Creating a round takes three idempotent steps (number,
 * state, index); what a crash between them leaves is found by its money (campaign/money/commitments.ts).
 */
import type { Redis } from 'ioredis'
import { Fault } from '../../base/assert.ts'
import { CODES, type Code } from '../../base/codes.ts'
import { assertCertain } from '../connection/doubt.ts'
import * as keys from '../connection/keys.ts'
import { callWithText, type Link, type Reply, type Sent } from '../connection/link.ts'
import { ofPrimary } from '../connection/primary.ts'
import type { Script, Scripts } from '../connection/scripts.ts'
import { claimCode } from './claim-store.ts'
import { grantedOf, type Notice, noticeIn } from './notice.ts'

export interface NewRound {
  readonly id: string
  readonly campaignId: string
  readonly number: number
  readonly epoch: string
  /** Milliseconds since 1970, 0 for none. */
  readonly opensAt: number
  readonly closesAt: number
  readonly config: string
  /** Stock of each pool; the first is `general`. */
  readonly totals: readonly number[]
  /** At the level fenced. */
  readonly fenced?: boolean
}

/** Where a fenced round is bound to, as seen from the server that was asked; empty at the other levels. */
export type Binding = 'here' | 'elsewhere' | ''

export interface RoundRead {
  readonly notice: Notice
  readonly config: string
  readonly binding: Binding
  /** The name of the server's history that was read; empty at the other levels than fenced. */
  readonly server: string
}

export interface RoundEntry {
  readonly id: string
  readonly number: number
  readonly campaignId: string
}

export type TurnVerb = 'open' | 'pause' | 'resume' | 'close'

export interface Turned {
  readonly code: Code
  readonly notice: Notice
  /** Whether it was sent on more than one connection: then `replayed` may be its own doing. */
  readonly again?: boolean
}

/** What a dry call of a change says: the notice as it would be, and as it is; of a refusal both are as it is. */
export interface DryTurned extends Turned {
  readonly before: Notice
}

export interface Damage {
  readonly what: string
  /** There is no state at all. */
  readonly isMissing: boolean
  /** An index lacks it: it goes on, but lists or codes do not lead to it. */
  readonly isUnlisted?: boolean
  /** What helps, where its keys want no backup. */
  readonly mend?: string
  /** All its keys are there, and nodes of this level cannot claim from it. */
  readonly isOtherLevel?: boolean
}

export interface Restock {
  readonly pool: number
  readonly add: number
  readonly most: number
  /** What the pool's total has to be now; anything where it is left out. */
  readonly ifTotal?: number | undefined
  readonly request: string
}

const text = (reply: Reply | undefined): string => (reply as Buffer).toString('utf8')

/** So long the one server may take that judges what does not agree, milliseconds. */
const JUDGED_MS = 1000

export class RoundStore {
  readonly #link: Link
  readonly #scripts: Scripts
  /** For how long a worker may go on refusing after a change that lets grants resume; 0 where there are no workers. */
  readonly leaseMs: number
  readonly #level: string | undefined

  /** `level` is that of the node, for checks; none is compared where it is left out. */
  constructor(link: Link, scripts: Scripts, leaseMs: number, level?: string) {
    this.#link = link
    this.#level = level
    this.leaseMs = leaseMs
    this.#scripts = scripts
  }

  /** Keeps a campaign's JSON; false where one was kept before. */
  async createCampaign(id: string, json: string): Promise<boolean> {
    return (await this.#link.request(client => client.hsetnx(keys.campaigns(), id, json))) === 1
  }

  campaign(id: string): Promise<string | null> {
    return this.#link.request(client => client.hget(keys.campaigns(), id))
  }

  /** Every campaign's JSON, by id. */
  campaigns(): Promise<Record<string, string>> {
    return this.#link.request(client => client.hgetall(keys.campaigns()))
  }

  /** The last number that a round was given. */
  async lastNumber(): Promise<number> {
    return Number(await this.#link.request(client => client.get(keys.roundNumber())))
  }

  /**
   * A number no other round has. A resend may skip one; that costs nothing. Where the counter was lost or set back, it goes on
   * behind the highest number of the indexes.
   */
  async nextNumber(): Promise<number> {
    // As many have a number below the next one.
    const listed = await this.count()
    const next = () => this.#link.request(client => client.incr(keys.roundNumber()))
    let number = await next()
    const taken = await this.#link.request(client => client.hexists(keys.roundsByNumber(), String(number)))
    if (number > listed && taken === 0) return number
    const numbered = await this.#link.request(client => client.hgetall(keys.roundsByNumber()))
    const highest = Math.max(...(await this.index()).map(row => row.number), ...Object.keys(numbered).map(Number))
    while (number <= highest) number = await next()
    return number
  }

  /** Makes the state of a round; nobody finds it before it is enlisted. Throws Fault `unavailable` when it was given up meanwhile. */
  async createRound(round: NewRound): Promise<Turned> {
    const { id } = round
    const { reply, again } = await this.#link.send(
      this.#scripts['round-create'],
      [keys.roundState(id), keys.roundLog(id), keys.roundVoid(id)],
      [
        ...[keys.roundChannel(id), round.epoch, round.opensAt, round.closesAt, round.config, round.totals.join(' ')],
        round.fenced ? '1' : '',
      ],
    )
    const code = claimCode(reply[0] as number)
    if (code === 'unavailable') throw new Fault('unavailable', 'this took too long and was given up; nothing was made')
    return { code, notice: noticeIn(reply[1]), again }
  }

  /** Puts a round into the index. */
  async enlist({ id, number, campaignId }: RoundEntry): Promise<void> {
    await this.#link.request(client => client.hset(keys.roundsByNumber(), String(number), id))
    await this.#link.request(client => client.hset(keys.rounds(), id, `${number} ${campaignId}`))
  }

  /** All rounds, or one campaign's, in the order in which they were made. */
  async index(campaignId?: string): Promise<RoundEntry[]> {
    const index = await this.#link.request(client => client.hgetall(keys.rounds()))
    const rows = Object.entries(index).map(([id, row]) => {
      const [number = '', campaign = ''] = row.split(' ')
      return { id, number: Number(number), campaignId: campaign }
    })
    return rows.filter(row => !campaignId || row.campaignId === campaignId).sort((a, b) => a.number - b.number)
  }

  /** The ids of all rounds, or of one campaign's. */
  async roundIds(campaignId?: string): Promise<string[]> {
    return (await this.index(campaignId)).map(({ id }) => id)
  }

  /** The ids of all rounds that either index has. */
  async anyIds(): Promise<string[]> {
    const numbered = await this.#link.request(client => client.hgetall(keys.roundsByNumber()))
    return [...new Set([...(await this.roundIds()), ...Object.values(numbered)])]
  }

  /** The round of a number; null when there is none. */
  async roundIdOf(number: number): Promise<string | null> {
    const read = (client: Redis) => client.hget(keys.roundsByNumber(), String(number))
    const id = await this.#link.request(client => ofPrimary(client, read))
    if (id !== null || !(await this.#lacksNumbers())) return id
    return (await this.index()).find(row => row.number === number)?.id ?? null
  }

  /** Whether the index by numbers, which gets the row of a round first, has fewer rows than the one by ids. */
  async #lacksNumbers(): Promise<boolean> {
    const listed = await this.count()
    return (await this.#link.request(client => client.hlen(keys.roundsByNumber()))) < listed
  }

  /** Whether the index knows the round: then its missing state is `fenced`, not `not_found`. */
  async isKnown(id: string): Promise<boolean> {
    const read = (client: Redis) => client.hexists(keys.rounds(), id)
    return (await this.#link.request(client => ofPrimary(client, read))) === 1
  }

  /** How many rounds the index has. */
  count(): Promise<number> {
    return this.#link.request(client => client.hlen(keys.rounds()))
  }

  /** A round's notice and configuration, or undefined when Redis has no state of it. */
  async read(id: string): Promise<RoundRead | undefined> {
    return roundReadOf(await this.#link.script(this.#scripts['round-read'], [keys.roundState(id)], []))
  }

  /** What is wrong with a round's keys; undefined when nothing is, or while it is given back to another server. */
  async damage(id: string): Promise<Damage | undefined> {
    const read = await this.read(id).catch(unreadable)
    if (!read) return { what: 'its state in Redis is missing', isMissing: true }
    if (read instanceof Error || !isJson(read.config))
      return { what: 'its state in Redis cannot be read', isMissing: false }
    if (read.binding !== '' && this.#level !== undefined && this.#level !== 'fenced')
      return read.notice.state === 'closed' ? undefined : otherLevel(this.#level)
    if (read.binding === 'elsewhere') return undefined
    // Each goes its own way: while a slot of a cluster moves, one may be there already and the other not yet.
    const [holders, log] = await Promise.all([
      this.#link.request(client => ofPrimary(client, one => one.hlen(keys.roundHolders(id)))),
      this.#link.request(client => ofPrimary(client, one => one.exists(keys.roundLog(id)))),
    ])
    if (log === 0) return { what: 'its log in Redis is missing', isMissing: false }
    if (holders === grantedOf(read.notice)) return this.#unlisted(id, JSON.parse(read.config))
    return this.#miscounted(id)
  }

  /**
   * What one server counts of holders and grants, when no grant came between. What was read before went its own way each, so one of the
   * two may be of another moment, or of a server that was replaced. A slot that is half moved is judged by the next check.
   */
  async #miscounted(id: string): Promise<Damage | undefined> {
    const state = (client: Redis) => callWithText(client, this.#scripts['round-read'], [keys.roundState(id)])
    const look = (client: Redis) => Promise.all([state(client), client.hlen(keys.roundHolders(id)), state(client)])
    const asked = await this.#link.request(client => ofPrimary(client, look), JUDGED_MS).catch(notNow)
    const [before, after] = [asked?.[0], asked?.[2]].map(reply => reply && roundReadOf(reply)?.notice)
    const holders = asked?.[1]
    if (!before || before.version !== after?.version || before.epoch !== after.epoch) return undefined
    const granted = grantedOf(before)
    return holders === granted
      ? undefined
      : { what: `its holders are ${holders}, its state says ${granted}`, isMissing: false }
  }

  /** What an index lacks of a round that is sound. */
  async #unlisted(
    id: string,
    row: { readonly number: number; readonly campaign_id: string },
  ): Promise<Damage | undefined> {
    const { number, campaign_id } = row
    const [listed, numbered] = await Promise.all([
      this.#link.request(client => client.hexists(keys.rounds(), id)),
      this.#link.request(client => client.hget(keys.roundsByNumber(), String(number))),
    ])
    if (listed === 0) return unlisted(keys.rounds(), `${id} "${number} ${campaign_id}"`)
    return numbered === id ? undefined : unlisted(keys.roundsByNumber(), `${number} ${id}`)
  }

  turn(id: string, epoch: string, verb: TurnVerb, request: string): Promise<Turned> {
    return this.#change('round-turn', id, [epoch, verb], request)
  }

  restock(id: string, epoch: string, { pool, add, most, ifTotal, request }: Restock): Promise<Turned> {
    return this.#change('restock', id, [epoch, pool, add, most, ifTotal ?? ''], request)
  }

  /** What a turn would do; `replayed` where the request did it before. */
  dryTurn(id: string, epoch: string, verb: TurnVerb, request = ''): Promise<DryTurned> {
    return dryChange(this.#link, this.#scripts['round-turn-dry'], id, { args: [epoch, verb], request })
  }

  dryRestock(id: string, epoch: string, change: Omit<Restock, 'request'> & { request?: string }): Promise<DryTurned> {
    const { pool, add, most, ifTotal, request = '' } = change
    const args = [epoch, pool, add, most, ifTotal ?? '']
    return dryChange(this.#link, this.#scripts['restock-dry'], id, { args, request })
  }

  /** What became of a round by its keys alone: made, void (it never will be), or nothing yet. */
  async standing(id: string): Promise<'made' | 'void' | 'none'> {
    // The state is looked at last: whoever makes a round looks at both in one step, and what is void stays so.
    const isVoid = await this.#link.request(client => ofPrimary(client, one => one.exists(keys.roundVoid(id))))
    if (isVoid === 1) return 'void'
    const isMade = await this.#link.request(client => ofPrimary(client, one => one.exists(keys.roundState(id))))
    return isMade === 1 ? 'made' : 'none'
  }

  /** Ends a hold, when its lease is over for everybody. */
  async endHold(id: string, epoch: string, hold: string): Promise<Notice> {
    const args = [keys.roundChannel(id), epoch, hold]
    const reply = await this.#link.script(this.#scripts['hold-end'], [keys.roundState(id)], args)
    if (claimCode(reply[0] as number) === 'fenced') throw stateless(id)
    return noticeIn(reply[1])
  }

  /** What the hold of a change is called, `by` being its own name; empty where nobody has to be waited for. */
  holdOf(by: string): string {
    return this.leaseMs > 0 ? by : ''
  }

  async #change(
    script: 'round-turn' | 'restock',
    id: string,
    args: readonly (string | number)[],
    request: string,
  ): Promise<Turned> {
    const names = [keys.roundState(id), keys.roundLog(id)]
    const all = [keys.roundChannel(id), ...args, this.holdOf(request), request, '']
    return turnedBy(id, await this.#link.send(this.#scripts[script], names, all))
  }
}

/** What a change of a round came to. Throws Fault where the server has no state of it, or may not have decided it yet. */
export function turnedBy(id: string, { reply, again, executed }: Sent): Turned {
  const code = claimCode(reply[0] as number)
  assertCertain({ again: again || (executed && code === 'fenced') }, code, `round ${id}`)
  if (code === 'fenced') throw stateless(id)
  return { code, notice: noticeIn(reply[1]), again }
}

/** Asks a script what it would do to a round. It writes nothing, so what it refuses is certain on whatever connection. */
export async function dryChange(
  link: Link,
  script: Script,
  id: string,
  { args, request = '' }: { readonly args: readonly (string | number)[]; readonly request?: string },
): Promise<DryTurned> {
  const names = [keys.roundState(id), keys.roundLog(id)]
  const reply = await link.script(script, names, [keys.roundChannel(id), ...args, '', request, '1'])
  const code = claimCode(reply[0] as number)
  if (code === 'fenced') throw stateless(id)
  const notice = noticeIn(reply[1])
  return { code, notice, before: reply[2] ? noticeIn(reply[2]) : notice }
}

/** A round of the level fenced, as nodes of another level find it: they may not claim from it, and nothing leads back. */
const otherLevel = (level: string): Damage => ({
  what: `it is of the level fenced, this node's is ${level}`,
  isMissing: false,
  isOtherLevel: true,
  mend: 'claim from it over nodes of the level fenced, or close it and make another round of what is left',
})

const unlisted = (index: string, row: string): Damage => ({
  what: `the index ${index} in Redis lacks its row (HSET ${index} ${row})`,
  isMissing: false,
  isUnlisted: true,
})

/** What was wrong with bytes that were read; a Redis that did not answer is thrown on. */
function unreadable(cause: unknown): Error {
  if (cause instanceof Fault || !(cause instanceof Error)) throw cause
  return cause
}

/** What was not answered in time is judged by the next check. */
function notNow(cause: unknown): undefined {
  if (!(cause instanceof Fault)) throw cause
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** What round-read.lua replied. */
export function roundReadOf(reply: readonly Reply[]): RoundRead | undefined {
  if (reply[0] !== CODES.granted.number) return undefined
  const [binding = '', server = ''] = text(reply[3]).split(' ')
  return { notice: noticeIn(reply[1]), config: text(reply[2]), binding: binding as Binding, server }
}

/** What a script answers by `fenced`: the server has no state of the round that it may change. */
export const stateless = (id: string): Fault =>
  new Fault('fenced', `round ${id}: it is bound to another server, or its state is missing or of another epoch`)

/** The index knows the round and Redis has no state of it. */
export const lostRound = (id: string): Fault =>
  new Fault('fenced', `round ${id}: its state in Redis is missing; restore it from a backup`)
