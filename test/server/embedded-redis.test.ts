/**
 * The embedded server of a data folder is one server, also when the one that an earlier node left behind is slow to answer.
 *
 * A node that dies leaves its redis-server, and the next start adopts it. One that does not answer at once, because the
 * machine or its disk is busy elsewhere, is there all the same: a second server on the same folder would write into the
 * same append only file. The freeze is the fault, so its length is a timer; everything else is awaited.
 */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as last } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { realClock } from '../../engine/base/clock.ts'
import { startEmbedded } from '../../engine/store/server/embedded.ts'

const FROZEN_MS = 1500

test('a server that is left and does not answer for a while is adopted, and none is started beside it', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'fg-embedded-'))
  const left = await startEmbedded(dir, 'always', realClock)
  onTestFinished(async () => {
    await left.stop()
    rmSync(dir, { recursive: true, force: true })
  })
  process.kill(left.pid, 'SIGSTOP')
  const next = startEmbedded(dir, 'always', realClock)
  await last(FROZEN_MS)
  process.kill(left.pid, 'SIGCONT')
  const adopted = await next
  if (adopted.pid !== left.pid) await adopted.stop()
  expect(adopted.pid).toBe(left.pid)
})
