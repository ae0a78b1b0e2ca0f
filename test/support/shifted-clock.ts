/**
 * A wrong clock for a node of its own process: shifted-clock.c compiled into a folder and loaded in front of it. The
 * tests that use it need a C compiler, as those of the bad disk do.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { compiler } from './bad-disk.ts'

export { noBadDisk as noShiftedClock } from './bad-disk.ts'

export class ShiftedClocks implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), 'fg-clock-'))
  readonly #library = join(this.#folder, 'shifted-clock.so')

  constructor() {
    const source = join(import.meta.dirname, 'shifted-clock.c')
    execFileSync(compiler as string, ['-shared', '-fPIC', '-O1', '-o', this.#library, source, '-ldl'])
  }

  /** What a node has in its environment whose clock is so many seconds ahead of the true one. */
  ahead(seconds: number): Readonly<Record<string, string>> {
    return { LD_PRELOAD: this.#library, CLOCK_SHIFT_S: String(seconds) }
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
