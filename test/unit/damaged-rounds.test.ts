/**
 * What a look at the rounds says of those that a request stumbled upon: only what it judged itself. Answers of Redis are made here,
 * since what counts is between which two of them something happens; test/server/damaged-rounds.test.ts has the real one.
 */
import { expect, test } from 'vitest'
import { DamagedRounds } from '../../engine/campaign/round/damaged-rounds.ts'
import type { Damage } from '../../engine/store/data/round-store.ts'

const [ID, OTHER] = ['rnd_1', 'rnd_2']
const TORN: Damage = { what: 'its log is missing', isMissing: false }

/** Rounds of which Redis says `damage`. What is put into `meanwhile` happens while it is asked, `late` when it has judged the first. */
function looked(damage: Readonly<Record<string, Damage>> = {}, count = 2) {
  const [meanwhile, late]: (() => void)[][] = [[], []]
  const rounds = new DamagedRounds(
    {
      damage: async id => {
        for (const happen of meanwhile?.splice(0) ?? []) happen()
        if (id === OTHER) await new Promise(resume => setImmediate(resume))
        if (id === OTHER) for (const happen of late?.splice(0) ?? []) happen()
        return damage[id]
      },
      isKnown: async () => count > 0,
      count: async () => count,
    },
    () => false,
  )
  const wordsOf = async () => (await rounds.look([ID, OTHER])).damaged.map(({ what }) => what)
  return { rounds, meanwhile: [meanwhile, late], wordsOf }
}

test.each([
  [false, /^restore its keys from a backup, then/],
  [true, /redis-cli --cluster fix .*else restore its keys from a backup, then/],
])('what helps a damaged round, on a cluster: %s', async (isCluster, remedy) => {
  const reads = { damage: async () => TORN, isKnown: async () => true, count: async () => 1 }
  const rounds = new DamagedRounds(reads, () => false, isCluster)
  // On a cluster the second look is certain: a server that was replaced may have been the first to answer.
  const first = await rounds.look([ID])
  expect([first.damaged.length, rounds.problemOf(ID) === undefined]).toEqual([isCluster ? 0 : 1, false])
  expect((await rounds.look([ID])).damaged).toEqual([
    { what: expect.stringContaining('its log is missing'), mend: expect.stringMatching(remedy) },
  ])
})

test('a round of another level is one at the first look, on a cluster too: look-ups of it are answered', async () => {
  const other: Damage = { what: 'it is of another level', isMissing: false, isOtherLevel: true }
  const reads = { damage: async () => other, isKnown: async () => true, count: async () => 1 }
  const rounds = new DamagedRounds(reads, () => false, true)
  expect((await rounds.look([ID])).damaged).toHaveLength(1)
  expect(() => rounds.assertSound(ID)).not.toThrow()
})

const SUSPICIONS = [
  ['a claim that a fail-over overtook', (rounds: DamagedRounds) => rounds.refused(ID, 'of another epoch')],
  ['a round that a request did not find', (rounds: DamagedRounds) => rounds.found(ID, 'its state is missing')],
] as const

test.each(SUSPICIONS)('%s while a look is under way is no damage; the next look judges it', async (_, suspect) => {
  const { rounds, meanwhile, wordsOf } = looked()
  for (const happening of meanwhile) {
    happening?.push(() => suspect(rounds))
    expect(await wordsOf()).toEqual([])
    expect(() => rounds.assertSound(ID), 'until then nobody is told that they hold nothing').toThrow(/ask again/)
    expect([...rounds.ids()]).toEqual([ID])
    expect(await wordsOf()).toEqual([])
    expect([...rounds.ids()]).toEqual([])
    rounds.assertSound(ID)
  }
})

test.each(SUSPICIONS)('%s does not hide what a look found', async (_, suspect) => {
  const { rounds, meanwhile, wordsOf } = looked({ [ID]: TORN })
  suspect(rounds)
  for (const happening of meanwhile) happening?.push(() => suspect(rounds))
  const torn = [`round ${ID}: its log is missing; its claims are fenced, other rounds go on`]
  expect(await wordsOf()).toEqual(torn)
  suspect(rounds)
  expect(rounds.problemOf(ID)).toMatch(/^its log is missing; restore/)
  expect(await wordsOf()).toEqual(torn)
})

test('rounds that are lost all together are named, and count', async () => {
  const gone: Damage = { what: 'its state in Redis is missing', isMissing: true }
  const { rounds } = looked({ [ID]: gone, [OTHER]: gone }, 0)
  const { lost, damaged } = await rounds.look([ID, OTHER])
  expect([lost.length, damaged, [...rounds.ids()]]).toEqual([1, [], [ID, OTHER]])
  expect(() => rounds.assertKept()).toThrow(/lost every round/)
})
