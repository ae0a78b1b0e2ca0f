/**
 * The names of a run's users, without storing them: a prefix of the seed and the index in base 36, zero-padded.
 *
 * Ten million ids as strings are 600 MB; as a rule they are two functions. The rule is exact in both directions:
 * `indexOf` gives back an index only for the very text that `userId` makes of it, so an id with another seed, another
 * width, capital letters or an index beyond the population is a stranger (-1), which is how the audit sees a holder
 * whom nobody of this run invented. The prefix carries the seed, so two runs against one engine do not share users.
 *
 * Rejected: a Map of ids (memory), and hashing ids to 32 bits (two users could be one).
 */
export interface Users {
  readonly count: number
  userId(index: number): string
  /** The index of an id, or -1 for an id that is not one of this population. */
  indexOf(id: string): number
}

/** The value of an ASCII digit of base 36, lower case, or -1. */
function digitOf(charCode: number): number {
  if (charCode >= 48 && charCode <= 57) return charCode - 48
  return charCode >= 97 && charCode <= 122 ? charCode - 87 : -1
}

export function seededUsers(seed: number, count: number): Users {
  const prefix = `u${seed.toString(36)}.`
  const width = Math.max(1, (count - 1).toString(36).length)
  return {
    count,
    userId: index => prefix + index.toString(36).padStart(width, '0'),
    indexOf(id) {
      if (id.length !== prefix.length + width || !id.startsWith(prefix)) return -1
      let index = 0
      for (let i = prefix.length; i < id.length; i++) {
        const digit = digitOf(id.charCodeAt(i))
        if (digit < 0) return -1
        index = index * 36 + digit
      }
      return index < count ? index : -1
    },
  }
}
