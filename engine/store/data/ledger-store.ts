/**
 * The ledger of each campaign in Redis: created with its funds, fed by the scripts that turn vouchers, and by three
 * that move money in bulk: grants of a round, untouched vouchers that expired, merchants' days that are settled. Each
 * is safe to send again: a sequence, a run and a part of a day count once.
 */
import type { Code } from '../../base/codes.ts'
import { type Dated, datedRead } from '../connection/dated-read.ts'
import * as keys from '../connection/keys.ts'
import type { Link, Reply } from '../connection/link.ts'
import type { Script, ScriptName } from '../connection/scripts.ts'
import { bookedCode, bookKeys, type Unused } from './voucher-store.ts'

/** One entry, as it was booked; all values are texts and absent where the entry has none. */
export interface LedgerEntry {
  /** `<ms>-<n>` */
  readonly id: string
  readonly at: string
  readonly kind: string
  readonly ref?: string
  readonly voucher?: string
  readonly by?: string
  readonly note?: string
  readonly merchant?: string
  /** The order's amount, minor units. */
  readonly gross?: string
  readonly pool?: string
  readonly count?: string
  /** Account, amount, account, amount, … */
  readonly legs?: string
  /** SHA-1 of the last entry's chain and this entry's words. */
  readonly chain: string
}

/** What an entry moved in an account, minor units. */
export function legOf({ legs }: LedgerEntry, isAccount: (name: string) => boolean): number {
  const words = legs?.split(' ') ?? []
  let sum = 0
  for (let i = 0; i + 1 < words.length; i += 2) if (isAccount(words[i] as string)) sum += Number(words[i + 1])
  return sum
}

export interface ExpiryRun {
  readonly roundNumber: number
  readonly template: number
  /** Exclusive, and the last one. */
  readonly from: number
  readonly to: number
  /** How many of its sequences were granted; all of them where it is left out. */
  readonly packs?: number
  readonly quantity: number
  readonly worth: number
  readonly endsAt: number
  readonly buckets: readonly string[]
  readonly unused: Unused
}

export interface SettledPart {
  readonly date: string
  readonly endsAt: number
  readonly part: number
  readonly amounts: readonly (readonly [merchant: string, amount: number])[]
  /** With the last part. */
  readonly totals: string
  readonly by: string
}

/** What is kept of a redemption for its reversal; the words are scripts/lib/redemption.lua's. */
export interface RedemptionRecord {
  readonly id: string
  /** succeeded, partial, reversed or deactivated. */
  readonly state: string
  /** Minor units of its discount that were taken back. */
  readonly reversed: number
  readonly merchant: string
  readonly order: string
}

export interface KeptRedemption extends RedemptionRecord {
  /** When it was made, milliseconds since 1970. */
  readonly at: number
  /** The redemption as JSON without its time. */
  readonly answer: string
}

/** Fields that one look at a long HASH asks for: under a millisecond of Redis's time. */
const SCAN_FIELDS = 1000

export class LedgerStore {
  readonly #changes: Link
  readonly #reads: Link
  readonly #scripts: Readonly<Record<ScriptName, Script>>

  constructor(changes: Link, reads: Link, scripts: Readonly<Record<ScriptName, Script>>) {
    this.#changes = changes
    this.#reads = reads
    this.#scripts = scripts
  }

  async create(campaignId: string, funds: number): Promise<void> {
    await this.#changes.script(this.#scripts['campaign-create'], bookKeys(campaignId), [funds])
  }

  /** Books a round's grants up to a sequence. */
  book(
    campaignId: string,
    roundNumber: number,
    grants: { sequence: number; amount: number; source: string },
  ): Promise<Code> {
    const args = [roundNumber, grants.sequence, grants.amount, grants.source]
    return this.#code('book', campaignId, bookKeys(campaignId), args)
  }

  /** How far a run of untouched vouchers was expired: the last sequence, 0 at the start. */
  async expiredTo(campaignId: string, roundNumber: number, template: number): Promise<number> {
    const field = `swept ${roundNumber}:${template}`
    return Number((await this.#reads.request(client => client.hget(keys.campaignState(campaignId), field))) ?? 0)
  }

  /** How many grants of each round were booked, by the round's number. */
  async booked(campaignId: string, roundNumbers: readonly number[]): Promise<number[]> {
    const fields = roundNumbers.map(number => `booked ${number}`)
    const read = await this.#reads.request(client => client.hmget(keys.campaignState(campaignId), ...fields))
    return read.map(sequence => Number(sequence ?? 0))
  }

  expire(campaignId: string, run: ExpiryRun): Promise<Code> {
    const names = [...bookKeys(campaignId), keys.campaignTouched(campaignId), keys.campaignBudget(campaignId)]
    const { roundNumber, template, from, to, packs = to - from, quantity, worth, endsAt, buckets, unused } = run
    const args = [`${roundNumber}:${template}`, from, to, packs, quantity, worth, endsAt, buckets.join(' '), unused]
    return this.#code('expire', campaignId, names, args)
  }

  /** Handles touched vouchers that are due, `most` of them; resolves with how many there were. */
  async due(campaignId: string, most: number, unused: Unused): Promise<number> {
    const names = [
      ...bookKeys(campaignId),
      keys.campaignVouchers(campaignId),
      keys.campaignTouched(campaignId),
      keys.campaignDue(campaignId),
      keys.campaignBudget(campaignId),
    ]
    const reply = await this.#changes.script(this.#scripts['voucher-due'], names, [most, unused])
    bookedCode(campaignId, reply)
    return reply[1] as number
  }

  settle(campaignId: string, { date, endsAt, part, amounts, totals, by }: SettledPart): Promise<Code> {
    const names = [...bookKeys(campaignId), keys.campaignSettlements(campaignId)]
    return this.#code('settle', campaignId, names, [date, endsAt, part, amounts.flat().join(' '), totals, by])
  }

  /** The kept totals of a settled day, or undefined. */
  async settled(campaignId: string, date: string): Promise<string | undefined> {
    const kept = await this.#reads.request(client => client.hget(keys.campaignSettlements(campaignId), date))
    return kept ?? undefined
  }

  /** Account to minor units, as text, and how many grants of each round they count: one moment's. */
  async standing(campaignId: string, roundNumbers: readonly number[]) {
    const fields = roundNumbers.map(number => `booked ${number}`)
    const replies = await this.#reads.request(client => {
      const both = client.multi().hgetall(keys.campaignBalances(campaignId))
      return (fields.length > 0 ? both.hmget(keys.campaignState(campaignId), ...fields) : both).exec()
    })
    const [balances, booked] = (replies ?? []).map(([, reply]) => reply)
    return {
      balances: (balances ?? {}) as Readonly<Record<string, string>>,
      booked: ((booked ?? []) as (string | null)[]).map(sequence => Number(sequence ?? 0)),
    }
  }

  /** The campaign's clock as of now, milliseconds since 1970. */
  async now(campaignId: string): Promise<number> {
    const reply = await this.#reads.script(
      this.#scripts['voucher-read'],
      [...bookKeys(campaignId), keys.campaignVouchers(campaignId), keys.campaignAnswers(campaignId)],
      [''],
    )
    bookedCode(campaignId, reply)
    return Number((reply[1] as Buffer).toString())
  }

  /** Entries from an id on (inclusive; `(id` is exclusive) to another, in order, read a page at a time. */
  async *entries(campaignId: string, from = '-', to = '+', pageEntries = 1000): AsyncGenerator<LedgerEntry> {
    let start = from
    for (;;) {
      const begin = start
      const page = await this.#reads.request(client =>
        client.xrange(keys.campaignLedger(campaignId), begin, to, 'COUNT', pageEntries),
      )
      for (const [id, flat] of page) yield entryOf(id, flat)
      if (page.length < pageEntries) return
      start = `(${page.at(-1)?.[0]}`
    }
  }

  /** The id of the last entry; a ledger has one from its beginning. */
  async lastId(campaignId: string): Promise<string> {
    const [last] = await this.#reads.request(client =>
      client.xrevrange(keys.campaignLedger(campaignId), '+', '-', 'COUNT', 1),
    )
    return last?.[0] ?? '0-0'
  }

  /** A merchant's JSON, and since when by Redis's clock that is known. */
  merchant(id: string): Promise<Dated<string | null>> {
    return datedRead(this.#reads, client => client.hget(keys.merchants(), id))
  }

  /** Every merchant's JSON by its id, read a page at a time, so that nobody waits behind many. */
  async allMerchants(): Promise<ReadonlyMap<string, string>> {
    const found = new Map<string, string>()
    for await (const [id, json] of scanned(this.#reads, keys.merchants())) found.set(id, json)
    return found
  }

  /** A redemption with what is left of it; undefined where there is none. */
  async redemption(campaignId: string, id: string): Promise<KeptRedemption | undefined> {
    const [record, kept] = await this.#reads.request(client =>
      Promise.all([
        client.hget(keys.campaignRedemptions(campaignId), id),
        client.hget(keys.campaignAnswers(campaignId), id),
      ]),
    )
    const [, at, answer] = kept?.match(/^(\d+) (.*)$/s) ?? []
    return record && at && answer ? { ...recordOf(id, record), at: Number(at), answer } : undefined
  }

  /** The scope that stands in each of these redemptions' and reversals' answers; undefined where none does. */
  async viasOf(campaignId: string, ids: readonly string[]): Promise<readonly (string | undefined)[]> {
    if (ids.length === 0) return []
    const kept = await this.#reads.request(client => client.hmget(keys.campaignAnswers(campaignId), ...ids))
    return kept.map(text => text && (JSON.parse(text.slice(text.indexOf(' '))) as { via?: string }).via) as string[]
  }

  /** All redemptions of a campaign, in no order; one that is made meanwhile may be missing, and one may come twice. */
  async *redemptions(campaignId: string): AsyncGenerator<RedemptionRecord> {
    for await (const [id, record] of scanned(this.#reads, keys.campaignRedemptions(campaignId)))
      yield recordOf(id, record)
  }

  /** The JSON of several merchants, in their order. */
  merchants(ids: readonly string[]): Promise<(string | null)[]> {
    return ids.length === 0
      ? Promise.resolve([])
      : this.#reads.request(client => client.hmget(keys.merchants(), ...ids))
  }

  async #code(script: ScriptName, campaignId: string, names: string[], args: (string | number)[]): Promise<Code> {
    return bookedCode(campaignId, (await this.#changes.script(this.#scripts[script], names, args)) as Reply[])
  }
}

function entryOf(id: string, flat: readonly string[]): LedgerEntry {
  const entry: Record<string, string> = { id }
  for (let i = 0; i + 1 < flat.length; i += 2) entry[flat[i] as string] = flat[i + 1] as string
  return entry as unknown as LedgerEntry
}

const RECORD = /^(?:\S+ ){5}(\d+) ([a-z]+) \S+ \S+ (\S+) \S+ (.*)$/s

function recordOf(id: string, record: string): RedemptionRecord {
  const [, reversed, state = '', merchant = '', order = ''] = record.match(RECORD) ?? []
  return { id, state, reversed: Number(reversed), merchant, order }
}

/** The fields of a HASH and their values, a page at a time. */
async function* scanned(link: Link, key: string): AsyncGenerator<[field: string, value: string]> {
  let cursor = '0'
  do {
    const from = cursor
    const [next, page] = await link.request(client => client.hscan(key, from, 'COUNT', SCAN_FIELDS))
    for (let i = 0; i + 1 < page.length; i += 2) yield [page[i] as string, page[i + 1] as string]
    cursor = next
  } while (cursor !== '0')
}
