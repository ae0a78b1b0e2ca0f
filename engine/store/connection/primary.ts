/**
 * Reads whose answer may be that something is not there: only a primary's count. A server that was made a replica keeps its
 * connections, and may lack for a moment what its primary answered since. Where the role stands behind what was read, the
 * connection is given up as behind any READONLY, and the link asks the next server. Rejected: a write as the question, which
 * would cost a sync.
 */
import { type Redis, ReplyError } from 'ioredis'

/** What a read shows, of a server that was a primary behind it; else the refusal that a replica gives a write. */
export async function ofPrimary<T>(client: Redis, read: (client: Redis) => Promise<T>): Promise<T> {
  const [shown, role] = await Promise.all([read(client), client.role() as unknown as Promise<[string]>])
  if (role[0] !== 'master') throw new ReplyError(`READONLY the server is a ${role[0]}, not a primary`)
  return shown
}
