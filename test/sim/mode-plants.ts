/**
 * Bugs that are planted in strict and drawn rounds of simulated clusters, each with a world that shows it: who is served before
 * whom, who is in a list, and who wins. How plants go in, and what was rejected, stands in plants.ts.
 */
import { AllotStore } from '../../engine/store/data/allot-store.ts'
import { DrawStore } from '../../engine/store/data/draw-store.ts'
import type { Plant } from './plants.ts'
import { execute } from './redis/commands.ts'
import { instead } from './shards/shard-plants.ts'

/** How far a mark that lies is ahead of what its worker has sent, microseconds. */
const AHEAD_US = 20_000
const ENTRY_BYTES = 25

/** The claims of an entry call, each as somebody nobody has met. */
function asStrangers(claims: string, salt: number): string {
  let changed = ''
  for (let at = 0; at < claims.length; at += ENTRY_BYTES)
    changed += `${claims.slice(at, at + 7)}${String.fromCharCode(salt & 255)}${claims.slice(at + 8, at + ENTRY_BYTES)}`
  return changed
}

export const MODE_PLANTS: readonly Plant[] = [
  {
    name: 'own-mark',
    bug: 'a strict round decides up to the mark of whoever asks, and waits for no other worker',
    level: 'memory',
    seed: 4,
    faults: 8,
    modes: 'strict',
    plant: {
      execute: (call, name, words, keyCount) => {
        const order = words[3] ?? ''
        const others = name === 'allot' ? [...(call.hash(order)?.keys() ?? [])] : []
        const dropped = others.filter(field => field.startsWith('w:') && field !== `w:${words[7]}`)
        if (dropped.length > 0) call.write(['hdel', order, dropped])
        return execute(call, name, words, keyCount)
      },
    },
  },
  {
    name: 'mark-ahead',
    bug: 'a worker of a strict round says that nothing older will come, and older claims come',
    level: 'memory',
    seed: 4,
    faults: 8,
    modes: 'strict',
    plant: {
      engine: instead(
        AllotStore,
        'allot',
        method =>
          function (this: AllotStore, roundId, epoch, { worker, mark }, claims) {
            return method.call(this, roundId, epoch, { worker, mark: mark + AHEAD_US }, claims)
          },
      ),
    },
  },
  {
    name: 'entry-on-one',
    bug: 'an entry is acknowledged before the replicas have it',
    level: 'replicated',
    seed: 2,
    faults: 15,
    modes: 'drawn',
    plant: { waitsForNobody: true },
  },
  {
    name: 'entered-twice',
    bug: 'whoever asks again in another moment enters again',
    level: 'memory',
    seed: 7,
    faults: 15,
    modes: 'drawn',
    plant: {
      execute: (call, name, words, keyCount) => {
        if (name !== 'enter') return execute(call, name, words, keyCount)
        const claims = asStrangers(words.at(-1) ?? '', call.timeMs)
        return execute(call, name, [...words.slice(0, -1), claims], keyCount)
      },
    },
  },
  {
    name: 'other-winner',
    bug: 'the last winner of a batch gets the seat of the first',
    level: 'memory',
    seed: 1,
    faults: 8,
    modes: 'drawn',
    plant: {
      engine: instead(
        DrawStore,
        'grant',
        method =>
          function (this: DrawStore, roundId, epoch, winners) {
            return method.call(this, roundId, epoch, { ...winners, holders: winners.holders.toReversed() })
          },
      ),
    },
  },
  {
    name: 'last-left-out',
    bug: 'the list that a draw commits to lacks the last entry of its window',
    level: 'memory',
    seed: 7,
    faults: 15,
    modes: 'drawn',
    plant: {
      execute: (call, name, words, keyCount) => {
        const reply = execute(call, name, words, keyCount)
        if (name !== 'draw-take' || !Array.isArray(reply) || reply.length === 2) return reply
        return reply.map((each, i) => (i === 5 ? String(Number(each) - 1) : each))
      },
    },
  },
]
