/**
 * The waiting of tests for something that moves by itself: who waits is answered by the move that makes it hold, and is
 * refused as soon as no more moves come, instead of by the bound of the test.
 */
import { expect, test } from 'vitest'
import { Awaited } from '../support/awaited.ts'

test('who waits is answered by the move that makes it hold, or at once when it holds already', async () => {
  let count = 0
  const awaited = new Awaited(() => `${count}`)
  const answered: number[] = []
  const two = awaited.until(() => count >= 2).then(() => answered.push(count))
  for (count = 1; count <= 3; count++) {
    awaited.look()
    await Promise.resolve()
  }
  await two
  expect(answered).toEqual([2])
  await awaited.until(() => true)
})

test('what can come no more is refused with what was reached, also to who asks later, until it moves again', async () => {
  let count = 0
  const awaited = new Awaited(() => `${count} of 9`)
  const never = awaited.until(() => count >= 9)
  count = 4
  awaited.end()
  await expect(never).rejects.toThrow('it is over, and what was waited for can come no more: 4 of 9')
  await expect(awaited.until(() => count >= 9)).rejects.toThrow('4 of 9')
  await awaited.until(() => count >= 4)
  awaited.begin()
  const again = awaited.until(() => count >= 9)
  count = 9
  awaited.end()
  await again
})
