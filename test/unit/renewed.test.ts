/**
 * A question that names an epoch is asked once more in another one, and only where that is known and nothing was done.
 *
 * Worlds in which rounds go over to other epochs are those of test/sim; here each way is a line.
 */
import { expect, test } from 'vitest'
import { Fault, type FaultCode } from '../../engine/base/assert.ts'
import { askRenewed } from '../../engine/campaign/claim/renewed.ts'

/** A round that is in `now`, as a server sees it, and in `known`, as a worker does. */
function roundIn(known: string, now: string, code: FaultCode = 'fenced') {
  const asked: string[] = []
  let own = known
  return {
    asked,
    epoch: () => own,
    renew: () => {
      own = now
      return Promise.resolve()
    },
    ask: (epoch: string) => {
      asked.push(epoch)
      return epoch === now ? Promise.resolve('decided') : Promise.reject(new Fault(code, 'another epoch'))
    },
  }
}

test('who is fenced looks which epoch it is now, and asks again in that one', async () => {
  const { asked, ask, ...epochs } = roundIn('a', 'b')
  expect(await askRenewed(epochs, ask)).toBe('decided')
  expect(asked).toEqual(['a', 'b'])
})

test('a round that is fenced in the epoch that it is in is asked once', async () => {
  const { asked, ...round } = roundIn('a', 'a')
  const ask = (epoch: string) => {
    asked.push(epoch)
    return Promise.reject(new Fault('fenced', 'its state is gone'))
  }
  await expect(askRenewed(round, ask)).rejects.toMatchObject({ code: 'fenced' })
  expect(asked).toEqual(['a'])
})

test('a doubt is not asked again, nor is anything where somebody else sees to epochs', async () => {
  const doubt = roundIn('a', 'b', 'unknown')
  await expect(askRenewed(doubt, doubt.ask)).rejects.toMatchObject({ code: 'unknown' })
  const fenced = roundIn('a', 'b')
  await expect(askRenewed({ ...fenced, renew: undefined }, fenced.ask)).rejects.toMatchObject({ code: 'fenced' })
  expect([doubt.asked, fenced.asked]).toEqual([['a'], ['a']])
})

test('where it cannot be found out, the first refusal stands', async () => {
  const round = roundIn('a', 'b')
  const renew = () => Promise.reject(new Fault('unavailable', 'no server'))
  await expect(askRenewed({ ...round, renew }, round.ask)).rejects.toMatchObject({ code: 'fenced' })
  expect(round.asked).toEqual(['a'])
})
