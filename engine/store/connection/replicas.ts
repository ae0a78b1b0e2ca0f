/**
 * The level `replicated`: a request is answered only when all promotable replicas have what it did and what it saw.
 *
 * Behind the request, on its connection and before its reply is there, go a write of one small key and WAIT. Replication
 * is one ordered stream, so a WAIT behind a new write covers everything before it, also what others wrote and this
 * request only repeated; behind a batch that wrote nothing WAIT would count replicas for an older write (Redis 7.2 and
 * later), which is why the mark is always written. A WAIT that comes back short is no answer: the request is sent
 * again, identical, until its deadline, and then it is `unknown`.
 *
 * Rejected: a WAIT connection of its own. WAIT speaks for the writes of its own connection only.
 */
import type { Redis } from 'ioredis'
import { Fault } from '../../base/assert.ts'
import { REDIS_SILENCE_MS } from '../../base/limits.ts'
import { replicationMark } from './keys.ts'

/** Less than the silence after which a link gives its connection up. */
const WAIT_MS = Math.floor(REDIS_SILENCE_MS * 0.75)

/** What a server says that was made a replica meanwhile: the link has to ask the new primary. */
const DEPOSED = /^(READONLY|UNBLOCKED) /

/** Too few replicas have it in time. */
export class Short extends Error {}

/** How many replicas confirm, within 300 ms, everything that this connection was sent so far. Sends at once. */
export async function countCopies(client: Redis, replicas: number): Promise<number> {
  const [, copies] = await Promise.all([client.set(replicationMark(), '1'), client.wait(replicas, WAIT_MS)])
  return copies
}

/**
 * Sends a request and its WAIT in one write. The reply, when all replicas have it too; throws Short when they
 * do not, Fault when Redis refuses to ask them, and whatever the request itself throws; a deposed primary's refusal as it is.
 */
export async function onAllReplicas(client: Redis, replicas: number, send: () => Promise<unknown>): Promise<unknown> {
  client.stream.cork()
  const reply = send()
  const counting = countCopies(client, replicas)
  client.stream.uncork()
  counting.catch(() => {})
  const answer = await reply
  const copies = await counting.catch(cause => {
    if (cause instanceof Error && cause.name === 'ReplyError' && !DEPOSED.test(cause.message))
      throw new Fault('unknown', `it was executed, and the replicas could not be asked: ${cause.message}`, cause)
    throw cause
  })
  if (copies < replicas) throw new Short(`${copies} of ${replicas} replicas have confirmed it`)
  return answer
}
