/**
 * The scripts and a naive model of a round, side by side on random sequences of claims, turns, restocks and reads.
 *
 * After each step the laws are checked on Redis itself: never more than the stock of a pool, sequences 1..n without a
 * gap, one sequence a holder key, and the log replayed from its start gives the state that stands. Requests repeat
 * on purpose (few ids, few users), since repeats are where exactness is lost.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { holdersIn } from '../../engine/base/holder.ts'
import type { TurnVerb } from '../../engine/store/round-store.ts'
import { RoundModel } from '../support/round-model.ts'
import { openScriptRoom } from '../support/script-room.ts'
import { seed } from '../support/seed.ts'

const MOST = 14
const POOLS = 3

let room: Awaited<ReturnType<typeof openScriptRoom>>
beforeAll(async () => {
  room = await openScriptRoom()
})
afterAll(() => room[Symbol.asyncDispose]())

interface Real {
  readonly id: string
}
type Step = fc.AsyncCommand<RoundModel, Real>

/** The state that the log alone tells. */
function replay(log: Awaited<ReturnType<typeof room.log>>, totals: readonly number[]) {
  const pools = totals.map(total => ({ total, granted: 0 }))
  const holders: Record<string, { sequence: number; pool: number; bytes: number }> = {}
  let sequence = 0
  for (const { id, fields } of log) {
    const [, pool] = fields.kind?.match(/^restock (\d+)$/) ?? []
    if (pool !== undefined) pools[Number(pool)]!.total += Number(fields.amount)
    if (fields.users !== undefined) {
      const bytes = Buffer.from(fields.pools as string, 'latin1')
      for (const [i, holder] of holdersIn(Buffer.from(fields.users, 'latin1')).entries()) {
        const of = bytes[bytes.length === 1 ? 0 : i] as number
        expect(holders, `${holder} is granted twice in the log`).not.toHaveProperty([holder])
        holders[holder] = { sequence: ++sequence, pool: of, bytes: 5 }
        pools[of]!.granted++
      }
    }
    expect(Number.parseInt(id, 10), 'an entry is named after the last sequence').toBe(sequence)
  }
  return { pools, holders, sequence }
}

async function checkLaws(model: RoundModel, { id }: Real, start: readonly number[]): Promise<void> {
  const [notice, holders, log] = await Promise.all([room.notice(id), room.holders(id), room.log(id)])
  expect(notice).toMatchObject({
    version: model.version,
    state: model.state,
    sequence: model.grants.length,
    pools: model.pools,
  })
  for (const pool of notice.pools) expect(pool.granted).toBeLessThanOrEqual(pool.total)
  const sequences = Object.values(holders).map(({ sequence }) => sequence)
  expect(sequences.toSorted((a, b) => a - b)).toEqual(sequences.map((_, i) => i + 1))
  expect(
    Object.entries(holders)
      .map(([holder, { sequence, pool }]) => [sequence, holder, pool])
      .sort(),
  ).toEqual(model.grants.map(({ holder, pool }, i) => [i + 1, holder, pool]).sort())
  expect(replay(log, start)).toEqual({ pools: notice.pools, holders, sequence: notice.sequence })
}

const step = (text: string, run: Step['run']): Step => ({ check: () => true, run, toString: () => text })

const claimStep = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 11 }), fc.integer({ min: 1, max: 2 }), fc.nat(POOLS - 1)), {
    minLength: 1,
    maxLength: 8,
  })
  .chain(rows => fc.boolean().map(onePool => ({ rows, onePool })))
  .map(({ rows, onePool }) => {
    const holders = rows.map(([user, slot]) => (slot === 1 ? `u${user}` : `u${user}/${slot}`))
    const pools = rows.map(([, , pool], _, all) => (onePool ? (all[0]?.[2] as number) : pool))
    return step(`claim ${holders} in ${pools}`, async (model, { id }) => {
      const answers = await room.claim(id, holders, onePool ? (pools[0] as number) : pools)
      expect(answers).toEqual(model.claim(holders, pools))
    })
  })

const turnStep = fc
  .tuple(fc.constantFrom<TurnVerb>('open', 'open', 'pause', 'resume', 'resume', 'close'), fc.nat(20))
  .map(([verb, request]) =>
    step(`${verb} by ${request}`, async (model, { id }) => {
      const { code } = await room.rounds.turn(id, room.epoch, verb, `t${request}`)
      expect(code).toBe(model.turn(verb, `t${request}`))
    }),
  )

const restockStep = fc
  .record({ pool: fc.nat(POOLS - 1), add: fc.integer({ min: -4, max: 4 }), request: fc.nat(20) })
  .filter(({ add }) => add !== 0)
  .map(({ pool, add, request }) =>
    step(`restock ${pool} by ${add} as ${request}`, async (model, { id }) => {
      const { code } = await room.rounds.restock(id, room.epoch, { pool, add, most: MOST, request: `s${request}` })
      expect(code).toBe(model.restock(pool, add, MOST, `s${request}`))
    }),
  )

const readStep = fc.nat(11).map(user =>
  step(`read u${user}`, async (model, { id }) => {
    const place = model.grants.findIndex(grant => grant.holder === `u${user}`)
    const holding = await room.claims.holding(id, `u${user}`)
    expect(holding).toEqual(place < 0 ? undefined : { sequence: place + 1, pool: model.grants[place]?.pool })
    const last = model.grants.at(-1)
    const batch = await room.claims.batchOf(id, model.grants.length)
    expect(batch?.holders[model.grants.length - batch.firstSequence]).toBe(last?.holder)
  }),
)

test(`random rounds end as the model says, law by law (seed ${seed})`, { timeout: 240_000 }, async () => {
  const steps = fc.commands([claimStep, claimStep, claimStep, turnStep, restockStep, readStep], {
    maxCommands: 40,
    size: 'max',
  })
  const totals = fc.array(fc.nat(4), { minLength: POOLS, maxLength: POOLS })
  let ran = 0
  const property = fc.asyncProperty(totals, fc.boolean(), steps, async (start, open, commands) => {
    const checked = [...commands].map(command =>
      step(String(command), async (model, real) => {
        await command.run(model, real)
        await checkLaws(model, real, start)
        ran++
      }),
    )
    await fc.asyncModelRun(async () => {
      const model = new RoundModel(start)
      const id = await room.newRound({ totals: start, open })
      if (open) model.turn('open', 'first')
      return { model, real: { id } }
    }, checked)
  })
  await fc.assert(property, { seed, numRuns: 100 })
  expect(ran).toBeGreaterThan(1000)
})

test('the comparison itself can fail: a model that forgets one grant is found', async () => {
  const id = await room.newRound({ totals: [5] })
  const model = new RoundModel([5])
  model.turn('open', 'first')
  await room.claim(id, ['u1', 'u2'])
  model.claim(['u1'], [0])
  await expect(checkLaws(model, { id }, [5])).rejects.toThrow('to match object')
})
