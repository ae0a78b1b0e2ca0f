/**
 * The line that says how a run is going: rewritten in place on a terminal, a line every two seconds elsewhere.
 *
 * It goes to stderr, so that the result on stdout can be piped, and it is never the place of a figure: what it shows
 * was sampled, what the result shows was counted.
 */

const EVERY_MS_TERMINAL = 200
const EVERY_MS_LOG = 2000

export class LiveLine {
  readonly #terminal = process.stderr.isTTY === true
  #timer: NodeJS.Timeout | undefined

  /** Says something that stays. */
  say(text: string): void {
    this.#clear()
    process.stderr.write(`${text}\n`)
  }

  /** Shows `line()` until `end`. */
  begin(line: () => string): void {
    const show = () => process.stderr.write(this.#terminal ? `\r\x1b[K${line()}` : `${line()}\n`)
    this.#timer = setInterval(show, this.#terminal ? EVERY_MS_TERMINAL : EVERY_MS_LOG)
  }

  end(): void {
    clearInterval(this.#timer)
    this.#clear()
  }

  #clear(): void {
    if (this.#terminal) process.stderr.write('\r\x1b[K')
  }
}
