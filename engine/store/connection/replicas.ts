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

/** Less than the silence after which a link gives its connection up. */
const WAIT_MS = Math.floor(REDIS_SILENCE_MS * 0.75)

/**
 * What a server says that was made a replica meanwhile, that is no part of a whole cluster, or that the mark's slot has left: the
 * link has to ask anew.
 */
const ELSEWHERE = /^(READONLY|UNBLOCKED|MOVED|ASK|TRYAGAIN|CLUSTERDOWN|MASTERDOWN) /

export const isElsewhere = (cause: unknown): boolean =>
  cause instanceof Error && cause.name === 'ReplyError' && ELSEWHERE.test(cause.message)

/** Too few replicas have it in time. */
export class Short extends Error {}

/** It was executed where no replica can be asked any more. */
export class Uncounted extends Error {}

/** How many replicas confirm, within 300 ms, everything that this connection was sent so far; `mark` is the key of its own write. Sends at once. */
export async function countCopies(client: Redis, replicas: number, mark: string): Promise<number> {
  const [, copies] = await Promise.all([client.set(mark, '1'), client.wait(replicas, WAIT_MS)])
  return copies
}

/**
 * Sends a request and its WAIT in one write. The reply, when all replicas have it too; throws Short when they
 * do not, Uncounted when the server is none that may be asked for them, Fault when Redis refuses to ask them, and whatever the
 * request itself throws.
 */
export async function onAllReplicas(
  client: Redis,
  { replicas, mark }: { readonly replicas: number; readonly mark: string },
  send: () => Promise<unknown>,
): Promise<unknown> {
  client.stream.cork()
  const reply = send()
  const counting = countCopies(client, replicas, mark)
  client.stream.uncork()
  counting.catch(() => {})
  const answer = await reply
  const copies = await counting.catch(cause => {
    if (!(cause instanceof Error && cause.name === 'ReplyError')) throw cause
    if (isElsewhere(cause)) throw new Uncounted(cause.message)
    throw new Fault('unknown', `it was executed, and the replicas could not be asked: ${cause.message}`, cause)
  })
  if (copies < replicas) throw new Short(`${copies} of ${replicas} replicas have confirmed it`)
  return answer
}
