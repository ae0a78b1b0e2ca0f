/**
 * The bench's only source of chance: a small generator that is seeded by (seed, user).
 *
 * Every person of a plan draws from a stream of numbers of his own, so the plan does not depend on how many
 * processes share it: part 1 of 2 and part 1 of 1 give a person the same second of the same day. The state is a
 * splitmix32 hash of the seed and the person, the numbers come from sfc32 (four words, passes PractRand), kept in
 * local fields so that drawing allocates nothing.
 *
 * Math.random was rejected because it cannot be seeded; one stream for everybody because a plan could then not be
 * made in parts; a 64-bit generator because BigInt arithmetic is forty times slower than 32-bit words.
 */

function splitmix(state: number): number {
  let z = (state + 0x9e3779b9) | 0
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
  return z ^ (z >>> 15)
}

export class Random {
  #a = 0
  #b = 0
  #c = 0
  #counter = 1

  constructor(seed: number, stream = 0) {
    this.reset(seed, stream)
  }

  /** Starts the stream of numbers of one person anew. */
  reset(seed: number, stream: number): void {
    this.#a = splitmix(seed ^ Math.imul(stream, 0x85ebca6b))
    this.#b = splitmix(this.#a ^ stream)
    this.#c = splitmix(this.#b ^ seed)
    this.#counter = 1
    for (let round = 0; round < 4; round++) this.word()
  }

  /** 32 random bits, unsigned. */
  word(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum
    this.#c |= 0
    return sum >>> 0
  }

  /** Uniform in [0, 1). */
  uniform(): number {
    return this.word() / 4294967296
  }

  between(low: number, high: number): number {
    return low + (high - low) * this.uniform()
  }

  /** Standard normal by Box and Muller; the second number is thrown away, a stored one would be hidden state. */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform())
  }

  logNormal(median: number, sigma: number): number {
    return median * Math.exp(sigma * this.normal())
  }

  exponential(mean: number): number {
    return -mean * Math.log(1 - this.uniform())
  }

  /** How many of `trials` succeed. */
  binomial(trials: number, p: number): number {
    let successes = 0
    for (let trial = 0; trial < trials; trial++) if (this.uniform() < p) successes++
    return successes
  }
}
