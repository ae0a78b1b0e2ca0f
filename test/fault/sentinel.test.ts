/**
 * Fail-overs that real Sentinels decide: the node asks them where the primary is, believes nobody who is not one, and
 * goes on. Once the primary is killed; once it is frozen, thaws after its successor took over, and is still believed to be
 * a primary by itself until the Sentinels tell it otherwise.
 */
import { expect, onTestFinished, test } from 'vitest'
import { type Copy, follow, startCopy } from '../support/copies.ts'
import { openRound, RESTING } from '../support/crowd.ts'
import { effort, PATIENCE_MS } from '../support/effort.ts'
import { tell } from '../support/figures.ts'
import { launchNode } from '../support/node-process.ts'
import { Sentinels } from '../support/sentinel.ts'
import { Witness } from '../support/witness/witness.ts'

const FAIL_OVERS = effort(1, 20)
const PEOPLE = effort(300_000, 6_000_000)

async function copy(): Promise<Copy> {
  const started = await startCopy()
  onTestFinished(() => started[Symbol.asyncDispose]())
  return started
}

test(
  `${FAIL_OVERS} fail-overs by Sentinels, the primary killed or frozen`,
  async () => {
    let [primary, replica] = [await copy(), await copy()]
    await follow(replica, primary)
    const sentinels = await Sentinels.open(primary.port)
    onTestFinished(() => sentinels[Symbol.asyncDispose]())
    const level = { FAIRGRAB_DURABILITY: 'fenced', FAIRGRAB_REPLICAS: '1', LOG_LEVEL: 'error' }
    const node = await launchNode({ REDIS_URL: sentinels.url, ...level })
    onTestFinished(async () => void (await node.stop()))
    await node.serves()
    const round = await openRound(node.url, PEOPLE)
    await using witness = await Witness.open({ nodes: [node.url], level: 'fenced', worst: 'fail-over', dense: true })
    const few = { people: PEOPLE, singles: 100, streams: 1, window: 1, frame: 32, ...RESTING }
    using crowd = witness.crowd({ url: node.url, roundId: round.id, ...few }, round, PEOPLE)
    let slowest = 0
    const through = async () => {
      for (let i = 0; i < FAIL_OVERS; i++) {
        const [old, next] = [primary, replica]
        await crowd.told(crowd.granted + 500)
        const frozen = i % 2 === 1
        await witness.fault(async () => {
          await old.redis.kill(frozen ? 'SIGSTOP' : 'SIGKILL')
          await sentinels.moved(next.port)
          const from = performance.now()
          await (frozen ? old.redis.kill('SIGCONT') : old.redis.restart())
          await follow(old, next)
          ;[primary, replica] = [next, old]
          await crowd.told(crowd.granted + 1)
          slowest = Math.max(slowest, performance.now() - from)
        })
        await witness.calm()
      }
      await crowd.told(crowd.granted + 500)
      crowd.quit()
    }
    await Promise.all([crowd.ask(), through()])
    await crowd.askAgain()
    expect((await crowd.audit()).faults).toEqual([])
    expect(await witness.verdict()).toEqual([])
    expect(slowest).toBeLessThan(5000)
    tell({ sentinelFailOvers: FAIL_OVERS, acknowledged: crowd.acknowledged, lost: 0, slowestMs: Math.round(slowest) })
  },
  PATIENCE_MS,
)
