/**
 * The draws of this worker's rounds: closes windows whose time is over, publishes commitment, beacon and result, makes
 * the winners' grants and opens the next window. Every worker does this; a lease lets one at a time do the work, and when
 * it dies another goes on at the phase that stands. The secret is revealed only after the commitment stands, and what
 * follows is a function of rules, list and beacon: so whoever computes it again computes the same bytes, and what
 * was published once stays (draw-write.lua compares before it sets).
 */
import { Refusal } from '../../base/assert.ts'
import { type Clock, rfc3339 } from '../../base/clock.ts'
import { holderOfTag } from '../../base/holder.ts'
import { BATCH_CLAIMS_MAX } from '../../base/limits.ts'
import { verifyBeacon, writeBeacon } from '../../draw/beacon.ts'
import { parseCommit } from '../../draw/commitment.ts'
import { BundleError } from '../../draw/json-file.ts'
import { parseRules } from '../../draw/rules.ts'
import type { Change } from '../../draw/times.ts'
import type { DrawPhase, TakenDraw } from '../../store/data/draw-store.ts'
import type { Store } from '../../store/store.ts'
import type { Round } from '../round/round.ts'
import type { Rounds } from '../round/rounds.ts'
import { stepFrom } from './draw-files.ts'
import { windowChanges } from './window-changes.ts'
import { beaconSecret, windowRules } from './window-rules.ts'

export interface DrawsOptions {
  readonly store: Store
  readonly rounds: Rounds
  readonly clock: Clock
  readonly failed: (fault: unknown) => void
}

/** What drand publishes of a round; the signature has 96 hexadecimal digits. */
export interface DrandBeacon {
  readonly round: number
  readonly signature: string
}

/** Batches of grants on their way to Redis at once. */
const GRANTS_IN_FLIGHT = 8

/** How often a window's rules are made anew because it would open late by them; then the next tick tries. */
const BEGIN_TRIES = 5

/** A window whose rules are not known yet. */
const NO_RULES = { rules: Buffer.alloc(0), closes: 0, latest: 0 }

/** Between two looks at the list of rounds that are to be drawn. */
const LOOK_MS = 1000

export class Draws {
  readonly #options: DrawsOptions
  readonly #busy = new Set<string>()
  #lookedAt = -Infinity

  constructor(options: DrawsOptions) {
    this.#options = options
  }

  /** Does what is due; called ten times a second. */
  tick(): void {
    const { rounds, clock, failed } = this.#options
    const now = clock.monotonicMs()
    if (now - this.#lookedAt > LOOK_MS) {
      this.#lookedAt = now
      this.#look().catch(failed)
    }
    for (const round of rounds.loaded()) {
      if (!this.#isDue(round) || this.#busy.has(round.view.id)) continue
      this.#busy.add(round.view.id)
      this.#turn(round)
        .catch(failed)
        .finally(() => this.#busy.delete(round.view.id))
    }
  }

  /** Loads the rounds that are to be drawn, whether or not anybody asks for them here. */
  async #look(): Promise<void> {
    const { rounds, store, failed } = this.#options
    for (const id of await store.draws.undrawn()) {
      // One that cannot be read holds up no other one's draw.
      const round = await rounds.get(id).catch(failed)
      if (round?.decider.draw?.phase === 'done') await store.draws.retire(id)
    }
  }

  /** Before a round is made: nobody enters it until its first rules stand. */
  async announce(roundId: string): Promise<void> {
    await this.#options.store.draws.open(roundId, { window: 0, ...NO_RULES, isNew: true })
  }

  /** Publishes the rules of the first window of a round whose opening is known, and opens it to entries. */
  async begin({ view }: Round): Promise<void> {
    const { store, rounds } = this.#options
    const { at, closesAt, pools } = view.notice
    const facts = { config: view.config, secrets: rounds.secretsOf(view.id), window: 0, closesAt, pools }
    let opensAt = Math.max(view.notice.opensAt, at, rounds.serverTimeMs(view.id))
    for (let tries = 0; tries < BEGIN_TRIES; tries++) {
      // A round that closes before it was ever opened to entries has none and needs no rules.
      if (closesAt > 0 && closesAt <= opensAt) return
      const next = windowRules({ ...facts, opensAt })
      const { code, now } = await store.draws.open(view.id, { window: 0, ...next, isNew: false })
      if (code !== 'not_open') return
      opensAt = now
    }
  }

  /**
   * Publishes the public beacon that a committed list waits for. Throws `wrong_state`, or `invalid` when it is not that. Where it
   * may be a repetition, the same beacon that stands already is none of them, also when the next window is open by now.
   */
  async reveal({ view }: Round, { round, signature }: DrandBeacon, isRepeatable: boolean): Promise<void> {
    const { store } = this.#options
    const state = await store.draws.state(view.id)
    const files = state ? await store.draws.files(view.id, state.window) : {}
    const beacon = { kind: 'drand', round, signature } as const
    const bytes = writeBeacon(beacon)
    if (isRepeatable && state && (await this.#isRevealed(view.id, state.window, beacon, bytes))) return
    if (state?.phase !== 'committed')
      throw new Refusal('wrong_state', 'no committed list of this round waits for its beacon', { state: view.state })
    try {
      const { commit } = parseCommit(files['commit.json'] as Buffer)
      verifyBeacon(parseRules(files['rules.json'] as Buffer).beacon, beacon, commit.committed_at)
    } catch (cause) {
      if (cause instanceof BundleError) throw new Refusal('invalid', cause.message)
      throw cause
    }
    const published = { 'beacon.json': bytes }
    await store.draws.write(view.id, { window: state.window, from: 'committed', to: 'beacon', files: published })
  }

  /** Whether a beacon stands, of this window or one before it; an earlier window was promised an earlier beacon. */
  async #isRevealed(id: string, newest: number, { round }: DrandBeacon, bytes: Buffer): Promise<boolean> {
    for (let window = newest; window >= 0; window--) {
      const files = await this.#options.store.draws.files(id, window)
      if (files['beacon.json']?.equals(bytes)) return true
      const promised = files['rules.json'] && parseRules(files['rules.json']).beacon
      if (promised?.kind === 'drand' && promised.round < round) return false
    }
    return false
  }

  #isDue({ view, decider }: Round): boolean {
    const { allocation } = view.config
    const { draw } = decider
    if (allocation.mode === 'fcfs' || !draw || draw.phase === 'done') return false
    const { state, opensAt } = view.notice
    const now = this.#options.rounds.serverTimeMs(view.id)
    if (state === 'scheduled') return draw.phase === 'new' && opensAt > 0
    if (state === 'open') return draw.phase === 'new' || now >= draw.closes
    return state === 'drawing' || (state === 'closed' && now >= drawsAt(view.config.allocation))
  }

  async #turn(round: Round): Promise<void> {
    const { view, decider } = round
    const { store, rounds } = this.#options
    const { id, notice } = view
    if (notice.state !== 'closed' && decider.draw?.phase === 'new') {
      await this.begin(round)
      return decider.load()
    }
    const taken = await store.draws.take(id, notice.epoch, drawsAt(view.config.allocation))
    rounds.take(id, taken.notice)
    if (taken.code === 'not_open') return this.#renew(round)
    if (taken.code === 'replayed') {
      await store.draws.retire(id)
      return decider.load()
    }
    if (taken.draw) await this.#draw(round, taken.draw)
  }

  /** Opens a window again in which nobody entered; the script sees to it that nobody did. */
  async #renew(round: Round): Promise<void> {
    const { view, decider } = round
    const { store, rounds } = this.#options
    await decider.load()
    const { draw } = decider
    if (view.config.allocation.mode !== 'window' || view.notice.state !== 'open' || !draw) return
    if (draw.phase !== 'open' || draw.first !== draw.entries) return
    const { at: opensAt, closesAt, pools } = view.notice
    const facts = { config: view.config, secrets: rounds.secretsOf(view.id), window: draw.window }
    const next = windowRules({ ...facts, opensAt, closesAt, pools })
    await store.draws.open(view.id, { window: draw.window, ...next, isNew: false })
    await decider.load()
  }

  /** From the phase that stands to the end of the draw. */
  async #draw(round: Round, taken: TakenDraw): Promise<void> {
    const { store, rounds } = this.#options
    const { id } = round.view
    const { window, first, entries } = taken
    let { phase } = taken
    let list: Promise<Buffer> | undefined
    const records = () => {
      list ??= store.entries.records(id, first, entries)
      return list
    }
    for (let step = stepFrom(phase); step; step = stepFrom(phase)) {
      const published = await store.draws.files(id, window)
      const at = rfc3339(rounds.serverTimeMs(id))
      const secret = () => beaconSecret(rounds.secretsOf(id), window)
      const key = rounds.signingKey
      const files = await step.make({
        files: published,
        records,
        changes: () => this.#changes(id, taken),
        at,
        key,
        secret,
      })
      if (!files) return
      const code = await store.draws.write(id, { window, from: phase, to: step.to, files })
      if (code === 'wrong_state') return
      phase = code === 'granted' ? step.to : ((await store.draws.state(id))?.phase as DrawPhase)
    }
    if (phase !== 'drawn') return
    await this.#grant(round, taken)
  }

  async #changes(id: string, { window, base, times }: TakenDraw): Promise<readonly Change[]> {
    return windowChanges(await this.#options.store.draws.changes(id, base), window, times)
  }

  /** Makes the winners' grants in the order of the result, then opens the next window or ends the round. */
  async #grant({ view, decider }: Round, { window, base }: TakenDraw): Promise<void> {
    const { store, rounds } = this.#options
    const { id, config, notice } = view
    const result = await store.draws.file(id, window, 'result.json')
    const { winners } = JSON.parse(String(result)) as { readonly winners: readonly string[] }
    const done = Math.max(0, notice.sequence - base)
    let grants: Promise<void>[] = []
    for (let at = done - (done % BATCH_CLAIMS_MAX); at < winners.length; at += BATCH_CLAIMS_MAX) {
      const part = winners.slice(at, at + BATCH_CLAIMS_MAX).map(line => line.split(':') as [string, string])
      const holders = part.map(([tag]) => holderOfTag(Buffer.from(tag, 'hex')))
      const pools = Buffer.from(part.map(([, pool]) => config.pools.indexOf(pool)))
      // One connection keeps their order, and the script takes them in no other.
      grants.push(store.draws.grant(id, notice.epoch, { first: base + at + 1, holders, pools }))
      if (grants.length < GRANTS_IN_FLIGHT) continue
      await Promise.all(grants)
      grants = []
    }
    await Promise.all(grants)
    const now = (await store.rounds.read(id))?.notice ?? notice
    const facts = { config, secrets: rounds.secretsOf(id), window: window + 1, pools: now.pools }
    const goesOn = config.allocation.mode === 'window' && now.pools.some(pool => pool.total > pool.granted)
    const next = goesOn ? windowRules({ ...facts, opensAt: now.at, closesAt: now.closesAt }) : undefined
    rounds.take(id, await store.draws.finish(id, notice.epoch, window, next))
    await decider.load()
    if (decider.draw?.phase === 'done') await store.draws.retire(id)
  }
}

/** When a lottery is drawn, milliseconds since 1970; a window is drawn when it is over. */
function drawsAt(allocation: Round['view']['config']['allocation']): number {
  return allocation.mode === 'lottery' ? Date.parse(allocation.draws_at) : 0
}
