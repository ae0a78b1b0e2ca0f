/**
 * What a witness asks when all is healed, at every node: everybody who was told a grant, by every way in which it can be found; every code
 * that went to the till; the lists; the ledgers; the state of each round.
 *
 * A crowd has hundreds of thousands of people: of those some are asked by name, whose answers came around a fault before
 * others, and all are looked up in the list.
 */
import { effort } from '../effort.ts'
import { below } from '../seed.ts'
import type { Door, Heard } from './door.ts'
import { grantOf } from './people.ts'
import { GRANTS } from './people-told.ts'
import type { Reader } from './reader.ts'
import { nowMs, type RoundRecord, type StateSeen, says, type Testimony } from './testimony.ts'
import type { Till } from './till.ts'

/** Longer lists are read in the longer forms only; the row's own audit has them in the short one. */
const LISTED_MAX = effort(5000, Number.POSITIVE_INFINITY)
const READY_MS = 60_000
const AGREE_MS = 2000
const PAUSE_MS = 50
/** For all repetitions together: where a level may lose something, an answer may be in doubt for ever. */
const REPEATING_MS = 30_000
/** A list that cannot go on ends with a problem as its last line. */
const BROKEN_OFF = '{"type":"urn:'
const LINE = /"sequence":(\d+),"user_id":"(\w+)"/g

interface Asked {
  readonly doors: readonly Door[]
  readonly readers: readonly Reader[]
  readonly next: () => number
  /** So many of a crowd are asked for by name. */
  readonly sample: number
}

interface ClaimOfUser {
  readonly round_id: string
  readonly claim?: { readonly sequence: number }
  readonly vouchers?: readonly { readonly code: string }[]
}

export class FinalQuestions {
  readonly #testimony: Testimony
  readonly #asked: Asked
  #repeatedMs = 0

  constructor(testimony: Testimony, asked: Asked) {
    this.#testimony = testimony
    this.#asked = asked
  }

  /** Resolves when every node says that it is ready. */
  async ready(): Promise<void> {
    const until = nowMs() + READY_MS
    for (const door of this.#asked.doors)
      while ((await door.get('/readyz')).status !== 200) {
        if (nowMs() > until) throw new Error(`${door.node} is not ready ${READY_MS} ms after the row's end`)
        await new Promise(resume => setTimeout(resume, PAUSE_MS))
      }
  }

  async ask(till: Till): Promise<void> {
    for (const round of this.#testimony.rounds) {
      const holders = this.#holders(round)
      const users = this.#sample(round, holders)
      for (const door of this.#asked.doors) {
        for (const user of users) await this.#find(door, round, user)
        if (holders.length <= LISTED_MAX) await this.#list(door, round)
      }
    }
    for (const door of this.#asked.doors) {
      for (const job of till.known) await till.again(door, job, ask => this.#certain(ask))
      for (const campaignId of new Set(this.#testimony.rounds.map(round => round.campaignId))) {
        const { node, text, outcome } = await this.#certain(() => door.get(`/v1/campaigns/${campaignId}/ledger`))
        if (outcome !== 'done') throw new Error(`the ledger of ${campaignId} by ${node}: ${outcome}`)
        const { balances } = JSON.parse(text) as { balances: Readonly<Record<string, number>> }
        this.#testimony.balances.push({ node, campaignId, amounts: balances })
      }
    }
    await this.#agree()
  }

  /** Asks until the answer is certain: in doubt, or not now, is nothing to judge. What never becomes certain is judged. */
  async #certain(ask: () => Promise<Heard>): Promise<Heard> {
    for (;;) {
      const from = nowMs()
      const heard = await ask()
      const isWhole = !heard.text.includes(BROKEN_OFF) || heard.outcome !== 'done'
      if ((['yes', 'no'].includes(says(heard.outcome)) && isWhole) || this.#repeatedMs > REPEATING_MS) return heard
      await new Promise(resume => setTimeout(resume, PAUSE_MS))
      this.#repeatedMs += nowMs() - from
    }
  }

  /** The first row of each person who was told a grant. */
  #holders({ history: { at, length } }: RoundRecord): readonly number[] {
    const rows: number[] = []
    const seen = new Set<number>()
    for (let row = 0; row < length; row++) {
      const user = at.user[row] as number
      if (!GRANTS[at.outcome[row] as number] || seen.has(user)) continue
      seen.add(user)
      rows.push(row)
    }
    return rows
  }

  /** Those of them who are asked for by name: all, or of many the last before each fault and some others. */
  #sample({ history: { at } }: RoundRecord, rows: readonly number[]): readonly number[] {
    const { sample, next } = this.#asked
    const near = this.#testimony.disturbed.flatMap(({ from, to }) => {
      const until = rows.findLastIndex(row => (at.answered[row] as number) / 1000 < from)
      const after = rows.findIndex(row => (at.answered[row] as number) / 1000 > to)
      return [until, after].filter(place => place >= 0)
    })
    const chosen = new Set(near.slice(-Math.ceil(sample / 2)))
    while (chosen.size < Math.min(sample, rows.length)) chosen.add(below(next, rows.length))
    return [...chosen].map(place => at.user[rows[place] as number] as number)
  }

  async #find(door: Door, round: RoundRecord, user: number): Promise<void> {
    const { id: roundId, userIdOf } = round
    const userId = userIdOf(user)
    const claimed = await this.#certain(() => door.post(`/v1/rounds/${roundId}/claims`, { user_id: userId }))
    this.#testimony.found.push({ ...claimed, roundId, user, how: 'claim', ...grantOf(claimed) })
    const looked = await this.#certain(() => door.get(`/v1/rounds/${roundId}/claims/${userId}`))
    this.#testimony.found.push({ ...looked, roundId, user, how: 'look-up', ...grantOf(looked) })
    const all = await this.#certain(async () => {
      const heard = await door.get(`/v1/claims?user_id=${userId}`)
      // A round in doubt is a row.
      return heard.text.includes(`"round_id":"${roundId}","round_state":"fenced"`)
        ? { ...heard, outcome: 'fenced' }
        : heard
    })
    const rows = all.outcome === 'done' ? (JSON.parse(all.text) as { data: ClaimOfUser[] }).data : []
    const row = rows.find(({ round_id }) => round_id === roundId)
    const outcome = all.outcome !== 'done' ? all.outcome : row ? 'granted' : 'not_found'
    const codes = (row?.vouchers ?? []).map(({ code }) => code)
    const found = { outcome, sequence: row?.claim?.sequence ?? 0, codes }
    this.#testimony.found.push({ ...all, roundId, user, how: 'claims of a user', ...found })
  }

  async #list(door: Door, round: RoundRecord): Promise<void> {
    const { node, text, outcome } = await this.#certain(() =>
      door.get(`/v1/rounds/${round.id}/claims`, { ndjson: true }),
    )
    if (outcome !== 'done') throw new Error(`the list of ${round.id} by ${node}: ${outcome}`)
    const rows = [...text.matchAll(LINE)]
    round.lists.push({
      node,
      users: Uint32Array.from(rows, ([, , userId]) => round.indexOf(userId as string)),
      sequences: Uint32Array.from(rows, ([, sequence]) => Number(sequence)),
    })
  }

  /** The last that each node showed of each round on the stream. */
  #lastFrames(): Iterable<StateSeen> {
    const last = new Map<string, StateSeen>()
    for (const seen of this.#testimony.states) if (seen.how === 'frame') last.set(`${seen.node} ${seen.roundId}`, seen)
    return last.values()
  }

  /** Reads each round at each node until all say the same, or for as long as they may differ. */
  async #agree(): Promise<void> {
    const until = nowMs() + AGREE_MS
    for (;;) {
      this.#testimony.healedAt = nowMs()
      const from = this.#testimony.states.length
      for (const reader of this.#asked.readers) await reader.read(true)
      const said = this.#testimony.states.slice(from).filter(({ how }) => how !== 'frame')
      // A frame is a little behind, and the last one comes by itself.
      const contents = [...said, ...this.#lastFrames()].map(({ roundId, state, granted, epoch, version }) =>
        [roundId, state, granted, epoch, version].join(),
      )
      if (new Set(contents).size === this.#testimony.rounds.length || nowMs() > until) return
      await new Promise(resume => setTimeout(resume, PAUSE_MS))
    }
  }
}
