/**
 * What this engine acknowledged, on its own disk before it is answered: at the level fenced the second place, beside Redis,
 * that knows who holds what. A fail-over that loses grants gets them back from here (fenced-round.ts).
 *
 * One file a round. Appends keep their order, and those that wait while a sync is under way share the next one, as
 * claims share a batch. A journal whose disk failed takes nothing more until the worker starts anew: what follows a
 * failed write looks the same as a torn tail. The disk is an argument, so that tests and the simulator can lose it.
 *
 * Rejected: one file for all rounds, which could not be removed while one of them is open.
 */
import { Fault } from '../../base/assert.ts'
import type { Decision } from '../../store/data/claim-store.ts'
import type { KnownGrant } from '../../store/data/fence-store.ts'
import {
  batchRecord,
  type Encoded,
  grantsRecord,
  type Journaled,
  type Mark,
  markRecord,
  readRecords,
} from './journal-record.ts'

/** Files of bytes that only grow at their end. */
export interface JournalDisk {
  /** The names of the files that exist. */
  files(): Promise<readonly string[]>
  /** All bytes of a file, empty where there is none. */
  read(file: string): Promise<Buffer>
  /** Cuts a file, and syncs that. */
  truncate(file: string, bytes: number): Promise<void>
  /** Appends in the order of calling; resolves when it is synced, together with what waited beside it. */
  append(file: string, bytes: Buffer): Promise<void>
  remove(file: string): Promise<void>
  /** Lets go of all files; what was not synced may be lost. */
  close(): Promise<void>
}

export interface JournalHead {
  crc: number
  failed: boolean
  /** Epochs. */
  readonly joined: Set<string>
  readonly left: Set<string>
  readonly sound: boolean
  /** Whether it has grants. */
  full: boolean
}

export class Journal {
  readonly #disk: JournalDisk
  readonly #heads = new Map<string, Promise<JournalHead>>()

  constructor(disk: JournalDisk) {
    this.#disk = disk
  }

  /** The rounds that have a journal with grants in it. */
  async rounds(): Promise<readonly string[]> {
    const files = await this.#disk.files()
    const heads = await Promise.all(files.map(file => this.open(file)))
    return files.filter((_, i) => heads[i]?.full)
  }

  /** Reads a round's journal once and cuts its torn tail; must have resolved before anything is appended. */
  open(roundId: string): Promise<JournalHead> {
    const opened = this.#heads.get(roundId) ?? this.#open(roundId)
    this.#heads.set(roundId, opened)
    return opened
  }

  /** Keeps what a decision will answer. `head` is what `open` gave. */
  async keep(roundId: string, head: JournalHead, decision: Decision): Promise<void> {
    const record = batchRecord(head.crc, decision)
    if (!record) return
    head.full = true
    await this.#append(roundId, head, record)
  }

  /** Keeps grants that were read and will be answered. */
  async keepRead(roundId: string, head: JournalHead, epoch: string, grants: readonly KnownGrant[]): Promise<void> {
    head.full = true
    await this.#append(roundId, head, grantsRecord(head.crc, epoch, grants))
  }

  /** Keeps that an epoch was joined or left; everything that was kept before is on the disk with it. */
  async mark(roundId: string, mark: Mark, epoch: string): Promise<void> {
    const head = await this.open(roundId)
    if (head[mark].has(epoch)) return
    await this.#append(roundId, head, markRecord(head.crc, mark, epoch))
    head[mark].add(epoch)
  }

  /** Everything that is on the disk. */
  async read(roundId: string): Promise<Journaled> {
    const { sound } = await this.open(roundId)
    const read = readRecords(await this.#disk.read(roundId))
    return { ...read, sound: sound && read.sound }
  }

  /** Forgets the grants of a round, and keeps that its epoch was joined. */
  async clear(roundId: string, epoch: string): Promise<JournalHead> {
    await this.#disk.remove(roundId)
    this.#heads.delete(roundId)
    await this.mark(roundId, 'joined', epoch)
    return this.open(roundId)
  }

  close(): Promise<void> {
    return this.#disk.close()
  }

  async #open(roundId: string): Promise<JournalHead> {
    const bytes = await this.#disk.read(roundId)
    const read = readRecords(bytes)
    if (read.bytes < bytes.length && read.sound) await this.#disk.truncate(roundId, read.bytes)
    return {
      ...{ crc: read.crc, failed: false, sound: read.sound, full: read.grants.length > 0 },
      ...{ joined: new Set(read.joined), left: new Set(read.left) },
    }
  }

  async #append(roundId: string, head: JournalHead, { bytes, crc }: Encoded): Promise<void> {
    if (head.failed) throw new Fault('fenced', 'the journal of this engine failed; repair its disk and start it again')
    head.crc = crc
    try {
      await this.#disk.append(roundId, bytes)
    } catch (cause) {
      head.failed = true
      throw new Fault('unknown', 'it was executed, and the journal of this engine cannot keep it', cause)
    }
  }
}
