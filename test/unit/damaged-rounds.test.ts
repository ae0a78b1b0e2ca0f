/**
 * What a look at the rounds says of those that a request stumbled upon: only what it judged itself. Answers of Redis are made here,
 * since what counts is between which two of them something happens; test/server/damaged-rounds.test.ts has the real one.
 */
import { expect, test } from 'vitest'
import { ROUNDS_LOOKED_AT } from '../../engine/base/limits.ts'
import { DamagedCampaigns, DamagedRounds } from '../../engine/campaign/round/damaged-rounds.ts'
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

/** As many rounds as three looks take, and what Redis is asked of them. */
function many() {
  const ids = Array.from({ length: 3 * ROUNDS_LOOKED_AT }, (_, i) => `rnd_${i}`)
  const asked: string[] = []
  const damage: Record<string, Damage> = {}
  const reads = {
    count: 1,
    damageOf: async (id: string) => {
      asked.push(id)
      return damage[id]
    },
  }
  const rounds = new DamagedRounds(
    { damage: reads.damageOf, isKnown: async () => reads.count > 0, count: async () => reads.count },
    () => false,
  )
  return { ids, asked, damage, reads, rounds }
}

test('of many rounds some are looked at each time, in turn, and what was found each time', async () => {
  const { ids, asked, damage, rounds } = many()
  const [first, last] = [ids[0] as string, ids.at(-1) as string]
  damage[last] = TORN
  for (let look = 0; look < 3; look++) {
    asked.length = 0
    const { damaged } = await rounds.look(ids)
    expect(asked).toEqual(ids.slice(look * ROUNDS_LOOKED_AT, (look + 1) * ROUNDS_LOOKED_AT))
    expect(damaged).toHaveLength(look < 2 ? 0 : 1)
  }
  asked.length = 0
  expect((await rounds.look(ids)).damaged).toHaveLength(1)
  expect([asked[0], asked.length, asked.at(-1)]).toEqual([first, ROUNDS_LOOKED_AT + 1, last])
})

test('many rounds are lost all together at the first look, and back at one', async () => {
  const { ids, damage, reads, rounds } = many()
  for (const id of ids) damage[id] = { what: 'its state in Redis is missing', isMissing: true }
  reads.count = 0
  expect((await rounds.look(ids)).lost).toHaveLength(1)
  expect(ids.filter(id => rounds.problemOf(id) === undefined)).toEqual([])
  for (const id of ids) delete damage[id]
  reads.count = ids.length
  expect((await rounds.look(ids)).lost).toEqual([])
})

test('of many campaigns some are looked at each time, in turn, and what was found each time', async () => {
  const ids = Array.from({ length: ROUNDS_LOOKED_AT + 1 }, (_, i) => `cmp_${i}`)
  const asked: string[] = []
  const campaigns = new DamagedCampaigns({
    damage: async id => {
      asked.push(id)
      return id === ids[0] ? { what: 'its rules are gone', isFenced: true } : undefined
    },
  })
  expect(await campaigns.look(ids)).toHaveLength(1)
  expect(asked).toEqual(ids.slice(0, -1))
  expect(await campaigns.look(ids)).toHaveLength(1)
  expect(campaigns.isFenced(ids[0] as string)).toBe(true)
  expect(asked).toContain(ids.at(-1))
})
