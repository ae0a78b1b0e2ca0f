/**
 * The disk of one engine's journals in a simulated world: what was appended is there for good when its sync has ended,
 * and what was not is gone, or is there as a torn tail, when the process ends before.
 *
 * The disk belongs to a node's name and outlives its processes; a disk that is lost takes the engine's name with it, as
 * the folder of the real one does. Appends of one file are synced in order and together.
 */
import type { JournalDisk } from '../../engine/campaign/journal.ts'
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
            if (this.#mounts !== mount) return
            const torn = !process.alive && this.#chance.happens(0.5)
            const kept = torn ? bytes.subarray(0, this.#chance.below(bytes.length)) : bytes
            files.set(file, Buffer.concat([files.get(file) ?? Buffer.alloc(0), kept]))
            process.within(resolve)
          })
        }),
    }
  }
}
