/**
 * The two small keys that a connection writes for itself: behind each request at the level replicated (replicas.ts), and first of
 * all where a server syncs (first-sync.ts). One Redis has one of each. A server of a cluster takes only keys of its own slots, and
 * WAIT speaks of the server that it is sent to, so there each server has its own, in a slot that it has.
 *
 * Rejected: the slot of the request. While it is moved key by key, the mark may lie on the other server already.
 */
import * as keys from './keys.ts'

export interface Marks {
  /** The key that is written behind a request, so that WAIT has a write of its own to count. */
  readonly replication: () => string
  /** The key that names the run of the server whose log was synced whole. */
  readonly sync: () => string
  /** The server does not take them, since their slot is being moved: others are named from now on. */
  readonly refused: () => void
}

export const ONE_SERVER: Marks = { replication: keys.replicationMark, sync: keys.syncMark, refused: () => {} }
