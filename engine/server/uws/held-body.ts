/**
 * The body of a request that has to wait before anybody may read it: the library gives bytes once, so they are kept here, within a
 * bound, and given to who reads later as if they came then.
 */
export class HeldBody {
  readonly #most: number
  readonly #chunks: Buffer[] = []
  #size = 0
  #isWhole = false
  #tell = () => {}

  /** Keeps no more than `most` bytes; a longer body is too large for everybody. */
  constructor(most: number) {
    this.#most = most
  }

  /** Takes bytes that the library takes back. */
  take(chunk: ArrayBuffer, isLast: boolean): void {
    this.#size += chunk.byteLength
    if (this.#size > this.#most) this.#chunks.length = 0
    else this.#chunks.push(Buffer.from(chunk.slice(0)))
    this.#isWhole ||= isLast
    this.#tell()
  }

  /** Calls one of them once, now or when that much has come. */
  read(most: number, done: (body: Buffer) => void, tooLarge: () => void): void {
    this.#tell = () => {
      const isTooLarge = this.#size > Math.min(most, this.#most)
      if (!isTooLarge && !this.#isWhole) return
      this.#tell = () => {}
      if (isTooLarge) tooLarge()
      else done(Buffer.concat(this.#chunks))
    }
    this.#tell()
  }
}
