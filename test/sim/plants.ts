/**
 * Bugs that are planted in simulated worlds: what makes "no violations" mean something.
 *
 * Each is a mistake that was made once in some system like this one, or nearly in this one: in the servers (answers
 * before the sync, WAIT that waits for nobody), in the scripts (no dedupe, one more than there is),
 * in the engine (a doubt called certain, a resend under a new key, a refusal too early, no lease) or in who is
 * promoted. All go in through arguments; the world, the people and the judge are the same as ever. Rejected: texts
 * to replace in the tree, which the mutants do, minutes each.
 */
import { Fault } from '../../engine/base/assert.ts'
import { CODES } from '../../engine/base/codes.ts'
import { HOLDER_BYTES_MAX, holdersIn, writeArrayHead, writeHolder } from '../../engine/base/holder.ts'
import { replicationMark, syncMark } from '../../engine/store/connection/keys.ts'
import { ClaimStore, type Decision } from '../../engine/store/data/claim-store.ts'
import type { ModeWord } from './modes.ts'
import type { Call } from './redis/call.ts'
import { execute, type Raw } from './redis/commands.ts'
import type { Level, WorldPlant } from './world.ts'

export interface Plant {
  readonly name: string
  readonly bug: string
  readonly level: Level
  /** A world that shows it: one that is played without a bug anyhow (simulation.test.ts), else a small one. */
  readonly seed: number
  /** So many faults of a large one are enough to show it. */
  readonly faults?: number
  /** How the rounds of its worlds give their packs away; first come where it is left out. */
  readonly modes?: ModeWord
  readonly plant: WorldPlant
}

type Execute = typeof execute

/** A server that changes one script's words before it runs, and its answer. */
const changed =
  (script: string, words: (words: readonly string[], call: Call) => readonly string[]): Execute =>
  (call, name, given, keyCount) =>
    execute(call, name, name === script ? words(given, call) : given, keyCount)

function packed(holders: readonly string[]): Buffer {
  const bytes = Buffer.alloc(3 + holders.length * (HOLDER_BYTES_MAX + 4))
  let at = writeArrayHead(bytes, 0, holders.length)
  for (const holder of holders) at = writeHolder(bytes, at, holder)
  return bytes.subarray(0, at)
}

/** Holder keys of the next slot. */
const renamed = (users: Buffer): Buffer =>
  packed(holdersIn(users).map(holder => (holder.includes('/') ? holder : `${holder}/2`)))

const isUnknown = (cause: unknown): boolean => cause instanceof Fault && cause.code === 'unknown'

/** Takes everything back that a batch granted, as a compensation after a time-out would. */
const compensated: Execute = (call, name, words, keyCount): Raw => {
  const reply = execute(call, name, words, keyCount)
  if (name !== 'claim' || (call.timeMs & 15) !== 0) return reply
  const [, holders = ''] = words
  const users = holdersIn(Buffer.from(words[5] ?? '', 'latin1'))
  call.write(['hdel', holders, users.slice(0, 1)])
  call.hset(words[0] ?? '', 'sequence', call.hash(holders)?.size ?? 0)
  return reply
}

/** A decision that tells the view of stock that there is a tenth less than there is. */
const shortened = (decision: Decision): Decision => {
  const pools = decision.notice.pools.map(pool => ({ ...pool, total: Math.floor(pool.total * 0.9) }))
  return { ...decision, notice: { ...decision.notice, pools } }
}

/** Claims are decided as if what is quarantined were not there at all. */
const withoutQuarantine: Execute = (call, name, words, keyCount): Raw => {
  const [state = ''] = words
  const fields = name === 'claim' ? call.hash(state) : undefined
  const held = [...(fields ?? [])].filter(([field, count]) => /^q\d/.test(field) && count !== '0')
  const move = (sign: number) => {
    for (const [field, count] of held) {
      const total = `t${field.slice(1)}`
      call.hset(state, field, sign > 0 ? count : 0, total, Number(call.hash(state)?.get(total)) + sign * Number(count))
    }
  }
  move(-1)
  const reply = execute(call, name, words, keyCount)
  move(1)
  return reply
}

/** A decision that tells the view of stock of one grant more. */
const ahead = (decision: Decision): Decision => {
  const pools = decision.notice.pools.map(pool => ({ ...pool, granted: Math.min(pool.total, pool.granted + 1) }))
  return { ...decision, notice: { ...decision.notice, pools } }
}

export const PLANTS: readonly Plant[] = [
  {
    name: 'tail-lost',
    bug: 'a replica is promoted that lacks writes',
    level: 'always',
    seed: 98_000_048,
    plant: { losesTail: true },
  },
  {
    name: 'early-answer',
    bug: 'Redis answers before it has synced',
    level: 'always',
    seed: 7,
    plant: { answersEarly: true },
  },
  {
    name: 'wait-for-nobody',
    bug: 'a grant is acknowledged before the replicas have it',
    level: 'replicated',
    seed: 2_000_660,
    plant: { waitsForNobody: true },
  },
  {
    name: 'no-mark',
    bug: 'nothing is written behind a batch, so that WAIT speaks for an older write',
    level: 'replicated',
    seed: 52,
    faults: 15,
    plant: {
      execute: (call, name, words, keyCount) =>
        name === 'set' && words[0] === replicationMark() ? 'OK' : execute(call, name, words, keyCount),
    },
  },
  {
    name: 'unsynced-read',
    bug: 'what a killed server had not synced is told by its next life',
    level: 'always',
    seed: 8,
    plant: {
      execute: (call, name, words, keyCount) =>
        name === 'set' && words[0] === syncMark() ? 'OK' : execute(call, name, words, keyCount),
    },
  },
  {
    name: 'no-dedupe',
    bug: 'a slot that holds already is granted again',
    level: 'always',
    seed: 98_000_048,
    plant: {
      execute: changed(
        'claim',
        ([state = '', holders = '', log = '', channel = '', epoch = '', users = '', pools = ''], call) => {
          const asked = holdersIn(Buffer.from(users, 'latin1'))
          const fresh = asked.map(holder =>
            call.hash(holders)?.has(holder) ? `${holder}.${call.timeMs % 1000}` : holder,
          )
          return [state, holders, log, channel, epoch, packed(fresh).toString('latin1'), pools]
        },
      ),
    },
  },
  {
    name: 'compensation',
    bug: 'a grant is taken back after it was made',
    level: 'always',
    seed: 98_000_048,
    plant: { execute: compensated },
  },
  {
    name: 'oversell',
    bug: 'one more is granted than there is',
    level: 'always',
    seed: 98_000_048,
    plant: {
      execute: (call, name, words, keyCount) => {
        if (name !== 'claim') return execute(call, name, words, keyCount)
        const [state = ''] = words
        const [total, granted] = ['t0', 'g0'].map(field => Number(call.hash(state)?.get(field)))
        const more = total === granted
        if (more) call.hset(state, 't0', (total ?? 0) + 1)
        const reply = execute(call, name, words, keyCount)
        if (more) call.hset(state, 't0', total ?? 0)
        return reply
      },
    },
  },
  {
    name: 'no-lease',
    bug: 'grants resume before every worker has heard of it',
    level: 'always',
    seed: 24,
    plant: { leaseMs: 0 },
  },
  {
    name: 'certain-doubt',
    bug: 'a claim that may have been executed is called certainly not executed',
    level: 'replicated',
    seed: 2_000_660,
    plant: {
      claim: (claim, ...asked) =>
        claim(...asked).catch((cause: unknown) => {
          throw isUnknown(cause) ? new Fault('unavailable', 'nothing was executed') : cause
        }),
    },
  },
  {
    name: 'late-copy',
    bug: 'a refusal is called certain though an earlier copy of the batch is still under way',
    level: 'memory',
    seed: 2,
    plant: {
      engine: () => {
        const { decide } = ClaimStore.prototype
        ClaimStore.prototype.decide = async function (...asked) {
          return { ...(await decide.apply(this, asked)), again: false }
        }
        return () => {
          ClaimStore.prototype.decide = decide
        }
      },
    },
  },
  {
    name: 'no-replid',
    bug: 'a script does not look whether its server was promoted',
    level: 'fenced',
    seed: 20,
    plant: {
      execute: (call, name, words, keyCount) => {
        const [state = ''] = words
        const moved = name === 'claim' && call.hash(state)?.get('replid') !== call.server
        if (moved && call.hash(state)?.has('replid')) call.hset(state, 'replid', call.server)
        return execute(call, name, words, keyCount)
      },
    },
  },
  {
    name: 'no-pending',
    bug: 'a recovery forgets what was noted to be granted',
    level: 'fenced',
    seed: 30,
    plant: {
      often: ['engine stands still', 'replica behind'],
      execute: (call, name, words, keyCount) => {
        const [state = ''] = words
        if (name === 'fence-bind') call.hset(state, 'pending', 0, 'reserve', 0)
        return execute(call, name, words, keyCount)
      },
    },
  },
  {
    name: 'quarantine-gone',
    bug: 'packs that are quarantined are taken for gone',
    level: 'fenced',
    seed: 97_000_010,
    plant: { patienceMs: 0, execute: withoutQuarantine },
  },
  {
    name: 'hasty-refusal',
    bug: 'what no replica has yet passes for copied: refusals, the journals of what is over',
    level: 'fenced',
    seed: 536,
    plant: { hasty: true },
  },
  {
    name: 'new-key',
    bug: 'a batch whose answer was lost is asked again under other keys',
    level: 'always',
    seed: 17,
    plant: {
      claim: (claim, roundId, epoch, holders, pools) =>
        claim(roundId, epoch, holders, pools).catch((cause: unknown) => {
          if (!isUnknown(cause)) throw cause
          return claim(roundId, epoch, renamed(holders), pools)
        }),
    },
  },
  {
    name: 'early-refusal',
    bug: 'sold_out is said while a tenth of the stock is left',
    level: 'always',
    seed: 98_000_048,
    plant: { claim: async (claim, ...asked) => shortened(await claim(...asked)) },
  },
  {
    name: 'short-counts',
    bug: 'a batch is called granted when the answer says sold out',
    level: 'always',
    seed: 98_000_048,
    plant: {
      claim: async (claim, ...asked) => {
        const decision = await claim(...asked)
        const outcomes = decision.outcomes.map(each => (each === CODES.sold_out.number ? CODES.granted.number : each))
        return { ...decision, outcomes }
      },
    },
  },
  {
    name: 'shown-ahead',
    bug: 'a round is shown with a grant that no server has',
    level: 'memory',
    seed: 1,
    plant: { claim: async (claim, ...asked) => ahead(await claim(...asked)) },
  },
  {
    name: 'sold-out-aside',
    bug: 'sold_out is told while packs of the pool are quarantined',
    level: 'fenced',
    seed: 20,
    plant: {
      execute: (call, name, words, keyCount) => {
        const reply = execute(call, name, words, keyCount)
        if (name !== 'claim' || !Array.isArray(reply) || reply[3] !== CODES.fenced.number) return reply
        return reply.with(3, CODES.sold_out.number) as Raw
      },
    },
  },
  {
    name: 'old-history',
    bug: 'a promoted copy goes on under the epoch of the history that was lost',
    level: 'replicated',
    seed: 49,
    plant: {
      execute: (call, name, words, keyCount) => {
        const [state = ''] = words
        if (name === 'round-history') call.hset(state, 'history', call.server)
        const [, channel = '', , , next = ''] = words
        const asked = name === 'round-history' ? [state, channel, '', '0', next] : words
        return execute(call, name, asked, keyCount)
      },
    },
  },
  {
    name: 'redeemed-twice',
    bug: 'a voucher that is redeemed is redeemed again',
    level: 'memory',
    seed: 22,
    plant: {
      execute: (call, name, words, keyCount) => {
        const [, , , vouchers = ''] = words
        const field = words[keyCount + 1]?.split(' ')[0] ?? ''
        const record = call.hash(vouchers)?.get(field)
        if (name === 'redeem' && record?.startsWith('redeemed'))
          call.hset(vouchers, field, record.replace(/^\w+/, 'active'))
        return execute(call, name, words, keyCount)
      },
    },
  },
  {
    name: 'request-forgotten',
    bug: 'a redemption is made again under the key that made it',
    level: 'memory',
    seed: 22,
    plant: {
      execute: (call, name, words, keyCount) => {
        const reply = execute(call, name, words, keyCount)
        if (name === 'redeem') call.write(['hdel', words[7] ?? '', [words[keyCount + 2] ?? '']])
        return reply
      },
    },
  },
  {
    name: 'no-lease-of-controls',
    bug: 'a redemption is decided on what operators had set long ago',
    level: 'memory',
    seed: 68,
    plant: {
      trusting: true,
      execute: changed('redeem', words =>
        words.map((word, i) => (i === 10 ? word.replace(/\d+ \d+$/, '0 9e15') : word)),
      ),
    },
  },
]
