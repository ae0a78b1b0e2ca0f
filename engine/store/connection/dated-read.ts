/**
 * A read that knows its moment: Redis's TIME just before it, on the same connection. What was executed before that moment is
 * in what was read, so a script can know how old it is by the one clock that all of them share, and refuse what is older
 * than its lease. Rejected: the time of the process that read, which a script cannot compare with its own.
 */
import type { Redis } from 'ioredis'
import type { Link } from './link.ts'

/** From which moment on something that was read may be decided upon, and until when: milliseconds since 1970, Redis's clock. */
export interface Lease {
  readonly from: number
  readonly until: number
}

export interface Dated<T> {
  readonly value: T
  /** Milliseconds since 1970, by Redis's clock. */
  readonly at: number
}

export async function datedRead<T>(link: Link, read: (client: Redis) => Promise<T>): Promise<Dated<T>> {
  const [time, value] = await link.request(client => Promise.all([client.time(), read(client)]))
  const [seconds, micros] = time as unknown as readonly [string | number, string | number]
  return { value, at: Number(seconds) * 1000 + Math.floor(Number(micros) / 1000) }
}

/** The time that is within all of these leases; none where one ends before another begins. */
export const within = (leases: readonly Lease[]): Lease => ({
  from: Math.max(...leases.map(({ from }) => from)),
  until: Math.min(...leases.map(({ until }) => until)),
})
