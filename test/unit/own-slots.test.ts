/**
 * What is made of the replies of CLUSTER NODES: who lacks a slot, whose move is open, and who may be promoted. The replies are made
 * here, so that servers disagree as they do for a moment only; test/cluster/slot-findings.test.ts asks real ones.
 */
import { expect, test } from 'vitest'
import {
  lookAt,
  movesFound,
  NOTHING_SEEN,
  ownerlessFound,
  ownSlotsOf,
  stillSo,
} from '../../engine/store/server/own-slots.ts'

const LINES = { cliOf: (server: string) => `cli ${server}`, fixOf: (server: string) => `fix ${server}` }

/** Two primaries and a replica of the first, as the first or the second says. */
function views(slotsOfA: string, slotsOfB: string, believed = '0-9999') {
  const line = (id: string, flags: string, slots: string, primary = '-') =>
    `${id} 10.0.0.${id.length}:6379@16379,${id}.local ${flags} ${primary} 0 0 1 connected ${slots}`
  const replicas = [line('ccc', 'slave,nofailover', '', 'a'), line('dddd', 'slave', '', 'a')]
  const a = [line('a', 'myself,master', slotsOfA), line('bb', 'master', '10000-16383'), ...replicas].join('\n')
  const b = [line('a', 'master', believed), line('bb', 'myself,master', slotsOfB), ...replicas].join('\n')
  return [ownSlotsOf('a.local:6379', a), ownSlotsOf('bb.local:6379', b)].flatMap(view => (view ? [view] : []))
}
const said = (of: ReturnType<typeof views>, all = true) => {
  const look = lookAt(of, all)
  return [...ownerlessFound(look, 'any', LINES), ...movesFound(look, LINES)]
}

test('where each slot has one owner nothing is found', () => {
  expect(said(views('0-9999', '10000-16383'))).toEqual([])
})

test('slots that one server has no more are named with it, many of them with the line for many', () => {
  expect(said(views('0-4 7-9999', '10000-16383'))).toEqual([
    {
      what: expect.stringMatching(/^shard a\.local:6379: slots 5, 6 are without/),
      mend: 'cli a.local:6379 CLUSTER ADDSLOTS 5 6',
    },
  ])
  expect(said(views('0-4 14-9999', '10000-16383'))).toEqual([
    {
      what: expect.stringMatching(/: slots 5, 6, 7, 8, 9 and 4 more are/),
      mend: expect.stringMatching(/fix a\.local:6379$/),
    },
  ])
})

test('slots of nobody are named only when every server was asked, those of a server that is away never', () => {
  const [a, b] = views('0-4 7-9999', '10000-16383', '0-4 7-9999')
  expect(said([a, b] as never)).toEqual([
    { what: expect.stringMatching(/^slots 5, 6 .*no server/), mend: expect.stringMatching(/fix any$/) },
  ])
  expect(said([a, b] as never, false)).toEqual([])
  expect(said([b] as never, false)).toEqual([])
  // One that was just promoted, which the table does not have yet.
  expect(said(views('0-9999', '10000-16383').slice(1))).toEqual([])
})

test('a move is named once, by either mark, and only when it was there before, too', () => {
  const both = views('0-9999 [7->-bb]', '10000-16383 [7-<-a]')
  const named = [
    {
      what: expect.stringMatching(/^shard a\.local:6379: slot 7 is half moved to bb\.local:6379: /),
      mend: expect.stringContaining('fix a.local:6379'),
    },
  ]
  expect(said(both)).toEqual(named)
  expect(said(views('0-9999', '10000-16383 [7-<-a]'))).toEqual(named)
  expect(stillSo(NOTHING_SEEN, lookAt(both, true))).toEqual(NOTHING_SEEN)
  expect(stillSo(lookAt(both, true), lookAt(both, true))).toEqual(lookAt(both, true))
})

test('replicas that never take over by themselves are not counted among those that may', () => {
  expect(views('0-9999', '10000-16383').map(({ promotable }) => promotable)).toEqual([1, 0])
})
