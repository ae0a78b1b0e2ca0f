/**
 * Bugs that are planted in simulated clusters, each with a world that shows it: where a request goes, what a redirection means, whose
 * marks and checks those are. How plants go in, and what was rejected, stands in plants.ts.
 *
 * What the engine has no argument for is a method of one of its classes that is another one while a world plays.
 */
import { Shards } from '../../../engine/store/cluster/shards.ts'
import { RoundStore } from '../../../engine/store/data/round-store.ts'
import { ClusterHealth } from '../../../engine/store/server/cluster-health.ts'
import type { Plant } from '../plants.ts'
import { SimulatedClient } from '../redis/client.ts'

type Method = (...words: never[]) => unknown
type Methods<Class, Name extends keyof Class> = Class[Name] extends Method ? Class[Name] : never

/** Puts another method in a class's place; what is returned puts the old one back. */
export function instead<Class extends object, Name extends keyof Class & string>(
  { prototype }: { readonly prototype: Class },
  name: Name,
  made: (method: Methods<Class, Name>) => Methods<Class, Name>,
): () => () => void {
  return () => {
    const method = prototype[name]
    prototype[name] = made(method as Methods<Class, Name>)
    return () => {
      prototype[name] = method
    }
  }
}

/** A refusal with its first word changed. */
const reworded = (cause: Error, from: string, to: string): Error =>
  Object.assign(new Error(cause.message.replace(new RegExp(`^${from}\\b`), to)), { name: cause.name })

export const SHARD_PLANTS: readonly Plant[] = [
  {
    name: 'resent-as-first',
    bug: 'a request that is sent again over another line counts as sent for the first time',
    level: 'memory',
    seed: 10,
    faults: 25,
    plant: {
      often: ['network split'],
      engine: instead(
        Shards,
        'send',
        method =>
          function (this: Shards, request) {
            request.writtenTo = undefined
            method.call(this, request)
          },
      ),
    },
  },
  {
    name: 'ask-without-asking',
    bug: 'ASK is followed without the word ASKING',
    level: 'memory',
    seed: 20,
    faults: 25,
    plant: {
      often: ['slot moves'],
      engine: instead(
        SimulatedClient,
        'call',
        method =>
          function (this: SimulatedClient, name, ...words) {
            return name === 'ASKING' ? Promise.resolve('OK') : method.call(this, name, ...words)
          },
      ),
    },
  },
  {
    name: 'ask-believed',
    bug: 'ASK is taken for a slot that has moved',
    level: 'memory',
    seed: 6,
    faults: 25,
    plant: {
      often: ['slot moves'],
      engine: instead(
        Shards,
        'redirected',
        method =>
          function (this: Shards, line, request, cause, isFirst) {
            return method.call(this, line, request, reworded(cause, 'ASK', 'MOVED'), isFirst)
          },
      ),
    },
  },
  {
    name: 'wait-elsewhere',
    bug: 'the replicas of another shard are asked whether they have a grant',
    level: 'replicated',
    seed: 5,
    faults: 25,
    plant: { waitsForNobody: true },
  },
  {
    name: 'one-stops-all',
    bug: 'what is wrong with one shard stops the rounds of all',
    level: 'always',
    seed: 1,
    plant: {
      engine: instead(
        ClusterHealth,
        'check',
        method =>
          async function (this: ClusterHealth) {
            const found = await method.call(this)
            return { ...found, problems: [...found.problems, ...(found.damages ?? [])] }
          },
      ),
    },
  },
  {
    name: 'shard-not-stopped',
    bug: 'a shard whose server does not give the level goes on granting',
    level: 'always',
    seed: 1,
    faults: 45,
    plant: { often: ['setting broken'], engine: instead(ClusterHealth, 'isStopped', () => () => false) },
  },
  {
    name: 'unread-is-damaged',
    bug: 'a round that cannot be asked, since its shard is away, is called damaged',
    level: 'always',
    seed: 32,
    faults: 45,
    plant: {
      often: ['shard away'],
      engine: instead(
        RoundStore,
        'damage',
        method =>
          function (this: RoundStore, id) {
            return method.call(this, id).catch(() => ({ what: 'its state in Redis cannot be read', isMissing: false }))
          },
      ),
    },
  },
]
