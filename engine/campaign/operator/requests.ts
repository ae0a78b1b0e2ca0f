/**
 * Changes of operators that come with an Idempotency-Key: asked again, whenever and on whatever node, they are made once.
 *
 * There is no table of answers. What names a request (whose credential by role and scope, method, path, key) is hashed under a
 * random value that this Redis keeps, and the ids of what it makes follow from that seed: a campaign, a round, the request of a
 * turn or of stock. So a repetition meets what the first one made, for as long as that stands, in the same atom that would make
 * it; and on another Redis the same key makes other ids. What has no id of its own to meet (rates, merchants) keeps the seed's
 * name beside it, in its slot, for a week at least (scripts/set-once.lua).
 *
 * What Redis keeps more for it: 64 bytes once; a key's body as a fingerprint, and that a change without an id is done, both under
 * 100 bytes, for a week at least and two at most; of stock and turns what the round's state has of each request without a key,
 * too. What a failure leaves at each step, and who puts it right: the body is known first, so one key is never two bodies. Cut
 * before the change, nothing is made, and the repetition makes it. Cut between a budget and its round: the repetition commits
 * under the same name, which counts once; where the money went back meanwhile, the id is void and the next one is taken, so
 * nothing is made unfunded. Cut behind the change: the repetition finds it and settles what was left. Two at once: one makes
 * it, in one script, and the other finds it.
 *
 * Rejected: a table of keys with their answers, which is one more thing that can be lost between the change and its row; and
 * ids under the secret of the codes, which may be set and then is the same on two Redis.
 */
import { createHash, createHmac } from 'node:crypto'
import { Refusal } from '../../base/assert.ts'
import { derivedId, type IdPrefix, type Random, type Seed } from '../../base/random.ts'
import type { Store } from '../../store/store.ts'

/** How often what a request would make may be given up; each time costs whoever asks one more read. */
const ATTEMPTS_MAX = 100

/** One name for all operators: a key may be asked again with another credential of the same role and scope. */
const OPERATORS = 'operators'

export interface KeyedAsk {
  /** The role and scope of the credential. */
  readonly who: string
  readonly method: string
  /** The route, and what stands in its braces. */
  readonly path: string
  readonly params: readonly string[]
  readonly key: string
  readonly body: unknown
}

/** The ids that a request may make something under, in their order. */
export function* idsOf(seed: Seed, prefix: IdPrefix, words: string): Generator<string> {
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) yield derivedId(seed, prefix, `${words} ${attempt}`)
}

/** The name of a request, for what has no id of its own. */
export const nameOf = (seed: Seed): string => derivedId(seed, 'req', '')

export class Requests {
  readonly #store: Pick<Store, 'controls' | 'vouchers'>
  readonly #random: Random

  constructor(store: Pick<Store, 'controls' | 'vouchers'>, random: Random) {
    this.#store = store
    this.#random = random
  }

  /** What the ids of a request follow from. Throws `idempotency_mismatch` when its key came with another body. */
  async seedOf({ who, method, path, params, key, body }: KeyedAsk): Promise<Seed> {
    const secret = await this.#store.controls.requestSecret()
    const seed = createHmac('sha256', secret)
      .update(JSON.stringify([who, method, path, ...params, key]))
      .digest()
    const request = { caller: OPERATORS, key: nameOf(seed), fingerprint: fingerprintOf(body) }
    if (await this.#store.vouchers.ownsKey(request)) return seed
    const detail = 'this Idempotency-Key came before with another body; use a new key for a new request'
    throw new Refusal('idempotency_mismatch', detail)
  }

  /** The place that a request begins at: where it was when it was asked for the first time. */
  async placeOf(seed: Seed, now: () => Promise<string>): Promise<string> {
    const name = `${nameOf(seed)} place`
    const { controls } = this.#store
    return (await controls.kept(OPERATORS, name)) ?? controls.keepFirst(OPERATORS, name, await now())
  }

  /** Does what comes to the same whenever it is done; resolves with whether it was done before. */
  async finishing<T>(
    seed: Seed,
    change: () => Promise<T>,
  ): Promise<{ readonly made: T; readonly isReplayed: boolean }> {
    const { controls } = this.#store
    const [done, mine] = [`${nameOf(seed)} done`, this.#random.bytes(8).toString('hex')]
    const before = await controls.kept(OPERATORS, done)
    const made = await change()
    // Of two at once the one whose mark is kept made it.
    return { made, isReplayed: (before ?? (await controls.keepFirst(OPERATORS, done, mine))) !== mine }
  }
}

/** Of a body as its schema gives it, so in one order of its fields. */
const fingerprintOf = (body: unknown): string =>
  createHash('sha256')
    .update(JSON.stringify(body) ?? '')
    .digest('hex')
    .slice(0, 32)
