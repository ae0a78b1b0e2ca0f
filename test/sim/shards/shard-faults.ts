/**
 * What goes wrong in a simulated cluster: one row a kind of fault, each with the shard that it concerns, a few steps in virtual time
 * that end healed. Promotions come by themselves some time after a primary was lost, as a cluster votes them; what a server hears
 * of them, and when, is the bus's affair (bus.ts).
 *
 * Shards that are not chosen for a day have no fault of their own, so whoever asks for their rounds has to be answered. Slots move
 * between all of them.
 */
import type { Cluster } from '../cluster.ts'
import { endAnEngine, type Family } from '../faults.ts'
import type { Server } from '../redis/server.ts'
import type { ShardWorld } from './shard-world.ts'

interface Fault {
  readonly name: string
  readonly weight: Readonly<Record<Family, number>>
  /** `shard`: the place of the one that it concerns. */
  readonly happens: (world: ShardWorld, shard: number) => Promise<void>
  /** It concerns no shard: nothing is excused by it. */
  readonly isCalm?: boolean
  /** No other fault may concern its shard meanwhile. */
  readonly isAlone?: boolean
}

type OldPrimary = 'ended' | 'lostPower' | 'frozen' | 'cutOff'
const ENDED: readonly OldPrimary[] = ['ended', 'lostPower']
const OLD_PRIMARIES: readonly OldPrimary[] = [...ENDED, 'frozen', 'cutOff']
/** From the loss of a primary to the vote, mostly. */
const ELECTION_MS = 60
/** So long a setting stays wrong before its price is paid: every node has checked the servers by then, also where another shard is away. */
const SETTING_MS = 16_000

/** Cuts a server off from all others and from some nodes; the returned function ends it. */
function cutOff({ network, shards, nodes, chance }: ShardWorld, server: Server): () => void {
  const others = shards.flatMap(({ servers }) => servers).filter(other => other !== server)
  const names = [...others, ...nodes.filter(() => chance.happens(0.5))].map(({ name }) => name)
  for (const name of names) network.block(server.name, name)
  return () => {
    for (const name of names) network.unblock(server.name, name)
  }
}

/** Takes a server out; the returned function brings it back. */
function takeOut(world: ShardWorld, server: Server, how: OldPrimary): () => void {
  const rejoin = how === 'cutOff' ? cutOff(world, server) : () => {}
  if (how === 'ended' || how === 'lostPower') server.end(how === 'lostPower')
  if (how === 'frozen') server.freeze()
  world.bus.spread()
  return () => {
    rejoin()
    server.thaw()
    server.start()
    world.bus.spread()
  }
}

/** The cluster makes a replica the primary, where there is one that may be. */
function elect({ bus, mover }: ShardWorld, cluster: Cluster, shard: number): void {
  const next = mover.isBusy(shard) ? undefined : cluster.candidate()
  if (!next) return
  cluster.promote(next)
  bus.promoted(shard, next)
}

/** The primary of a shard is lost, a replica is promoted, and the old one comes back. */
async function primaryLost(world: ShardWorld, shard: number): Promise<void> {
  const { chance, mover, passes } = world
  const cluster = world.shards[shard] as Cluster
  const old = cluster.primary
  if (mover.isBusy(shard)) return
  const how = chance.pick(world.isForgiving ? OLD_PRIMARIES : ENDED)
  const isMute = how === 'lostPower' || how === 'ended'
  if (isMute) cluster.counts[how === 'lostPower' ? 'powerLosses' : 'kills']++
  const back = takeOut(world, old, how)
  await passes(20 + chance.span(ELECTION_MS))
  if (cluster.primary === old) elect(world, cluster, shard)
  await passes(chance.span(90))
  back()
  await passes(chance.span(40))
}

/** An operator asks for another primary while all is well. */
async function handOver(world: ShardWorld, shard: number): Promise<void> {
  const cluster = world.shards[shard] as Cluster
  const old = cluster.primary
  elect(world, cluster, shard)
  if (!world.isForgiving && cluster.primary !== old) old.follow(cluster.primary)
  await world.passes(world.chance.span(30))
}

async function restart(world: ShardWorld, shard: number, power: boolean): Promise<void> {
  const { chance, mover, passes, bus } = world
  const cluster = world.shards[shard] as Cluster
  if (mover.isBusy(shard)) return
  const server = chance.pick(cluster.servers)
  cluster.counts[power ? 'powerLosses' : 'kills']++
  server.end(power)
  bus.spread()
  await passes(chance.span(80))
  server.start()
  bus.spread()
}

/** A shard is away with all its servers, mostly for a moment and now and then for long. */
async function shardAway(world: ShardWorld, shard: number): Promise<void> {
  const { chance, passes, family } = world
  const cluster = world.shards[shard] as Cluster
  if (world.mover.isBusy(shard)) return
  const hows: readonly OldPrimary[] =
    family === 'memory' ? ['frozen', 'cutOff'] : ['ended', 'lostPower', 'frozen', 'cutOff']
  const how = chance.pick(hows)
  const backs = cluster.servers.map(server => takeOut(world, server, how))
  await passes(chance.span(chance.pick([200, 1000, 6000])))
  for (const back of backs) back()
}

/** Somebody sets a server to sync once a second; long behind that it loses power. */
async function settingBroken(world: ShardWorld, shard: number): Promise<void> {
  const { passes, mover, chance, bus } = world
  // What a move brings to a server that does not sync is no engine's to keep.
  if ([...bus.migrations.values()].some(({ from, to }) => from === shard || to === shard)) return
  const { primary } = world.shards[shard] as Cluster
  primary.sync = 'everysec'
  await passes(SETTING_MS)
  while (mover.isBusy(shard)) await passes(5)
  primary.end(true)
  bus.spread()
  primary.sync = 'always'
  await passes(chance.span(80))
  primary.start()
  bus.spread()
}

const FAULTS: readonly Fault[] = [
  { name: 'primary lost', weight: { memory: 0, restarts: 8, failOvers: 24 }, happens: primaryLost },
  { name: 'hand-over', weight: { memory: 0, restarts: 10, failOvers: 30 }, happens: handOver },
  {
    name: 'slot moves',
    weight: { memory: 30, restarts: 26, failOvers: 44 },
    happens: async world => world.moveSlot(),
    isCalm: true,
  },
  {
    name: 'Redis killed',
    weight: { memory: 0, restarts: 5, failOvers: 3 },
    happens: (world, shard) => restart(world, shard, false),
  },
  {
    name: 'power lost',
    weight: { memory: 0, restarts: 5, failOvers: 3 },
    happens: (world, shard) => restart(world, shard, true),
  },
  { name: 'shard away', weight: { memory: 2, restarts: 1, failOvers: 1 }, happens: shardAway },
  {
    name: 'setting broken',
    weight: { memory: 0, restarts: 0.3, failOvers: 0.1 },
    happens: settingBroken,
    isAlone: true,
  },
  {
    name: 'connections cut',
    weight: { memory: 6, restarts: 4, failOvers: 4 },
    happens: async (world, shard) => {
      const { chance } = world
      const { servers } = world.shards[shard] as Cluster
      const [arrives, all] = [chance.happens(0.5), chance.happens(0.5)]
      for (const node of world.nodes)
        world.cuts += node.cut(
          arrives,
          server => server !== undefined && servers.includes(server) && (all || chance.happens(0.4)),
        )
    },
  },
  {
    name: 'Redis frozen',
    weight: { memory: 4, restarts: 2, failOvers: 2 },
    happens: async (world, shard) => {
      const server = world.chance.pick((world.shards[shard] as Cluster).servers)
      server.freeze()
      world.bus.spread()
      await world.passes(world.chance.span(world.chance.happens(0.2) ? 1500 : 150))
      server.thaw()
      world.bus.spread()
    },
  },
  {
    name: 'network split',
    weight: { memory: 4, restarts: 2, failOvers: 3 },
    happens: async (world, shard) => {
      const { chance, network, nodes, shards } = world
      const { primary } = shards[shard] as Cluster
      const others = shards.flatMap(({ servers }) => servers).filter(server => server !== primary)
      const names = [...nodes, ...others].map(({ name }) => name)
      const apart = names.filter(() => chance.happens(0.4))
      for (const name of apart) network.block(primary.name, name)
      world.bus.spread()
      await world.passes(chance.span(chance.happens(0.2) ? 1200 : 200))
      for (const name of apart) network.unblock(primary.name, name)
      world.bus.spread()
    },
  },
  {
    name: 'replica behind',
    weight: { memory: 0, restarts: 3, failOvers: 4 },
    happens: async (world, shard) => {
      const { others } = world.shards[shard] as Cluster
      if (others.length === 0) return
      const server = world.chance.pick(others)
      server.lagMs = world.chance.span(150)
      await world.passes(world.chance.span(200))
      server.lagMs = 0.3
    },
  },
  {
    name: 'slow disk',
    weight: { memory: 0, restarts: 3, failOvers: 2 },
    happens: async (world, shard) => {
      const server = world.chance.pick((world.shards[shard] as Cluster).servers)
      server.syncMs = world.chance.span(60)
      await world.passes(world.chance.span(200))
      server.syncMs = 0.3
    },
  },
  {
    name: 'old table',
    weight: { memory: 5, restarts: 4, failOvers: 4 },
    happens: async ({ chance, bus, shards }) => {
      const servers = shards.flatMap(({ servers }) => servers)
      for (const server of servers) if (chance.happens(0.4)) bus.deafen(server, chance.span(250))
    },
    isCalm: true,
  },
  {
    name: 'engine killed',
    weight: { memory: 3, restarts: 2, failOvers: 2 },
    happens: endAnEngine,
    isCalm: true,
  },
  {
    name: 'engine stands still',
    weight: { memory: 3, restarts: 1, failOvers: 1 },
    happens: async ({ chance, nodes, calm, passes }) => {
      const node = chance.pick(nodes)
      node.clock.standStill(chance.span(chance.happens(0.2) ? 1500 : 250))
      calm.node(node, node.clock.stillUntil)
      await passes(20)
    },
    isCalm: true,
  },
  {
    name: 'clock jumps',
    weight: { memory: 2, restarts: 1, failOvers: 1 },
    happens: async ({ chance, nodes }) => {
      chance.pick(nodes).clock.aheadMs += chance.between(-3_600_000, 3_600_000)
    },
    isCalm: true,
  },
  {
    name: 'clock of Redis jumps',
    weight: { memory: 1, restarts: 1, failOvers: 1 },
    happens: async (world, shard) => {
      const { chance } = world
      const most = chance.pick([1000, 10_000, 3_600_000])
      chance.pick((world.shards[shard] as Cluster).servers).aheadMs += chance.between(-most, most)
      for (const record of world.records) record.clockJumped = true
    },
    isCalm: true,
  },
]

/** How much more often than in other worlds the faults come that a planted bug needs. */
const OFTEN = 10

/** Draws one of the faults of a world's level; those named in `often` come more often. */
export function drawFault({ chance, family }: ShardWorld, often: readonly string[] = []): Fault {
  const weightOf = ({ name, weight }: Fault) => weight[family] * (often.includes(name) ? OFTEN : 1)
  const sum = FAULTS.reduce((total, fault) => total + weightOf(fault), 0)
  let left = chance.between(0, sum)
  for (const fault of FAULTS) {
    left -= weightOf(fault)
    if (left < 0) return fault
  }
  return FAULTS[0] as Fault
}
