/**
 * A check of the server as a worker does it: what the store found stands, whatever the parts above it cannot be asked; and
 * what fails by the clock meanwhile is logged once.
 */
import { expect, test } from 'vitest'
import { Fault } from '../../engine/base/assert.ts'
import { checked } from '../../engine/main/checked.ts'
import type { Ears } from '../../engine/main/rounds.ts'
import { FaultLog } from '../../engine/ops/fault-log.ts'

const FOUND = { warnings: [], version: '7.0.15', usedMemoryBytes: 1, nodes: 1, commands: 1, aheadMs: 0 }
const short = { what: '0 of 1 replicas confirm a write', mend: 'start the missing replica' }
const slow = () => Promise.reject(new Fault('unknown', 'Redis did not answer in time'))
const clock = { learn: () => {} }
const PARTS: readonly Ears[] = [{ agreed: slow }, { damage: slow }, { concerns: slow }]

test.each(PARTS)('%o that cannot be asked never stands in the place of what the store found', async ears => {
  const health = async () => ({ ...FOUND, problems: [short] })
  expect(await checked({ health }, clock, ears)).toMatchObject({ problems: [short] })
  const sound = async () => ({ ...FOUND, problems: [] })
  await expect(checked({ health: sound }, clock, ears)).rejects.toMatchObject({ code: 'unknown' })
})

test('a fault of a task is told once between two changes of the health, without its stack; a bug each time', () => {
  const lines: unknown[] = []
  const faults = new FaultLog({ warn: (...line: unknown[]) => void lines.push(line) })
  const failed = faults.told('draw')
  const [fault, bug] = [new Fault('unknown', 'no answer'), new Error('a bug')]
  for (let i = 0; i < 3; i++) failed(fault)
  expect(lines).toEqual([[{ cause: 'no answer' }, 'draw']])
  faults.changed()
  failed(fault)
  failed(bug)
  failed(bug)
  expect(lines.slice(1)).toEqual([
    [{ cause: 'no answer' }, 'draw'],
    [{ err: bug }, 'draw'],
    [{ err: bug }, 'draw'],
  ])
})
