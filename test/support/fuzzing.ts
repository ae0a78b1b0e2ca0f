/**
 * Mutated inputs for decoders: good ones, changed in one to four places, the same for the same seed.
 *
 * They start from good ones, since random bytes die at the first check. What a decoder must never do is thrown by the
 * test's own look, and told with the input in hexadecimal, so it can be run again alone. Rejected: a fuzzer with
 * coverage; the decoders are small, and mutations reach every branch that the tables of their tests name.
 */
import { expect } from 'vitest'
import { effort } from './effort.ts'
import { below, random } from './seed.ts'

export const INPUTS = effort(5000, 1_000_000)

/** One to four changes: a byte, a bit, an end, a hole, a part of another input, a part twice. */
function mutate(next: () => number, good: Buffer, other: Buffer): Buffer {
  const at = below(next, good.length)
  const [head, tail] = [good.subarray(0, at), good.subarray(at)]
  const ways: readonly (() => Buffer)[] = [
    () => Buffer.concat([head, Buffer.from([below(next, 256)]), tail.subarray(1)]),
    () => Buffer.concat([head, Buffer.from([(good[at] ?? 0) ^ (1 << below(next, 8))]), tail.subarray(1)]),
    () => head,
    () => Buffer.concat([head, tail.subarray(1 + below(next, 4))]),
    () => Buffer.concat([head, other.subarray(below(next, other.length))]),
    () => Buffer.concat([good.subarray(0, at), good.subarray(Math.max(0, at - below(next, 16)))]),
  ]
  const changed = (ways[below(next, ways.length)] as () => Buffer)()
  return next() < 0.5 || changed.length === 0 ? changed : mutate(next, changed, other)
}

/** Runs `look` on mutated inputs; it throws for what must not be, and says whether the input was accepted. */
export function fuzz(salt: number, good: readonly Buffer[], look: (bytes: Buffer) => boolean, inputs = INPUTS): number {
  const next = random(salt)
  let accepted = 0
  for (let i = 0; i < inputs; i++) {
    const bytes = mutate(next, good[i % good.length] as Buffer, good[below(next, good.length)] as Buffer)
    try {
      if (look(bytes)) accepted++
    } catch (cause) {
      throw new Error(`input ${i}: ${bytes.toString('hex')}`, { cause })
    }
  }
  expect(Object.keys(Object.prototype)).toEqual([])
  return accepted
}

export const must = (holds: boolean, what: string): void => {
  if (!holds) throw new Error(what)
}
