/**
 * Before a server is asked anything at the levels that sync: is everything that it holds on its disk?
 *
 * Each answer is behind the sync of what it wrote, but an answer that only repeats what is there writes nothing. A Redis that was
 * killed between its write and its sync left what no answer rests on in the kernel's memory; the next one reads it like all the
 * rest, and would repeat it to people although a loss of power still takes it. So the first connection to each run of a
 * server writes one small key: its answer is behind a sync of the whole log. The key holds the name of the run, so that a
 * disk whose sync takes longer than a connection may be silent is waited for once and not by every connection.
 *
 * Rejected: a write with each answer, which syncs once a batch what was synced long ago; INFO, which does not have it.
 */
import type { Redis } from 'ioredis'

/** A year in seconds: the mark of a run is of no use after it, and whoever misses one writes another. */
const MARK_S = 31_536_000

/** The name of a server's run; empty where it has none. */
export const runOf = async (client: Redis): Promise<string> =>
  /^run_id:(\S+)/m.exec(await client.info('server'))?.[1] ?? ''

/** Resolves when all that this run of the server has read from its log is synced; `key` is its mark. Throws what Redis refuses with. */
export async function untilSynced(client: Redis, run: string, key: string): Promise<void> {
  const mark = await client.get(key)
  if (run !== '' && mark === run) return
  try {
    await client.set(key, run)
  } catch (cause) {
    // Out of memory it refuses a key, not an expiry: of an earlier life's mark that is written and synced as well.
    // By `call`, since a link's `client.expire` is the script of that name.
    const written = /^OOM/.test((cause as Error).message) && (await client.call('EXPIRE', key, MARK_S)) === 1
    if (!written) throw cause
  }
}
