/**
 * kill -9 of the engine's own processes in the middle of a drain: a worker, the supervisor, all of them with Redis.
 *
 * One node with two workers and an embedded Redis lives through the whole list while people claim. A dead worker is
 * replaced by the supervisor; a dead supervisor takes its workers with it and leaves the embedded Redis behind, which
 * the next start on the same folder adopts and in the end stops; a node that died altogether comes back with what its Redis had promised.
 * People whose connection broke never learned their answer: they ask again, and the audit compares everything.
 *
 * Rejected: a node for each kind of death. Deaths that follow each other find what one of them left behind.
 */

import { existsSync } from 'node:fs'
import { expect, test } from 'vitest'
import { ANSWER_MS_MAX, openRound } from '../support/crowd.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { tell } from '../support/figures.ts'
import { type NodeProcess, startNodeProcess } from '../support/node-process.ts'
import { random } from '../support/seed.ts'
import { Witness } from '../support/witness/witness.ts'

const TURNS = effort(1, 50)
const STOCK = effort(24_000, 2_000_000)

const isAlive = (pid: number | undefined): boolean => pid !== undefined && existsSync(`/proc/${pid}`)

async function relaunch(node: NodeProcess): Promise<void> {
  node.launch()
  await node.serves()
}

const DEATHS: readonly ((node: NodeProcess) => Promise<void> | void)[] = [
  node => node.killWorker(),
  async node => {
    const left = node.redisPid
    await node.killAll()
    await relaunch(node)
    expect(node.redisPid).not.toBe(left)
  },
  node => node.killWorker(),
  async node => {
    const left = node.redisPid
    await node.killSupervisor()
    expect(isAlive(left)).toBe(true)
    await relaunch(node)
    expect(node.redisPid).toBe(left)
  },
]

test(
  'deaths of workers, supervisors and whole nodes under load lose and double nothing',
  async () => {
    const next = random(1)
    const deaths = Array.from({ length: TURNS }, () => DEATHS).flat()
    await using node = await startNodeProcess({ FAIRGRAB_WORKERS: '2' })
    const round = await openRound(node.url, STOCK)
    await using witness = await Witness.open({ nodes: [node.url], level: 'always', worst: 'end of Redis' })
    const many = { people: STOCK * 1.25, singles: 2000, streams: 4 }
    using crowd = witness.crowd({ url: node.url, roundId: round.id, ...many }, round, STOCK)
    const killAll = async () => {
      for (const [turn, death] of deaths.entries()) {
        await crowd.told(Math.floor((STOCK * (turn + next())) / (deaths.length + 1)))
        await witness.fault(() => death(node))
      }
    }
    await Promise.all([crowd.ask(), killAll()])
    expect(crowd.count('no_answer')).toBeGreaterThan(0)
    await crowd.askAgain()
    expect(await crowd.audit()).toEqual({ faults: [], granted: STOCK, remaining: 0 })
    expect(crowd.granted).toBe(STOCK)
    expect(crowd.slowestMs).toBeLessThan(ANSWER_MS_MAX)
    expect(await witness.verdict()).toEqual([])
    const adopted = node.redisPid
    expect(await node.stop()).toBe(0)
    // It is nobody's child any more: whoever inherits it may take a moment to bury it.
    await expect.poll(() => isAlive(adopted), { timeout: 60_000 }).toBe(false)
    tell({ workerKills: 2 * TURNS, nodeKills: 2 * TURNS, acknowledged: crowd.acknowledged, lost: 0 })
  },
  PATIENCE_MS,
)
