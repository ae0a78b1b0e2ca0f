/**
 * The draw's promises about size: from a list on the disk to a written result in 3 s and verified in 10 s, at ten million.
 *
 * `TEST_EFFORT=long` plays ten million entrants, prints what it took and holds the promises; the short form plays the
 * same steps with fewer under the same bounds, so that the long form cannot rot; there the draw's processor time is held,
 * because other tests run beside it. Reading, writing and the start of the command are in the times.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { effort } from '../support/effort.ts'

const N = effort(200_000, 10_000_000)
const DRAW_MS = 3000
const VERIFY_MS = 10_000
const PROOF_BYTES = 2048

const folder = mkdtempSync(join(tmpdir(), 'draw-size-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const run = (file: string, ...args: readonly string[]) =>
  execFileSync(process.execPath, [join(import.meta.dirname, file), ...args], { encoding: 'utf8' })

test(`${N} entrants are drawn, verified and proved within the promised time and size`, { timeout: 600_000 }, () => {
  const drawn = JSON.parse(run('../support/draw-run.ts', folder, String(N)))
  const started = performance.now()
  const verdict = JSON.parse(run('../../engine/cli.ts', 'draw', 'verify', folder, '--json'))
  const verifyMs = Math.round(performance.now() - started)
  console.log(`${N} entrants: ${JSON.stringify({ ...drawn, verify_ms: verifyMs })}`)
  expect(verdict.ok).toBe(true)
  expect(effort(drawn.draw_cpu_ms, drawn.draw_ms)).toBeLessThan(DRAW_MS)
  expect(verifyMs).toBeLessThan(VERIFY_MS)
  expect(drawn.proof_bytes).toBeLessThan(PROOF_BYTES)
})
