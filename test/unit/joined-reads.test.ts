/**
 * Reads that are joined: who is answered by which, how many there are, and what a failure leaves behind. The reads end
 * when the test says so; over a real Redis they are in test/script/grant-pages.test.ts.
 */
import { expect, test } from 'vitest'
import { JoinedReads } from '../../engine/base/joined-reads.ts'

/** Reads that end when they are told to; `began` counts them. */
function readsOf() {
  const joined = new JoinedReads<number>()
  const ends: PromiseWithResolvers<number>[] = []
  const read = () => {
    const end = Promise.withResolvers<number>()
    ends.push(end)
    return end.promise
  }
  const ask = (wanted: number, key = 'k') => joined.ask(key, read, shown => shown >= wanted)
  const settle = () => new Promise(resolve => setImmediate(resolve))
  return { ask, ends, settle }
}

test('what an earlier read shows suffices; what it does not show is read again, once for all who asked meanwhile', async () => {
  const { ask, ends, settle } = readsOf()
  const first = ask(1)
  const meanwhile = [ask(1), ask(2), ask(3), ask(2)]
  expect(ends).toHaveLength(1)
  ends[0]?.resolve(1)
  await settle()
  expect(ends).toHaveLength(2)
  const late = ask(4)
  ends[1]?.resolve(3)
  await settle()
  expect(ends).toHaveLength(3)
  ends[2]?.resolve(3)
  expect(await Promise.all([first, ...meanwhile, late])).toEqual([1, 1, 3, 3, 3, 3])
})

test('keys are read apart, and a read that failed answers for nobody who asked behind it', async () => {
  const { ask, ends, settle } = readsOf()
  const asked = Promise.allSettled([ask(1), ask(1), ask(1), ask(5, 'other')])
  expect(ends).toHaveLength(2)
  ends[0]?.reject(new Error('away'))
  ends[1]?.resolve(0)
  await settle()
  expect(ends).toHaveLength(3)
  ends[2]?.resolve(9)
  expect(await asked).toMatchObject([{ status: 'rejected' }, { value: 9 }, { value: 9 }, { value: 0 }])
})
