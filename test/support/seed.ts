/**
 * The one source of chance of a test run: TEST_SEED, printed by vitest.config.ts, so that a run can be repeated.
 *
 * `random` is mulberry32: 32 bits of state, one multiply a step, the same on every machine. It makes data for tests
 * that need millions of values, where a property library would keep each one to shrink it later.
 */
export const seed = Number(process.env.TEST_SEED ?? 1)

/** Numbers in [0, 1), the same for the same seed; `salt` keeps tests of one file apart. */
export function random(salt = 0): () => number {
  let state = (seed + Math.imul(salt, 0x9e3779b1)) | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** An integer in [0, below). */
export const below = (next: () => number, bound: number): number => Math.floor(next() * bound)
