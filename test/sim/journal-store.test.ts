/**
 * The simulated disk of journals: what a process leaves that ends in the middle is what kill -9 leaves on a real one, a
 * beginning of what it appended. So the next life may say that this was all.
 */
import { expect, test } from 'vitest'
import { Journal } from '../../engine/campaign/fenced/journal.ts'
import { JournalStore } from './journal-store.ts'
import { Chance, Timeline } from './timeline.ts'

const APPENDS = 8

/** The epochs that the next life finds, and whether it finds the journal sound, where so many milliseconds were left. */
async function leftBehind(seed: number, livedMs: number) {
  const timeline = new Timeline()
  const disk = new JournalStore(timeline, new Chance(seed))
  const life = { alive: true, within: (run: () => void) => (life.alive ? run() : undefined) }
  const journal = new Journal(disk.mount(life))
  const head = await journal.open('r')
  const grants = [{ sequence: 1, pool: 0, at: 1, holder: 'a' }]
  const epochOf = (i: number) => `${i}`.padStart(16, '0')
  for (let i = 0; i < APPENDS; i++) {
    const grant = grants.map(each => ({ ...each, sequence: i + 1 }))
    void journal.keepRead('r', head, epochOf(i), grant)
  }
  let over = false
  timeline.after(livedMs, () => {
    life.alive = false
  })
  timeline.after(10, () => {
    over = true
  })
  await timeline.run(() => over)
  const read = await new Journal(disk.mount({ alive: true, within: run => run() })).read('r')
  return { sequences: read.grants.map(({ sequence }) => sequence), sound: read.sound }
}

test('what a process leaves that ends is a beginning of what it appended', async () => {
  const lengths = new Set<number>()
  for (let seed = 1; seed <= 200; seed++) {
    const { sequences, sound } = await leftBehind(seed, (seed % 20) / 40)
    lengths.add(sequences.length)
    expect({ seed, sequences, sound }).toEqual({ seed, sequences: sequences.map((_, i) => i + 1), sound: true })
  }
  expect(lengths.size).toBeGreaterThan(4)
})
