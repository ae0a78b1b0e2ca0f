/**
 * Rounds whose keys in Redis are missing or contradict each other, as far as this worker knows. Their claims are `fenced`, and
 * whoever watches has to know: the checks of a node ask here, every five seconds, for the rounds that it serves and those
 * that a request stumbled upon. The other rounds go on, so a damaged one is a problem that is reported and stops nothing else.
 *
 * A Redis that has none of the rounds that were served is another thing: it was emptied, or it is another one. What is
 * granted there rests on nothing that people hold, so nothing is, until the rounds are back or the node is started anew.
 *
 * Campaigns are looked at, too: rounds of one whose keys are damaged would go on granting codes that nobody can redeem. Where
 * a redemption is refused, so are the claims of the campaign's rounds, from memory; what lies beside that is reported and
 * stops nothing.
 *
 * Rejected: counts compared at one moment by a script of their own (claims do that; here they are read twice), every round of the
 * index at each check (that is `fairgrab doctor --rounds`), and campaigns looked at by the claims themselves, which lie in
 * another slot.
 */
import { Fault } from '../../base/assert.ts'
import type { Finding } from '../../base/finding.ts'
import { ROUNDS_LOOKED_AT } from '../../base/limits.ts'
import type { CampaignChecks, CampaignDamage } from '../../store/data/campaign-checks.ts'
import type { RoundStore, Damage as Wrong } from '../../store/data/round-store.ts'

export interface Damage {
  /** What stops every grant. */
  readonly lost: readonly Finding[]
  /** A row a damaged round. */
  readonly damaged: readonly Finding[]
}

const SIDE_BY_SIDE = 16

/** Some of many at each call, in turn, so that ten thousand cost what a hundred do. */
class Turn {
  #from = 0

  of(ids: Iterable<string>): readonly string[] {
    const all = [...new Set(ids)]
    if (all.length <= ROUNDS_LOOKED_AT) return all
    const from = this.#from % all.length
    this.#from = from + ROUNDS_LOOKED_AT
    return [...all, ...all].slice(from, this.#from)
  }
}

/** Looks at each, some at a time. */
async function sideBySide(ids: readonly string[], look: (id: string) => Promise<void>): Promise<void> {
  for (let from = 0; from < ids.length; from += SIDE_BY_SIDE)
    await Promise.all(ids.slice(from, from + SIDE_BY_SIDE).map(look))
}

const LOST: Finding = {
  what: 'Redis has lost every round that this node serves (FLUSHALL, or it is another server)',
  mend: 'restore its data and start it again; where it is meant to be empty, start every node again',
}

const STATELESS: Wrong = { what: 'its state in Redis is missing', isMissing: true }

/** Until the next check has judged what a claim found. */
const NOT_JUDGED = 'ask again: within ten seconds it is known what helps'

/** What brings back keys of a round that are missing or contradict each other. */
const RESTORE = 'restore its keys from a backup'
const RESTORE_ON_CLUSTER = `end a move of its slot that broke off (redis-cli --cluster fix HOST:PORT: nothing is lost), else ${RESTORE}`

const wordsOf = (id: string, { what, isUnlisted }: Wrong): string =>
  `round ${id}: ${what}; ${isUnlisted ? 'its claims go on' : 'its claims are fenced, other rounds go on'}`

/** A strict or drawn round on nodes of the level fenced, which covers neither: they refuse its claims. */
export const NOT_COVERED: Wrong = {
  what: 'it is strict or drawn, which the level fenced does not cover',
  isMissing: false,
  isOtherLevel: true,
  mend: 'close it, or run all nodes at the level replicated until it is over',
}

export class DamagedRounds {
  readonly #rounds: Pick<RoundStore, 'damage' | 'isKnown' | 'count'>
  readonly #uncovered: (id: string) => boolean
  readonly #isCluster: boolean
  readonly #restore: string
  readonly #found = new Map<string, Wrong>()
  /** What requests stumbled upon, until a look judges it. */
  readonly #suspected = new Map<string, Wrong>()
  /** Rounds that were lost all together. */
  readonly #lost = new Set<string>()
  readonly #turn = new Turn()

  /** `uncovered` says of a round that is served whether the level of this node refuses its claims for good. */
  constructor(
    rounds: Pick<RoundStore, 'damage' | 'isKnown' | 'count'>,
    uncovered: (id: string) => boolean,
    isCluster = false,
  ) {
    this.#rounds = rounds
    this.#uncovered = uncovered
    this.#isCluster = isCluster
    this.#restore = isCluster ? RESTORE_ON_CLUSTER : RESTORE
  }

  /** The ids of all of them. */
  ids(): ReadonlySet<string> {
    return new Set([...this.#found.keys(), ...this.#suspected.keys(), ...this.#lost])
  }

  /** Throws Fault `fenced` while all rounds are lost: what is not found may be somebody's. */
  assertKept(): void {
    if (this.#lost.size > 0) throw new Fault('fenced', `${LOST.what}; what is not found may be somebody's`)
  }

  /** What is wrong with a round whose claims are fenced, as far as this worker knows, and what to do. */
  problemOf(id: string): string | undefined {
    const wrong = [this.#found.get(id), this.#suspected.get(id)].find(each => each && !each.isUnlisted)
    if (wrong) return `${wrong.what}; ${wrong.mend ?? this.#restore}`
    return this.#lost.has(id) ? LOST.what : undefined
  }

  /** In a damaged round nobody gets the answer that they hold nothing. Throws Fault `fenced`. */
  assertSound(id: string): void {
    if (this.#found.get(id)?.isOtherLevel) return
    const problem = this.problemOf(id)
    if (problem !== undefined) throw new Fault('fenced', `round ${id}: ${problem}; ask again`)
  }

  /** A request found it so; the next look judges it. */
  found(id: string, what: string): void {
    this.#suspected.set(id, { what, isMissing: false })
  }

  /** Redis did not decide a claim of it; why, the next look says. */
  refused(id: string, what: string): void {
    this.#suspected.set(id, { what, isMissing: false, mend: NOT_JUDGED })
  }

  /**
   * Whether one look is enough, or this is the second one. While a slot of a cluster moves, a server that was replaced may say once that it
   * has none of a round's keys. Of which level a round is, it says right.
   */
  #isCertain(id: string, { isOtherLevel = false }: Wrong): boolean {
    return !this.#isCluster || isOtherLevel || this.#found.has(id) || this.#suspected.has(id)
  }

  /**
   * Looks at rounds that are served, where they are many at some of them, and at all that were found damaged or are suspected. What is
   * suspected meanwhile is for the next look: a claim that a fail-over overtook is no damage. Throws Fault.
   */
  async look(served: Iterable<string>): Promise<Damage> {
    const known = [...served, ...this.#lost]
    const ids = [...new Set([...this.#turn.of(known), ...this.#found.keys(), ...this.#suspected.keys()])]
    const missing: string[] = []
    let isBack = false
    await sideBySide(ids, async id => {
      const suspected = this.#suspected.get(id)
      const damage = (await this.#rounds.damage(id)) ?? (this.#uncovered(id) ? NOT_COVERED : undefined)
      if (damage === undefined) {
        this.#found.delete(id)
        isBack ||= this.#lost.has(id)
      } else if (damage.isMissing && !(await this.#rounds.isKnown(id))) missing.push(id)
      else if (this.#isCertain(id, damage)) this.#found.set(id, damage)
      else return void this.#suspected.set(id, damage)
      if (this.#suspected.get(id) === suspected) this.#suspected.delete(id)
    })
    // What was made in the empty Redis is not among what comes back, and nobody holds anything of it.
    if (isBack) this.#lost.clear()
    const isUnlisted = missing.length > 0 && (await this.#rounds.count()) === 0
    const isEmpty = !isBack && isUnlisted && ids.length === missing.length
    // Of a history that lost only its end nobody knows these; they are no damage.
    for (const id of missing) {
      if (isUnlisted && !isEmpty) this.#found.set(id, STATELESS)
      else this.#found.delete(id)
    }
    if (isEmpty) for (const id of [...known, ...missing]) this.#lost.add(id)
    const mend = `${this.#restore}, then fairgrab doctor --rounds`
    const damaged = [...this.#found].map(([id, wrong]) => ({ what: wordsOf(id, wrong), mend: wrong.mend ?? mend }))
    return { lost: this.#lost.size > 0 ? [LOST] : [], damaged }
  }
}

/** How a campaign that is damaged is reported. */
export const campaignFinding = (id: string, { what, isFenced }: CampaignDamage): Finding => ({
  what: `campaign ${id}: ${what}; ${
    isFenced ? 'its vouchers and the claims of its rounds are fenced' : 'claims and redemptions go on without it'
  }`,
  mend: 'pause its rounds, and restore that key from a backup',
})

export class DamagedCampaigns {
  readonly #checks: Pick<CampaignChecks, 'damage'>
  readonly #turn = new Turn()
  #found: ReadonlyMap<string, CampaignDamage> = new Map()
  #fenced: ReadonlySet<string> = new Set()

  constructor(checks: Pick<CampaignChecks, 'damage'>) {
    this.#checks = checks
  }

  has(id: string): boolean {
    return this.#found.has(id)
  }

  /** Whether nothing of it could be redeemed, as of the last look; a look into memory, for the claim path. */
  isFenced(id: string): boolean {
    return this.#fenced.has(id)
  }

  /** Looks at campaigns of the rounds that are served, where they are many at some of them, and at all that were found damaged. Throws Fault. */
  async look(served: Iterable<string>): Promise<readonly Finding[]> {
    const ids = [...new Set([...this.#turn.of(served), ...this.#found.keys()])]
    const found = new Map<string, CampaignDamage>()
    await sideBySide(ids, async id => {
      const damage = await this.#checks.damage(id)
      if (damage) found.set(id, damage)
    })
    this.#found = found
    this.#fenced = new Set([...found].flatMap(([id, { isFenced }]) => (isFenced ? [id] : [])))
    return [...found].map(([id, damage]) => campaignFinding(id, damage))
  }
}
