/**
 * The disk of one engine's journals in a simulated world: what was appended is there for good when its sync has ended,
 * and what was not is gone, or is there as a torn tail, when the process ends before.
 *
 * The disk belongs to a node's name and outlives its processes; a disk that is lost takes the engine's name with it, as
 * the folder of the real one does. Appends of one file are synced in order and together: one write is over before the
 * next begins, so behind a torn one that process leaves nothing.
 */
import type { JournalDisk } from '../../engine/campaign/fenced/journal.ts'
import type { Chance, Timeline } from './timeline.ts'

export class JournalStore {
  /** The engine's id; new when the disk is. */
  readonly engine: string
  readonly #files = new Map<string, Buffer>()
  /** By file: when its last append will have been synced. */
  readonly #syncedAt = new Map<string, number>()
  #mounts = 0
  readonly #timeline: Timeline
  readonly #chance: Chance

  constructor(timeline: Timeline, chance: Chance) {
    this.#timeline = timeline
    this.#chance = chance
    this.engine = chance.bytes(6).toString('hex')
  }

  /** The disk as one process sees it; `within` runs in that process, or not at all when it has ended. */
  mount(process: { readonly alive: boolean; readonly within: (run: () => void) => void }): JournalDisk {
    const files = this.#files
    const mount = ++this.#mounts
    /** Files of which the process that ended left a torn tail. */
    const torn = new Set<string>()
    return {
      files: () => Promise.resolve([...files.keys()]),
      read: file => Promise.resolve(files.get(file) ?? Buffer.alloc(0)),
      truncate: async (file, bytes) => {
        files.set(file, (files.get(file) ?? Buffer.alloc(0)).subarray(0, bytes))
      },
      remove: async file => {
        files.delete(file)
      },
      close: () => Promise.resolve(),
      append: (file, bytes) =>
        new Promise(resolve => {
          const at = Math.max(this.#syncedAt.get(file) ?? 0, this.#timeline.now + this.#chance.between(0.05, 0.4))
          this.#syncedAt.set(file, at)
          this.#timeline.at(at, () => {
            // What a process leaves on its way when it ends is there before the next one looks, or never.
            if (this.#mounts !== mount || torn.has(file)) return
            if (!process.alive && this.#chance.happens(0.5)) torn.add(file)
            const kept = torn.has(file) ? bytes.subarray(0, this.#chance.below(bytes.length)) : bytes
            files.set(file, Buffer.concat([files.get(file) ?? Buffer.alloc(0), kept]))
            process.within(resolve)
          })
        }),
    }
  }
}
