/**
 * What a change of a round commits of its campaign's budget, with a fault at each point between the money and the change: the
 * node fails, or it dies and another one finds what it left. Nothing is leaked, nothing that was made is unfunded, and what
 * arrives after its money went back is refused. The scripts and the keys are real; a node that died is one that stopped.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { Fault, Refusal } from '../../engine/base/assert.ts'
import { newId, realRandom } from '../../engine/base/random.ts'
import { behindChange } from '../../engine/campaign/money/behind-change.ts'
import { Commitments, UNSETTLED_MS } from '../../engine/campaign/money/commitments.ts'
import type { Campaign } from '../../engine/campaign/round/campaigns.ts'
import * as keys from '../../engine/store/connection/keys.ts'
import { type Commitment, CREATE } from '../../engine/store/data/budget-store.ts'
import { openScriptRoom } from '../support/script-room.ts'

const MOST = 100
const away = () => new Fault('unavailable', 'Redis is away')

let room: Awaited<ReturnType<typeof openScriptRoom>>
let campaign: Campaign
let commitments: Commitments
let later = 0
beforeAll(async () => {
  room = await openScriptRoom()
})
afterAll(() => room[Symbol.asyncDispose]())
beforeEach(() => {
  const rules = {
    name: 'c',
    currency: 'CNY',
    timezone: 'UTC',
    on_expiry: 'returned',
    pack: [],
    limits: { per_user: 1 },
  } as const
  campaign = { id: newId(realRandom, 'cmp'), ...rules, budget: { max_amount: MOST }, created_at: '' }
  later = 0
  commitments = new Commitments({
    store: room,
    serverTimeMs: () => 1_800_000_000_000 + later,
    failed: () => {},
  })
})

/** A change that nobody else is under way with. */
const alone = (commitment: Commitment) => ({ commitment, packs: 1, isShared: false })

const committedOf = async (campaignId: string) =>
  Number(await room.link.request(client => client.hget(keys.campaignBudget(campaignId), 'sum')))
const committed = () => committedOf(campaign.id)
const unsettled = async () => (await room.budgets.unsettled()).filter(({ campaignId }) => campaignId === campaign.id)

/** A creation that costs `amount`, and what makes its round. */
function creation(amount: number, allocation = { mode: 'fcfs' }) {
  const id = newId(realRandom, 'rnd')
  const commitment: Commitment = { campaignId: campaign.id, roundId: id, request: CREATE, amount }
  const make = async () => {
    const number = await room.rounds.nextNumber()
    const config = JSON.stringify({ id, number, campaign_id: campaign.id, allocation })
    const window = { epoch: room.epoch, opensAt: 1, closesAt: 0 }
    await room.rounds.createRound({ id, campaignId: campaign.id, number, config, ...window, totals: [10] })
  }
  return { id, commitment, make }
}

/** A change of a standing round's stock that costs `amount`, and what makes it. */
async function restocking(amount: number) {
  const roundId = await room.newRound()
  const request = newId(realRandom, 'req')
  const commitment: Commitment = { campaignId: campaign.id, roundId, request, amount }
  const change = { pool: 0, add: Math.sign(amount), most: 1000, request }
  const make = async () => {
    const { code } = await room.rounds.restock(roundId, room.epoch, change)
    if (code === 'unavailable') throw new Fault(code, 'it was given up')
  }
  return { id: roundId, commitment, make }
}

const CHANGES = {
  'a new round': async () => creation(60),
  'stock that is added': () => restocking(60),
  'stock that is taken back': () => restocking(-60),
}
const kinds = Object.entries(CHANGES)

test.each(kinds)('%s counts when it is made, and nothing waits', async (_, begin) => {
  const { commitment, make } = await begin()
  await commitments.around(campaign, alone(commitment), make)
  expect([await committed(), await unsettled()]).toEqual([commitment.amount, []])
})

test.each(kinds)('%s that was refused or failed costs nothing, and its late bytes make nothing', async (_, begin) => {
  for (const cause of [new Refusal('wrong_state', 'closed'), away()]) {
    const { commitment, make } = await begin()
    const failing = () => Promise.reject(cause)
    await expect(commitments.around(campaign, alone(commitment), failing)).rejects.toBe(cause)
    expect([await committed(), await unsettled()]).toEqual([0, []])
    if (cause instanceof Fault) await expect(make()).rejects.toMatchObject({ code: 'unavailable' })
  }
})

test.each(kinds)('%s that was made while its answer was lost stays paid for', async (_, begin) => {
  const { commitment, make } = await begin()
  const lost = new Fault('unknown', 'the connection broke')
  const change = async () => {
    await make()
    throw lost
  }
  await expect(commitments.around(campaign, alone(commitment), change)).rejects.toBe(lost)
  expect([await committed(), await unsettled()]).toEqual([commitment.amount, []])
})

test.each(kinds)(
  '%s of a node that died before it was made is given back, however late it arrives',
  async (_, begin) => {
    const { commitment, make } = await begin()
    await room.budgets.note(commitment, 1_800_000_000_000)
    expect(await room.budgets.commit(commitment, MOST)).toBe(true)
    later = UNSETTLED_MS - 1
    await commitments.settleAll()
    expect([await committed(), await unsettled()]).toMatchObject([Math.max(0, commitment.amount), [commitment]])
    later = UNSETTLED_MS
    await commitments.settleAll()
    expect([await committed(), await unsettled()]).toEqual([0, []])
    await expect(make()).rejects.toMatchObject({ code: 'unavailable' })
    expect(await room.budgets.commit(commitment, MOST)).toBe(true)
    expect(await committed()).toBe(0)
  },
)

test.each(kinds)('%s of a node that died behind it is settled by another one', async (_, begin) => {
  const { commitment, make, id } = await begin()
  await room.budgets.note(commitment, 1_800_000_000_000)
  await room.budgets.commit(commitment, MOST)
  await make()
  later = UNSETTLED_MS
  await commitments.settleAll()
  expect([await committed(), await unsettled()]).toEqual([commitment.amount, []])
  expect(await room.rounds.isKnown(id)).toBe(true)
})

test('a drawn round that nobody was told of is drawn', async () => {
  const { commitment, make, id } = creation(60, { mode: 'lottery' })
  await room.budgets.note(commitment, 1_800_000_000_000)
  await make()
  later = UNSETTLED_MS
  await commitments.settleAll()
  expect(await room.draws.undrawn()).toContain(id)
})

test('before a budget refuses it has back what belongs to nobody, and of its own campaign only', async () => {
  const [dead, mine, foreign] = [creation(60), creation(60), creation(60)]
  const other = { ...foreign.commitment, campaignId: newId(realRandom, 'cmp') }
  for (const commitment of [dead.commitment, other]) {
    await room.budgets.note(commitment, 1_800_000_000_000)
    await room.budgets.commit(commitment, MOST)
  }
  await expect(commitments.around(campaign, alone(mine.commitment), mine.make)).rejects.toMatchObject({
    code: 'budget_exceeded',
  })
  later = UNSETTLED_MS
  const again = creation(100)
  await commitments.around(campaign, alone(again.commitment), again.make)
  expect([await committed(), await committedOf(other.campaignId)]).toEqual([100, 60])
})

test('what a round has lost with its state keeps its money until somebody has restored it', async () => {
  const [made, stock] = [creation(60), await restocking(30)]
  for (const { commitment, make } of [made, stock]) {
    await room.budgets.note(commitment, 1_800_000_000_000)
    await room.budgets.commit(commitment, MOST)
    await make()
  }
  await room.rounds.enlist({ id: made.id, number: 1, campaignId: campaign.id })
  for (const { id } of [made, stock]) await room.link.request(client => client.del(keys.roundState(id)))
  later = UNSETTLED_MS
  await commitments.settleAll()
  expect(await committed()).toBe(90)
})

test('a round that was made and whose money cannot be settled now is answered unknown, and settled later', async () => {
  const { commitment, make } = creation(60)
  const settle = room.budgets.settle.bind(room.budgets)
  room.budgets.settle = () => Promise.reject(away())
  await expect(commitments.around(campaign, alone(commitment), make)).rejects.toMatchObject({
    code: 'unknown',
    message: expect.stringContaining('the change was made'),
  })
  room.budgets.settle = settle
  later = UNSETTLED_MS
  await commitments.settleAll()
  expect([await committed(), await unsettled()]).toEqual([60, []])
})

test('what fails behind a change is unknown, never certainly not done; a refusal and a bug stay what they are', async () => {
  for (const code of ['fenced', 'unavailable', 'overloaded', 'unknown'] as const)
    await expect(behindChange(Promise.reject(new Fault(code, 'late')))).rejects.toMatchObject({
      code: 'unknown',
      message: 'the change was made; late',
    })
  const refusal = new Refusal('closed', 'over')
  await expect(behindChange(Promise.reject(refusal))).rejects.toBe(refusal)
  expect(await behindChange(Promise.resolve(7))).toBe(7)
})

test('every outcome that round-void names was answered', async () => {
  const { commitment } = await restocking(1)
  expect(await room.budgets.fate({ ...commitment, roundId: 'rnd_nowhere' })).toBe('lost')
  const { named, seen } = room.outcomes('round-void')
  expect(seen).toEqual(named)
})

/** A change under a key, that another node may be under way with. */
const shared = (commitment: Commitment) => ({ commitment, packs: 1, isShared: true })

test.each(kinds)('%s that two are under way with is paid for once, though one of them is refused', async (_, begin) => {
  const { commitment, make } = await begin()
  const refused = async () => {
    await commitments.around(campaign, shared(commitment), make)
    throw new Refusal('wrong_state', 'closed')
  }
  await expect(commitments.around(campaign, shared(commitment), refused)).rejects.toMatchObject({ code: 'wrong_state' })
  expect([await committed(), await unsettled()]).toEqual([commitment.amount, []])
})

test.each(kinds)('%s that was refused under a key is void, so that nobody makes it without money', async (_, begin) => {
  const { commitment, make } = await begin()
  const refused = () => Promise.reject(new Refusal('wrong_state', 'closed'))
  await expect(commitments.around(campaign, shared(commitment), refused)).rejects.toMatchObject({ code: 'wrong_state' })
  await expect(commitments.around(campaign, shared(commitment), make)).rejects.toMatchObject({ code: 'unavailable' })
  expect([await committed(), await unsettled()]).toEqual([0, []])
})

test('a repetition settles what its own change left, and nothing that others are under way with', async () => {
  const [mine, theirs] = [await restocking(30), await restocking(40)]
  const other = { ...theirs.commitment, roundId: mine.commitment.roundId }
  for (const commitment of [mine.commitment, other]) {
    await room.budgets.note(commitment, 1_800_000_000_000)
    await room.budgets.commit(commitment, MOST)
  }
  await mine.make()
  await commitments.finish(mine.commitment)
  expect((await unsettled()).map(({ request }) => request)).toEqual([other.request])
  expect(await committed()).toBe(70)
})
