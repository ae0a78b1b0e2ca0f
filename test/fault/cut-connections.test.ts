/**
 * The connection to Redis is cut at random bytes of requests and replies while people claim.
 *
 * A cut inside a request leaves half a command, which Redis must not execute; a cut inside a reply leaves a batch that
 * was executed and nobody heard of. The engine cannot tell one from the other and asks again with the same bytes. The
 * audit shows that this doubles nothing and loses nothing: everybody has one sequence, whatever he was told when.
 * Bytes and directions come from the seed; a request of a full batch has about 6 kB, a reply from 100 bytes to 4 kB.
 *
 * Rejected: cutting between messages. That is the one place where nothing can go wrong.
 */

import { expect, test } from 'vitest'
import { ANSWER_MS_MAX, openRound } from '../support/crowd.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { tell } from '../support/figures.ts'
import { startNodeProcess } from '../support/node-process.ts'
import { startLocalRedis } from '../support/redis.ts'
import { below, random } from '../support/seed.ts'
import { type Direction, TcpProxy } from '../support/tcp-proxy.ts'
import { Witness } from '../support/witness/witness.ts'

const CUTS = effort(120, 2000)
const STOCK = effort(30_000, 1_200_000)
const BYTES_MAX = { request: 8000, reply: 4000 } as const

test(
  `${CUTS} cuts at random bytes lose and double nothing`,
  async () => {
    const next = random(2)
    await using redis = await startLocalRedis()
    await using proxy = await TcpProxy.open({ path: redis.socketPath as string })
    await using node = await startNodeProcess({ REDIS_URL: proxy.url, LOG_LEVEL: 'error' })
    const round = await openRound(node.url, STOCK)
    // So many one by one that no connection is idle until the engine closes it: that would be a claim without an answer, too.
    const singles = Math.max(2000, STOCK / 10)
    await using witness = await Witness.open({ nodes: [node.url], level: 'always', worst: 'nothing' })
    const many = { people: STOCK * 1.25, singles, window: 2 }
    using crowd = witness.crowd({ url: node.url, roundId: round.id, ...many }, round, STOCK)
    const cuts = { request: 0, reply: 0, whileGranting: 0 }
    const cut = async () => {
      for (let i = 0; i < CUTS; i++) {
        const direction: Direction = next() < 0.5 ? 'request' : 'reply'
        await proxy.cutAfter(direction, below(next, BYTES_MAX[direction]))
        cuts[direction]++
        if (crowd.granted < STOCK) cuts.whileGranting++
      }
    }
    let cutting = true
    const ask = async () => {
      await crowd.ask()
      while (cutting) await crowd.askAgain()
    }
    await Promise.all([
      ask(),
      witness.fault(cut).finally(() => {
        cutting = false
      }),
    ])
    await crowd.askAgain()
    expect(await crowd.audit()).toEqual({ faults: [], granted: STOCK, remaining: 0 })
    expect(crowd.granted).toBe(STOCK)
    expect(Math.min(cuts.request, cuts.reply)).toBeGreaterThan(CUTS / 4)
    expect(crowd.count('no_answer')).toBe(0)
    expect(crowd.slowestMs).toBeLessThan(ANSWER_MS_MAX)
    expect(await witness.verdict()).toEqual([])
    tell({ cuts: CUTS, ofRequests: cuts.request, acknowledged: crowd.acknowledged, doubled: 0 })
  },
  PATIENCE_MS,
)
