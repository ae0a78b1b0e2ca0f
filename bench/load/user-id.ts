/**
 * User ids of the bench: `u` and nine decimal digits, ten bytes, from an index and back.
 *
 * Fixed width lets a generator patch the digits into a request it has written once, and lets the audit turn the
 * grants' ids back into indexes of typed arrays without a table. The audit's own rule (a prefix of the seed, base 36)
 * was not taken because its width depends on the population: ids of ten bytes are what the published figures assume.
 */

import type { Users } from '../audit/users.ts'

export const USER_ID_BYTES = 10

/** Writes the nine digits of `index` into `bytes` at `offset`; the `u` before them is the caller's. */
export function writeDigits(bytes: Uint8Array, offset: number, index: number): void {
  let rest = index
  for (let place = offset + 8; place >= offset; place--) {
    const tenth = (rest / 10) | 0
    bytes[place] = 48 + rest - tenth * 10
    rest = tenth
  }
}

export function userIdOf(index: number): string {
  return `u${String(index).padStart(9, '0')}`
}

/** The population of a run as the audit wants it: an id that is not of this run has the index -1. */
export function benchUsers(count: number): Users {
  return {
    count,
    userId: userIdOf,
    indexOf(id) {
      const index = /^u\d{9}$/.test(id) ? Number(id.slice(1)) : -1
      return index < count ? index : -1
    },
  }
}
