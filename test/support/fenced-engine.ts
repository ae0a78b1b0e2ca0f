/**
 * An engine at the level fenced without its server: the rooms that claim, reserve, journal and recover, over a real
 * Redis and real journal files, with a point before and after each step of the protocol. A test holds the engine at a
 * point while it takes Redis away, or ends the engine there for ever, as kill -9 would: a dead engine's steps never
 * resolve, and nothing that they would have told is told.
 *
 * Rejected: signals to a process; a signal that should fall between two steps of a millisecond falls beside them.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { realClock } from '../../engine/base/clock.ts'
import { realRandom } from '../../engine/base/random.ts'
import type { FencedRound } from '../../engine/campaign/fenced/fenced-round.ts'
import { FencedRounds } from '../../engine/campaign/fenced/fenced-rounds.ts'
import { Journal, type JournalDisk } from '../../engine/campaign/fenced/journal.ts'
import { FolderDisk } from '../../engine/campaign/fenced/journal-disk.ts'
import { ResumeHolds } from '../../engine/campaign/round/resume-holds.ts'
import type { Notice } from '../../engine/store/data/notice.ts'
import { openStore, type Store } from '../../engine/store/store.ts'

/** The steps of the protocol, each before and after it is done. */
export const POINTS = [
  ...(['note', 'noted', 'lift', 'lifted', 'script', 'decided', 'journal', 'journaled', 'answer'] as const),
  ...(['mark', 'marked', 'restore', 'restored', 'bind', 'bound'] as const),
] as const
export type Point = (typeof POINTS)[number]

const forEver = (): Promise<never> => new Promise(() => {})

export interface EngineOptions {
  readonly url: string
  readonly chunk: number
  readonly patienceMs: number
  readonly replicas?: number
  /** Where its journals are; a new folder when left out. */
  readonly folder?: string
  readonly passed: (point: Point, engine: FencedEngine) => Promise<void> | void
}

export class FencedEngine {
  readonly store: Store
  readonly folder: string
  readonly journal: Journal
  readonly notices = new Map<string, Notice>()
  readonly #options: EngineOptions
  readonly #rounds: FencedRounds
  readonly #holds: ResumeHolds
  #dead = false

  private constructor(
    options: EngineOptions,
    { folder, name, disk }: { folder: string; name: string; disk: FolderDisk },
  ) {
    this.folder = folder
    this.#options = options
    const { url, chunk, patienceMs } = options
    this.store = openStore({
      ...{ url, durability: 'fenced', replicas: options.replicas ?? 1, clock: realClock, random: realRandom },
      linkChanged: (link, event) => {
        if (link === 'claims' && event === 'up') void this.#rounds?.look()
      },
    })
    const { claims, fence } = this.store
    this.journal = new Journal(this.#watched(disk))
    const heard = (roundId: string, notice: Notice) => {
      this.notices.set(roundId, notice)
      this.#holds.received(roundId, notice)
    }
    this.#holds = new ResumeHolds({
      ...{ rounds: this.store.rounds, clock: realClock, ended: heard, failed: () => {} },
    })
    this.#rounds = new FencedRounds({
      engine: name,
      claims: {
        decide: (...asked) => this.#step('script', 'decided', () => claims.decide(...asked)),
        batchOf: (...asked) => claims.batchOf(...asked),
        batches: (...asked) => claims.batches(...asked),
      },
      fence: {
        read: roundId => this.#alive(fence.read(roundId)),
        signOff: (...asked) => this.#alive(fence.signOff(...asked)),
        note: (...asked) => this.#step('note', 'noted', () => fence.note(...asked)),
        lift: (...asked) => this.#step('lift', 'lifted', () => fence.lift(...asked)),
        restore: (...asked) => this.#step('restore', 'restored', () => fence.restore(...asked)),
        bind: (...asked) => this.#step('bind', 'bound', () => fence.bind(...asked)),
      },
      journal: this.journal,
      ...{ clock: realClock, random: realRandom, chunk, patienceMs },
      adopted: heard,
      reported: event => process.env.FO && console.log(name, JSON.stringify(event)),
      failed: cause => process.env.FO && console.log(name, cause),
    })
  }

  static async open(options: EngineOptions): Promise<FencedEngine> {
    const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'fg-journal-'))
    const disk = new FolderDisk(folder)
    const name = await disk.name(() => realRandom.bytes(6).toString('hex'))
    return new FencedEngine(options, { folder, name, disk })
  }

  /** One batch of claims; what comes back may be told. */
  async claim(roundId: string, users: Buffer, vias?: Buffer) {
    const decision = await this.#rounds.of(roundId).claim(roundId, '', users, Buffer.from([0]), vias)
    await this.#options.passed('answer', this)
    this.#holds.received(roundId, decision.notice)
    return this.#alive(Promise.resolve(decision))
  }

  /** What stands between the claims of a round and Redis. */
  door(roundId: string): FencedRound {
    return this.#rounds.of(roundId)
  }

  look(): Promise<void> {
    return this.#rounds.look()
  }

  /** Loses what the journal of a round has, as a disk would that was exchanged; what was joined is forgotten with it. */
  async forget(roundId: string): Promise<void> {
    await this.journal.clear(roundId, '0'.repeat(16))
    ;(await this.journal.open(roundId)).joined.clear()
  }

  /** Ends it like kill -9, from inside one of its steps too; its journals stay unless they are destroyed with it. */
  async die(destroyed: boolean): Promise<void> {
    this.#dead = true
    await this.#rounds.close()
    await this.store.close()
    if (destroyed) rmSync(this.folder, { recursive: true, force: true })
  }

  /** Ends it as a worker does that is told to. */
  async finish(): Promise<void> {
    await this.#rounds.finish()
  }

  async close(): Promise<void> {
    await this.#rounds.close()
    await this.store.close()
    rmSync(this.folder, { recursive: true, force: true })
  }

  async #alive<T>(work: Promise<T>): Promise<T> {
    const result = await work.catch(cause => {
      if (this.#dead) return forEver()
      throw cause
    })
    return this.#dead ? forEver() : result
  }

  async #step<T>(before: Point, after: Point, work: () => Promise<T>): Promise<T> {
    await this.#alive(Promise.resolve(this.#options.passed(before, this)))
    const result = await this.#alive(work())
    await this.#alive(Promise.resolve(this.#options.passed(after, this)))
    return result
  }

  /** A journal's order is its own, so what waits at a point waits in the order of writing. */
  #watched(disk: FolderDisk): JournalDisk {
    let before = Promise.resolve()
    return {
      files: () => disk.files(),
      read: file => this.#alive(disk.read(file)),
      truncate: (file, bytes) => disk.truncate(file, bytes),
      remove: file => disk.remove(file),
      close: () => disk.close(),
      append: async (file, bytes) => {
        const [asked, done] =
          bytes.readUInt16BE(bytes.length - 2) === 0
            ? (['mark', 'marked'] as const)
            : (['journal', 'journaled'] as const)
        before = before.then(() => this.#options.passed(asked, this))
        await this.#alive(before)
        await this.#alive(disk.append(file, bytes))
        await this.#alive(Promise.resolve(this.#options.passed(done, this)))
      },
    }
  }
}
