/**
 * Starts the engine itself as one more contender, with nothing but what an operator has: the command `up`, its
 * environment and the public API. It keeps its own embedded Redis at the level asked and its default number of
 * workers, so it is charged for its supervisor, its workers and its Redis like the others for theirs.
 *
 * The campaign is the bench's canonical one: a pack of five vouchers, one pack a user, first come first served. Each
 * grant is therefore answered with five vouchers, which no rival makes.
 * Rejected: importing the engine's parts (it would measure something nobody runs).
 */
import { startEngine } from '../stage/engine-process.ts'
import { Operator } from '../stage/operator.ts'
import type { StartPeer } from './target.ts'

const OPENED_AGO_MS = 60_000

export const fairgrab: StartPeer = async (room, { durability, stock }) => {
  const engine = await startEngine({ durability, workers: undefined })
  room.defer(() => engine.stop())
  if (engine.pid === undefined) throw new Error('the engine has no process of its own to measure')
  const operator = new Operator(engine.url, engine.key)
  const opensAt = new Date(Date.now() - OPENED_AGO_MS)
  const { id } = await operator.createRound({ name: 'peers', stock, opensAt })
  return {
    url: `${engine.url}/v1/rounds/${id}/claims`,
    headers: { authorization: `Bearer ${engine.key}` },
    pids: [engine.pid],
    granted: async () => (await operator.round(id)).stock.granted,
  }
}
