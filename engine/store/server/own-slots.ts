/**
 * What each primary of a cluster says of its own slots (the line `myself` of CLUSTER NODES): moves that were begun and not ended, slots
 * that nobody has though others still send for them, and replicas that never take over by themselves.
 *
 * A slot that moves is open for a moment, and the servers are not asked at one moment, so what was seen once may be a move that goes
 * on: what is reported was seen at two looks in a row. Rejected: CLUSTER INFO, which counts slots and does not say which.
 */
import type { Finding } from '../../base/finding.ts'
import { SLOTS } from '../cluster/slot-table.ts'

type Run = readonly [from: number, to: number]

/** A move that was begun and not ended, from one server to another. */
interface Move {
  readonly slot: number
  readonly from: string
  readonly to: string
}

/** Servers other than this one are named by their ids. */
export interface OwnSlots {
  readonly server: string
  readonly id: string
  readonly addresses: ReadonlyMap<string, string>
  readonly runs: readonly Run[]
  readonly moves: readonly Move[]
  /** Slots that this one believes others have. */
  readonly others: readonly { readonly id: string; readonly run: Run }[]
  /** Replicas of it that may take over by themselves, as far as it knows. */
  readonly promotable: number
}

/** `id ip:port@bus,hostname flags primary ping pong epoch link slots…` */
const [ID, ADDRESS, FLAGS, PRIMARY, SLOTS_FROM] = [0, 1, 2, 3, 8]
const OPEN = /^\[(\d+)-([<>])-(\w+)\]$/
const RUN = /^(\d+)(?:-(\d+))?$/
const NEVER_PROMOTED = /\b(nofailover|fail|noaddr)\b/

const runOf = (word: string): Run[] => {
  const [, from, to = from] = RUN.exec(word) ?? []
  return from === undefined ? [] : [[Number(from), Number(to)]]
}

/** Of what CLUSTER NODES replied to who asked `server`; undefined where it does not say which one it is. */
export function ownSlotsOf(server: string, nodes: string): OwnSlots | undefined {
  const lines = nodes.split('\n').map(line => line.split(' '))
  const own = lines.find(words => words[FLAGS]?.split(',').includes('myself'))
  if (!own) return undefined
  const id = own[ID] as string
  const runsIn = (words: readonly string[]) => words.slice(SLOTS_FROM).flatMap(runOf)
  const moves = own.flatMap((word): Move[] => {
    const [, slot, way, peer] = OPEN.exec(word) ?? []
    if (slot === undefined || peer === undefined) return []
    return [{ slot: Number(slot), ...(way === '>' ? { from: id, to: peer } : { from: peer, to: id }) }]
  })
  const others = lines.filter(words => words !== own)
  return {
    ...{ server, id, moves, runs: runsIn(own) },
    addresses: new Map(lines.map(words => [words[ID] as string, words[ADDRESS]?.replace(/@.*/, '') ?? ''])),
    others: others.flatMap(words => runsIn(words).map(run => ({ id: words[ID] as string, run }))),
    promotable: others.filter(words => words[PRIMARY] === id && !NEVER_PROMOTED.test(words[FLAGS] ?? '')).length,
  }
}

/** A slot that none of the servers has; the one that others still send for it, where there is one. */
interface Ownerless {
  readonly slot: number
  readonly server: string | undefined
}

/** What one look at all servers saw, by a text that is the same as long as it is so. */
export interface SlotLook {
  readonly moves: ReadonlyMap<string, Move>
  readonly ownerless: ReadonlyMap<string, Ownerless>
}

export const NOTHING_SEEN: SlotLook = { moves: new Map(), ownerless: new Map() }

function* slotsIn([from, to]: Run): Generator<number> {
  for (let slot = from; slot <= to; slot++) yield slot
}

/** Slots without an owner, but for those of servers that could not be asked. */
function ownerlessIn(views: readonly OwnSlots[], servers: ReadonlyMap<string, string>): Ownerless[] {
  const owned = new Uint8Array(SLOTS)
  for (const { runs } of views) for (const [from, to] of runs) owned.fill(1, from, to + 1)
  if (!owned.includes(0)) return []
  const named = new Map<number, string>()
  for (const { others } of views)
    for (const { id, run } of others) for (const slot of slotsIn(run)) if (owned[slot] === 0) named.set(slot, id)
  return [...slotsIn([0, SLOTS - 1])]
    .filter(slot => owned[slot] === 0)
    .flatMap(slot => {
      const id = named.get(slot)
      const server = id === undefined ? undefined : servers.get(id)
      return id !== undefined && server === undefined ? [] : [{ slot, server }]
    })
}

/** One look at servers; `all` says that no primary is missing among them. */
export function lookAt(views: readonly OwnSlots[], all: boolean): SlotLook {
  const servers = new Map(views.map(({ id, server }) => [id, server]))
  const nameOf = ({ addresses }: OwnSlots, id: string) => servers.get(id) ?? addresses.get(id) ?? `the server ${id}`
  const moves = views.flatMap(view =>
    view.moves.map(({ slot, from, to }): Move => ({ slot, from: nameOf(view, from), to: nameOf(view, to) })),
  )
  const ownerless = ownerlessIn(views, servers).filter(({ server }) => all || server !== undefined)
  return {
    moves: new Map(moves.map(move => [`${move.slot} ${move.from} ${move.to}`, move])),
    ownerless: new Map(ownerless.map(each => [String(each.slot), each])),
  }
}

const both = <T>(before: ReadonlyMap<string, T>, now: ReadonlyMap<string, T>): Map<string, T> =>
  new Map([...now].filter(([name]) => before.has(name)))

/** What was so at both looks. */
export const stillSo = (before: SlotLook, now: SlotLook): SlotLook => ({
  moves: both(before.moves, now.moves),
  ownerless: both(before.ownerless, now.ownerless),
})

/** So many slots a finding names. */
const NAMED_MAX = 5

function wordsOf(slots: readonly number[]): string {
  const named = slots.slice(0, NAMED_MAX).join(', ')
  const more = slots.length > NAMED_MAX ? ` and ${slots.length - NAMED_MAX} more` : ''
  return slots.length === 1 ? `slot ${named} is` : `slots ${named}${more} are`
}

/** The slots of those that are alike in this. */
function grouped<T extends { readonly slot: number }>(each: Iterable<T>, by: (one: T) => string | undefined) {
  const groups = new Map<string | undefined, T[]>()
  for (const one of each) groups.set(by(one), [...(groups.get(by(one)) ?? []), one])
  return [...groups.values()].map(group => {
    const slots = group.map(({ slot }) => slot)
    return { first: group[0] as T, slots, words: wordsOf(slots) }
  })
}

/** How redis-cli reaches one server, and mends what its cluster's slots lack. */
export interface SlotLines {
  readonly cliOf: (server: string) => string
  readonly fixOf: (server: string) => string
}

/** Moves that were begun and not ended, each by the server that gives. */
export const movesFound = ({ moves }: SlotLook, { fixOf }: SlotLines): Finding[] =>
  grouped(moves.values(), ({ from, to }) => `${from} ${to}`).map(({ first: { from, to }, words }) => ({
    what: `shard ${from}: ${words} half moved to ${to}: its keys lie on two servers, and claims of its rounds may get no answer`,
    mend: `where nobody is moving it now, end the move while all servers are there: ${fixOf(from)}; nothing is lost`,
  }))

/** Slots that nobody has. */
export const ownerlessFound = ({ ownerless }: SlotLook, known: string, { cliOf, fixOf }: SlotLines): Finding[] =>
  grouped(ownerless.values(), ({ server }) => server).map(({ first: { server }, slots, words }) => {
    const fix = `redis-cli asks before it gives them to who has their keys, while all servers are there: ${fixOf(server ?? known)}`
    if (server === undefined)
      return { what: `${words} without an owner: no server has it, and its rounds stand still`, mend: fix }
    const what = `shard ${server}: ${words} without an owner: the others send for it to this server, which has it no more, and its rounds stand still`
    return { what, mend: slots.length > NAMED_MAX ? fix : `${cliOf(server)} CLUSTER ADDSLOTS ${slots.join(' ')}` }
  })
