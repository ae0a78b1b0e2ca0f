/**
 * What goes wrong in a simulated world: one row a kind of fault, each a few steps in virtual time that end healed.
 *
 * A fault may begin while another one lasts, so each looks at the world as it is. `weight` is how often it is drawn, by
 * the kind of level: `restarts` where acknowledged writes survive on the primary's disk, `failOvers` where they survive
 * on any replica that is counted, `memory` where they survive nothing. Fail-overs weigh most, since they are what the
 * promises are hardest to keep over.
 */
import type { World } from './world.ts'

export type Family = 'memory' | 'restarts' | 'failOvers'

/** An engine ends as kill -9 ends it, and another one takes its place; the same on one Redis and on a cluster. */
export async function endAnEngine(world: Pick<World, 'nodes' | 'passes' | 'chance' | 'replace'>): Promise<void> {
  const node = world.nodes.find(({ clock }) => clock.alive)
  if (!node) return
  node.end()
  await world.passes(world.chance.span(80))
  world.replace(node)
}

interface Fault {
  readonly name: string
  readonly weight: Readonly<Record<Family, number>>
  readonly happens: (world: World) => Promise<void>
}

type OldPrimary = 'ended' | 'lostPower' | 'frozen' | 'cutOff' | 'alive'
const ENDED: readonly OldPrimary[] = ['ended', 'lostPower']
const OLD_PRIMARIES: readonly OldPrimary[] = [...ENDED, 'frozen', 'cutOff', 'alive']

/** Takes the primary out, promotes another, and brings the old one back as a replica. */
async function failOver(world: World): Promise<void> {
  const { cluster, chance, network } = world
  const old = cluster.primary
  const how = chance.pick(world.isForgiving ? OLD_PRIMARIES : ENDED)
  const stale = how === 'alive' || (world.isForgiving && chance.happens(0.3)) ? world.leaveBehind(old) : () => {}
  if (how === 'ended' || how === 'lostPower') old.end(how === 'lostPower')
  if (how === 'frozen') old.freeze()
  if (how === 'cutOff') for (const other of cluster.others) network.block(old.name, other.name)
  if (chance.happens(0.5)) await world.passes(chance.span(60))
  const next = cluster.primary === old ? cluster.candidate() : undefined
  if (next) cluster.promote(next)
  if (!world.isForgiving && cluster.primary !== old) old.follow(cluster.primary)
  await world.passes(chance.span(120))
  for (const other of cluster.servers) if (other !== old) network.unblock(old.name, other.name)
  old.thaw()
  if (old.state === 'down') {
    old.start()
    await world.passes(chance.span(30))
  }
  stale()
  if (cluster.primary !== old && old.primary !== cluster.primary) old.follow(cluster.primary)
}

/** Promotes a replica while the primary is well: what an operator does before mending a machine. */
async function handOver(world: World): Promise<void> {
  const old = world.cluster.primary
  const next = world.cluster.candidate()
  if (!next) return
  world.cluster.promote(next)
  if (world.isForgiving && world.chance.happens(0.5)) await world.passes(world.chance.span(20))
  if (world.cluster.primary !== old) old.follow(world.cluster.primary)
}

async function restart(world: World, power: boolean): Promise<void> {
  const { cluster, chance } = world
  cluster.restart(chance.pick(cluster.servers), power, chance.span(80))
  await world.passes(chance.span(60))
}

const FAULTS: readonly Fault[] = [
  { name: 'fail-over', weight: { memory: 0, restarts: 6, failOvers: 30 }, happens: failOver },
  { name: 'hand-over', weight: { memory: 0, restarts: 4, failOvers: 14 }, happens: handOver },
  { name: 'Redis killed', weight: { memory: 0, restarts: 6, failOvers: 3 }, happens: world => restart(world, false) },
  { name: 'power lost', weight: { memory: 0, restarts: 6, failOvers: 3 }, happens: world => restart(world, true) },
  {
    name: 'connections cut',
    weight: { memory: 6, restarts: 4, failOvers: 4 },
    happens: async world => {
      const { chance } = world
      const [arrives, all] = [chance.happens(0.5), chance.happens(0.5)]
      for (const node of world.nodes) world.cuts += node.cut(arrives, () => all || chance.happens(0.4))
    },
  },
  {
    name: 'Redis frozen',
    weight: { memory: 4, restarts: 2, failOvers: 2 },
    happens: async world => {
      const server = world.chance.pick(world.cluster.servers)
      server.freeze()
      await world.passes(world.chance.span(world.chance.happens(0.2) ? 1500 : 150))
      server.thaw()
    },
  },
  {
    name: 'network split',
    weight: { memory: 4, restarts: 2, failOvers: 3 },
    happens: async world => {
      const { chance, network, cluster } = world
      const names = [...world.nodes.map(({ name }) => name), ...cluster.others.map(({ name }) => name)]
      const apart = names.filter(() => chance.happens(0.5))
      const { name } = cluster.primary
      for (const other of apart) network.block(name, other)
      await world.passes(chance.span(chance.happens(0.2) ? 1200 : 200))
      for (const other of apart) network.unblock(name, other)
    },
  },
  {
    name: 'replica behind',
    weight: { memory: 0, restarts: 4, failOvers: 4 },
    happens: async world => {
      const { cluster, chance } = world
      if (cluster.others.length === 0) return
      const server = chance.pick(cluster.others)
      server.lagMs = chance.span(150)
      await world.passes(chance.span(200))
      server.lagMs = 0.3
    },
  },
  {
    name: 'slow disk',
    weight: { memory: 0, restarts: 3, failOvers: 2 },
    happens: async world => {
      const server = world.chance.pick(world.cluster.servers)
      server.syncMs = world.chance.span(60)
      await world.passes(world.chance.span(200))
      server.syncMs = 0.3
    },
  },
  {
    name: 'engine killed',
    weight: { memory: 4, restarts: 2, failOvers: 2 },
    happens: endAnEngine,
  },
  {
    name: 'journal lost',
    weight: { memory: 0, restarts: 0, failOvers: 0.2 },
    happens: async world => {
      const node = world.nodes.find(({ clock }) => clock.alive)
      if (!node || !world.isFenced) return
      node.end()
      world.loseJournal(node)
      await world.passes(world.chance.span(80))
      world.replace(node)
    },
  },
  {
    name: 'engine stands still',
    weight: { memory: 3, restarts: 1, failOvers: 1 },
    happens: async world => {
      const node = world.chance.pick(world.nodes)
      node.clock.standStill(world.chance.span(world.chance.happens(0.2) ? 1500 : 250))
      await world.passes(20)
    },
  },
  {
    name: 'clock jumps',
    weight: { memory: 2, restarts: 1, failOvers: 1 },
    happens: async world => {
      const { chance } = world
      chance.pick(world.nodes).clock.aheadMs += chance.between(-3_600_000, 3_600_000)
    },
  },
  {
    name: 'clock of Redis jumps',
    weight: { memory: 1, restarts: 1, failOvers: 1 },
    happens: async world => {
      const { chance, cluster } = world
      const most = chance.pick([1000, 10_000, 3_600_000])
      chance.pick(cluster.servers).aheadMs += chance.between(-most, most)
      for (const record of world.records) record.clockJumped = true
    },
  },
]

/** How much more often than in other worlds the faults come that a planted bug needs. */
const OFTEN = 10

/** Draws one of the faults of a family; those named in `often` come more often. */
export function drawFault(world: World, family: Family, often: readonly string[] = []): Fault {
  const weightOf = ({ name, weight }: Fault) => weight[family] * (often.includes(name) ? OFTEN : 1)
  const sum = FAULTS.reduce((total, fault) => total + weightOf(fault), 0)
  let left = world.chance.between(0, sum)
  for (const fault of FAULTS) {
    left -= weightOf(fault)
    if (left < 0) return fault
  }
  return FAULTS[0] as Fault
}
