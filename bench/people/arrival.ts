/**
 * The plan of a release: who taps when, as three columns sorted by time.
 *
 * A person's taps come from his own stream of random numbers, so a part of the people (every `parts`-th index) can be
 * planned by a process of its own and the parts add up to the same release. Times are microseconds from the opening
 * (negative before it) in an Int32Array; sorting is a radix sort over 2^11 digits, three passes, which takes a third
 * of a second for five million taps where a comparing sort takes three.
 *
 * Only first taps, double taps and the bots' fixed rhythm can be planned. Who taps again depends on the answer; that
 * is the feed's work. An array of objects was rejected: five million of them are 400 MB and a pause of a second.
 */

import { BOTS, DOUBLE_TAP, DRAW_BOTS, OPENING, type Profile, type Sizes } from './profile.ts'
import { Random } from './random.ts'

export const KIND = { first: 0, double: 1, naiveBot: 2, spreadBot: 3, retry: 4 } as const

export interface Plan {
  /** Microseconds from the opening of the round. */
  readonly timeUs: Int32Array
  readonly user: Uint32Array
  readonly kind: Uint8Array
}

export interface Part {
  readonly index: number
  readonly of: number
}

const TIME_MAX_S = 2000

/** A growing plan in typed arrays: doubling, then cut to length. */
class PlanDraft {
  #timeUs = new Int32Array(1 << 16)
  #user = new Uint32Array(1 << 16)
  #kind = new Uint8Array(1 << 16)
  #length = 0

  add(seconds: number, user: number, kind: number): void {
    if (this.#length === this.#user.length) this.#grow()
    this.#timeUs[this.#length] = Math.round(seconds * 1e6)
    this.#user[this.#length] = user
    this.#kind[this.#length++] = kind
  }

  #grow(): void {
    const timeUs = new Int32Array(this.#length * 2)
    const user = new Uint32Array(this.#length * 2)
    const kind = new Uint8Array(this.#length * 2)
    timeUs.set(this.#timeUs)
    user.set(this.#user)
    kind.set(this.#kind)
    this.#timeUs = timeUs
    this.#user = user
    this.#kind = kind
  }

  sorted(): Plan {
    const order = orderOf(this.#timeUs.subarray(0, this.#length))
    const plan = {
      timeUs: new Int32Array(order.length),
      user: new Uint32Array(order.length),
      kind: new Uint8Array(order.length),
    }
    for (let place = 0; place < order.length; place++) {
      const from = order[place]!
      plan.timeUs[place] = this.#timeUs[from]!
      plan.user[place] = this.#user[from]!
      plan.kind[place] = this.#kind[from]!
    }
    return plan
  }
}

/** The stable order of times, by a radix sort of their places. */
export function orderOf(timeUs: Int32Array): Uint32Array {
  let from = new Uint32Array(timeUs.length)
  let into = new Uint32Array(timeUs.length)
  for (let place = 0; place < from.length; place++) from[place] = place
  for (const shift of [0, 11, 22]) {
    const starts = new Uint32Array(2049)
    for (const time of timeUs) (starts[(((time ^ 0x80000000) >>> shift) & 2047) + 1] as number)++
    for (let digit = 1; digit < 2049; digit++) starts[digit]! += starts[digit - 1]!
    for (const place of from) {
      const digit = ((timeUs[place]! ^ 0x80000000) >>> shift) & 2047
      into[starts[digit]!] = place
      starts[digit]!++
    }
    ;[from, into] = [into, from]
  }
  return from
}

function firstTapS(profile: Profile, random: Random): number {
  if (random.uniform() >= profile.openShare) return random.exponential(profile.tailS)
  return random.logNormal(OPENING.medianS, OPENING.sigma) + OPENING.skewS * random.normal()
}

function addPerson(draft: PlanDraft, profile: Profile, user: number, random: Random): void {
  const first = Math.min(firstTapS(profile, random), TIME_MAX_S)
  draft.add(first, user, KIND.first)
  if (random.uniform() < DOUBLE_TAP.p) draft.add(first + random.between(0, DOUBLE_TAP.withinS), user, KIND.double)
}

function addRhythm(draft: PlanDraft, user: number, random: Random, perS: number): void {
  const kind = perS === 1 ? KIND.spreadBot : KIND.naiveBot
  const start = -BOTS.leadS + random.uniform() / perS
  const taps = Math.round(BOTS.seconds * perS)
  for (let tap = 0; tap < taps; tap++) draft.add(start + tap / perS, user, kind)
}

function addBot(draft: PlanDraft, profile: Profile, user: number, random: Random): void {
  for (let tap = 0; tap < (profile.entryTaps ?? 0); tap++)
    draft.add(random.between(0, DRAW_BOTS.withinS), user, KIND.naiveBot)
  if (profile.entryTaps !== undefined) return
  const character = random.uniform()
  if (character < BOTS.naive) addRhythm(draft, user, random, random.between(BOTS.rateMin, BOTS.rateMax))
  else if (character < BOTS.naive + BOTS.spread) addRhythm(draft, user, random, 1)
  else addPerson(draft, profile, user, random)
}

export interface PlanRequest {
  readonly profile: Profile
  readonly sizes: Sizes
  readonly seed: number
  readonly part: Part
}

/** The taps of one part of the people, by time. */
export function planRelease({ profile, sizes, seed, part }: PlanRequest): Plan {
  const draft = new PlanDraft()
  const random = new Random(seed)
  const firstBot = sizes.people - sizes.bots
  for (let user = part.index; user < sizes.people; user += part.of) {
    random.reset(seed, user)
    if (user < firstBot) addPerson(draft, profile, user, random)
    else addBot(draft, profile, user, random)
  }
  return draft.sorted()
}

export interface LateTaps {
  readonly taps: number
  /** How long everybody's one tap takes; then comes the next tap of everybody. */
  readonly secondsPerTap: number
}

/** Everybody in turn, evenly, and again: the steady load of scenarios that are no release. */
export function planLate({ sizes, taps, secondsPerTap }: LateTaps & { readonly sizes: Sizes }, part: Part): Plan {
  const draft = new PlanDraft()
  for (let tap = 0; tap < taps; tap++) {
    for (let user = part.index; user < sizes.people; user += part.of) {
      draft.add((tap + user / sizes.people) * secondsPerTap, user, KIND.first)
    }
  }
  return draft.sorted()
}

/** The taps of a plan that fall before `seconds`. */
export function planUntil(plan: Plan, seconds: number): Plan {
  let end = plan.timeUs.length
  while (end > 0 && plan.timeUs[end - 1]! > seconds * 1e6) end--
  return { timeUs: plan.timeUs.subarray(0, end), user: plan.user.subarray(0, end), kind: plan.kind.subarray(0, end) }
}
