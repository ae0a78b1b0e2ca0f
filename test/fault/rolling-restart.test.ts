/**
 * Two nodes on one Redis are restarted in turns while people claim through a balancer: nothing is lost, and nobody waits
 * for longer than a claim may take.
 *
 * A restart is what an operator does: the balancer sends new connections elsewhere, the node gets SIGTERM, answers what is
 * under way, says goodbye to its sockets and exits with 0; then it is launched again and put back. People whose connection
 * ended ask again at the other node. In the end everybody asks once more, and the audit compares.
 */
import { expect, test } from 'vitest'
import { Balancer } from '../support/balancer.ts'
import { ANSWER_MS_MAX, openRound } from '../support/crowd.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { tell } from '../support/figures.ts'
import { startNodeProcess } from '../support/node-process.ts'
import { startLocalRedis } from '../support/redis.ts'
import { random } from '../support/seed.ts'
import { Witness } from '../support/witness/witness.ts'

const RESTARTS = effort(2, 60)
const STOCK = effort(10_000, 1_500_000)

test(
  'nodes that are restarted in turns under load lose nothing',
  async () => {
    const next = random(5)
    await using redis = await startLocalRedis({ appendfsync: 'always' })
    const settings = { REDIS_URL: redis.url, LOG_LEVEL: 'fatal' }
    await using first = await startNodeProcess(settings)
    await using second = await startNodeProcess(settings)
    const nodes = [first, second]
    await using balancer = await Balancer.open(nodes.map(({ url }) => url))
    const round = await openRound(balancer.url, STOCK)
    await using witness = await Witness.open({ nodes: [first.url, second.url], level: 'always', worst: 'nothing' })
    const many = { people: STOCK * 1.25, singles: 2000, streams: 4 }
    using crowd = witness.crowd({ url: balancer.url, roundId: round.id, ...many }, round, STOCK)
    const restart = async () => {
      for (let turn = 0; turn < RESTARTS; turn++) {
        await crowd.told(Math.floor((STOCK * (turn + next())) / (RESTARTS + 1)))
        const node = nodes[turn % nodes.length] as (typeof nodes)[number]
        balancer.takeOut(node.url)
        await witness.fault(async () => {
          expect(await node.terminate()).toBe(0)
          node.launch()
          await node.serves()
        })
        balancer.putBack(node.url)
      }
    }
    await Promise.all([crowd.ask(), restart()])
    await crowd.askAgain()
    expect(await crowd.audit()).toEqual({ faults: [], granted: STOCK, remaining: 0 })
    expect(crowd.granted).toBe(STOCK)
    expect(crowd.slowestMs).toBeLessThan(ANSWER_MS_MAX)
    expect(await witness.verdict()).toEqual([])
    tell({ restarts: RESTARTS, acknowledged: crowd.acknowledged, lost: 0, brokenOff: crowd.count('no_answer') })
  },
  PATIENCE_MS,
)
