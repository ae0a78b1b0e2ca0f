/**
 * The files of deploy/cluster: a Redis Cluster of three primaries with a replica each and the engine on it, for compose and for
 * Kubernetes. Nothing is started here; test/server/deployed-cluster.test.ts starts servers with the same files.
 *
 * Held is what a server has to be set to, that both say the same about servers, level and keys, that names lead to what they
 * name, that each variable is a setting of the engine, and that no key or password stands in a file.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { z } from 'zod'
import { clusterAddress } from '../../engine/store/connection/address.ts'
import {
  containerOf,
  environmentHere,
  environmentOf,
  findLooseSelectors,
  findRefused,
  findUnfitNode,
  kindsOf,
  REFERENCE,
  withOwnSecrets,
} from './manifests.ts'
import { ROOT, textOf } from './tree.ts'

const SERVERS = 6
const FOLDER = 'deploy/cluster'
const SCRIPTS = ['make.sh', 'start.sh']

/** What every server needs, primary or replica: what the engine refuses or warns of otherwise. */
const NEEDED: Readonly<Record<string, string>> = {
  appendonly: 'yes',
  appendfsync: 'always',
  'no-appendfsync-on-rewrite': 'no',
  save: '""',
  'maxmemory-policy': 'noeviction',
  'cluster-enabled': 'yes',
  'cluster-require-full-coverage': 'no',
  'cluster-allow-replica-migration': 'no',
}
const NODE_TIMEOUT_MS = { least: 1500, most: 5000 }

function findWrongSettings(conf: string): string[] {
  const lines = conf.split('\n').filter(line => line !== '' && !line.startsWith('#'))
  const settings = new Map(lines.map(line => [line.split(' ')[0], line.split(' ').slice(1).join(' ')]))
  const timeout = Number(settings.get('cluster-node-timeout'))
  return [
    ...Object.entries(NEEDED)
      .filter(([name, value]) => settings.get(name) !== value)
      .map(([name, value]) => `${name} is ${settings.get(name)}, not ${value}`),
    ...(timeout >= NODE_TIMEOUT_MS.least && timeout <= NODE_TIMEOUT_MS.most
      ? []
      : [`cluster-node-timeout is ${timeout}`]),
    ...(settings.has('dir') ? ['redis.conf says which folder, which is there on no other machine'] : []),
    ...lines.filter(line => /^(requirepass|masterauth|user) /.test(line)).map(() => 'a password stands in redis.conf'),
  ]
}

const Service = z.object({
  image: z.string().optional(),
  command: z.array(z.string()).optional(),
  environment: z.record(z.string(), z.string()).optional(),
  depends_on: z.record(z.string(), z.object({ condition: z.string() })).optional(),
  healthcheck: z.object({ test: z.array(z.string()) }).optional(),
  volumes: z.array(z.string()).optional(),
  networks: z.union([z.array(z.string()), z.record(z.string(), z.object({ ipv4_address: z.string() }))]).optional(),
  ports: z.array(z.string()).optional(),
  restart: z.string(),
})
const Compose = z.object({
  services: z.record(z.string(), Service),
  volumes: z.record(z.string(), z.null()),
  networks: z.record(z.string(), z.object({ ipam: z.object({ config: z.array(z.object({ subnet: z.string() })) }) })),
})

/** What is wrong with the environment of an engine that runs on these servers; `hosts` are their names. */
function findWrongEnvironment(env: Readonly<Record<string, string>>, hosts: readonly string[]): readonly string[] {
  const seeds = clusterAddress(env.REDIS_URL ?? '')?.seeds ?? []
  return [
    ...findRefused(env),
    ...seeds.filter(seed => !hosts.includes(seed.replace(/:6379$/, ''))).map(seed => `${seed} is no server`),
    ...(seeds.length >= 3 ? [] : ['REDIS_URL names fewer than three servers of a cluster']),
    ...(env.FAIRGRAB_DURABILITY === 'replicated' && env.FAIRGRAB_REPLICAS === '1'
      ? []
      : ['a promoted replica is not counted']),
  ]
}

/** As it is where nothing else is set. */
const withDefaults = (environment: Readonly<Record<string, string>>): Readonly<Record<string, string>> => ({
  ...Object.fromEntries(
    Object.entries(environment).map(([name, value]) => [name, value.replace(/^\$\{\w+:?-(.*)\}$/, '$1')]),
  ),
  FAIRGRAB_KEYS: REFERENCE,
})

function findWrongCompose(text: string): string[] {
  const { services, volumes, networks } = Compose.parse(parse(text, { merge: true }))
  const servers = Object.entries(services).filter(([name]) => /^redis-\d+$/.test(name))
  const names = servers.map(([name]) => name)
  const subnet = networks.cluster?.ipam.config[0]?.subnet.replace(/0\/24$/, '') ?? 'none'
  const addressOf = ({ networks: of }: z.infer<typeof Service>) =>
    Array.isArray(of) ? '' : (of?.cluster?.ipv4_address ?? '')
  const addresses = servers.map(([, service]) => addressOf(service))
  const asked = services['make-cluster']?.command?.slice(2) ?? []
  const { environment = {}, depends_on } = services.engine ?? {}
  return [
    ...(names.length === SERVERS ? [] : [`${names.length} servers`]),
    ...(new Set(addresses).size === names.length ? [] : ['two servers have one address']),
    ...addresses.filter(address => !address.startsWith(subnet)).map(address => `${address} is outside of the network`),
    ...servers.flatMap(([name, { volumes: of = [], ports, healthcheck, restart, command }]) => [
      ...(of.includes(`${name}:/data`) && name in volumes ? [] : [`${name} has no volume of its own`]),
      ...(of.includes('./redis.conf:/etc/redis/redis.conf:ro') ? [] : [`${name} has no redis.conf`]),
      ...(command?.join(' ') === 'redis-server /etc/redis/redis.conf --dir /data'
        ? []
        : [`${name} does not start by redis.conf`]),
      ...(ports === undefined ? [] : [`${name} is open to the outside`]),
      ...(healthcheck?.test.join(' ').includes('ping') && restart === 'unless-stopped'
        ? []
        : [`${name} is not looked after`]),
    ]),
    ...(asked.join() === names.map(name => `${name}:6379`).join() ? [] : [`make-cluster is asked for ${asked}`]),
    ...(depends_on?.['make-cluster']?.condition === 'service_completed_successfully'
      ? []
      : ['the engine does not wait']),
    ...(/^\$\{FAIRGRAB_KEYS\?.+\}$/.test(environment.FAIRGRAB_KEYS ?? '')
      ? []
      : ['a key stands in the file, or none is asked for']),
    ...findWrongEnvironment(withDefaults(environment), names),
  ]
}

function findWrongKinds(text: string): string[] {
  const kinds = kindsOf(text)
  const servers = kinds.get('StatefulSet redis')
  const hosts = Array.from({ length: servers?.replicas ?? 0 }, (_, place) => `redis-${place}.${servers?.serviceName}`)
  const start = containerOf(kinds, 'StatefulSet redis')
  const env = environmentHere(kinds, 'Deployment fairgrab')
  const bus = kinds.get('Service redis')
  return [
    ...(hosts.length === SERVERS ? [] : [`${hosts.length} servers`]),
    ...(start?.command?.slice(2).join() === hosts.join() ? [] : ['start.sh does not name the servers']),
    ...(start?.env?.some(({ name, value }) => name === 'POD_HOST' && value === `$(POD_NAME).${servers?.serviceName}`)
      ? []
      : ['a server does not announce its name']),
    ...(containerOf(kinds, 'Job redis-make-cluster')?.command?.slice(2).join() ===
    hosts.map(host => `${host}:6379`).join()
      ? []
      : ['make.sh does not name the servers']),
    ...(bus?.clusterIP === 'None' && bus.publishNotReadyAddresses === true
      ? []
      : ['servers do not find each other before they are ready']),
    ...(servers?.volumeClaimTemplates?.length === 1 ? [] : ['a server keeps nothing']),
    ...(kinds.get('PodDisruptionBudget redis')?.maxUnavailable === 1 ? [] : ['two servers may be taken away at once']),
    ...(kinds.has('NetworkPolicy redis') ? [] : ['everybody reaches the servers']),
    ...findUnfitNode(kinds, 'Deployment fairgrab'),
    ...findWrongEnvironment(env, hosts),
    ...findLooseSelectors(kinds),
  ]
}

const file = (name: string): string => textOf(`${FOLDER}/${name}`)

test('redis.conf sets what the engine asks of every server', () => {
  expect(findWrongSettings(file('redis.conf'))).toEqual([])
})

test('the compose file has six servers, a cluster that is made once, and an engine that waits for it', () => {
  expect(findWrongCompose(file('docker-compose.yml'))).toEqual([])
})

test('the manifests have six servers that find each other, and an engine that may be probed', () => {
  expect(findWrongKinds(file('kubernetes.yaml'))).toEqual([])
})

test('secrets of their own have a place in the manifests', () => {
  const text = withOwnSecrets(file('kubernetes.yaml'))
  expect(Object.keys(environmentOf(kindsOf(text), 'Deployment fairgrab'))).toEqual(
    expect.arrayContaining(['FAIRGRAB_VOUCHER_SECRET_FILE', 'FAIRGRAB_DRAW_SECRET_FILE']),
  )
  expect(findWrongKinds(text)).toEqual([])
})

/** kubectl is not everywhere; it renders without a cluster where it is. */
test('the kustomization brings all files to the pods', () => {
  const { resources, configMapGenerator } = z
    .object({
      resources: z.array(z.string()),
      configMapGenerator: z.array(z.object({ name: z.string(), files: z.array(z.string()) })),
    })
    .parse(parse(file('kustomization.yaml')))
  expect(resources).toEqual(['kubernetes.yaml'])
  expect(configMapGenerator).toEqual([{ name: 'redis', files: ['redis.conf', 'start.sh', 'make.sh'] }])
  for (const name of [...SCRIPTS, 'redis.conf'])
    expect(file('kubernetes.yaml') + file('start.sh')).toContain(`/etc/redis/${name}`)
  const { error, stdout, stderr } = spawnSync('kubectl', ['kustomize', join(ROOT, FOLDER)], { encoding: 'utf8' })
  if (error === undefined) expect([stderr, parseAllDocuments(stdout).length]).toEqual(['', 9])
})

test.each(SCRIPTS)('%s is a shell program', name => {
  for (const [program, ...args] of [
    ['sh', '-n', join(ROOT, FOLDER, name)],
    ['shellcheck', '--shell=sh', join(ROOT, FOLDER, name)],
  ] as const) {
    const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8' })
    if (error === undefined || program === 'sh') expect([status, stdout, stderr]).toEqual([0, '', ''])
  }
})

test.each([
  ['appendfsync always', 'appendfsync everysec', 'appendfsync is everysec, not always'],
  ['cluster-require-full-coverage no', '', 'cluster-require-full-coverage is undefined, not no'],
  ['cluster-node-timeout 2000', 'cluster-node-timeout 15000', 'cluster-node-timeout is 15000'],
  ['port 6379', 'port 6379\ndir /data', 'redis.conf says which folder, which is there on no other machine'],
  ['port 6379', 'port 6379\nrequirepass secret', 'a password stands in redis.conf'],
])('planted in redis.conf: %s becomes %s', (text, instead, finding) => {
  expect(findWrongSettings(file('redis.conf').replace(text, instead))).toEqual([finding])
})

test.each([
  ['ipv4_address: 172.31.99.12', 'ipv4_address: 172.31.99.11', 'two servers have one address'],
  ['ipv4_address: 172.31.99.12', 'ipv4_address: 172.31.98.12', '172.31.98.12 is outside of the network'],
  ['"redis-2:/data"', '"redis-1:/data"', 'redis-2 has no volume of its own'],
  ['"redis-5:6379", ', '', 'make-cluster is asked for '],
  ['redis-2:6379,redis-3', 'redis-2:6379,redis-9', 'redis-9:6379 is no server'],
  ['FAIRGRAB_REPLICAS: "1"', 'FAIRGRAB_REPLICA: "1"', 'did you mean FAIRGRAB_REPLICAS?'],
  ['FAIRGRAB_DURABILITY: replicated', 'FAIRGRAB_DURABILITY: always', 'a promoted replica is not counted'],
  ['service_completed_successfully', 'service_started', 'the engine does not wait'],
  ['${FAIRGRAB_KEYS?', 'operator:key # ', 'a key stands in the file, or none is asked for'],
])('planted in the compose file: %s becomes %s', (text, instead, finding) => {
  expect(findWrongCompose(file('docker-compose.yml').replace(text, instead)).join()).toContain(finding)
})

test.each([
  ['replicas: 6', 'replicas: 4', 'start.sh does not name the servers'],
  ['redis-5.redis,', 'redis-4.redis,', 'start.sh does not name the servers'],
  ['"redis-5.redis:6379"', '"redis-5:6379"', 'make.sh does not name the servers'],
  ['publishNotReadyAddresses: true', 'publishNotReadyAddresses: false', 'servers do not find each other'],
  ['value: "$(POD_NAME).redis"', 'value: "$(POD_IP)"', 'a server does not announce its name'],
  ['path: /readyz', 'path: /healthz', '/healthz is no route for everybody'],
  ['redis-2.redis:6379" }', 'redis-7.redis:6379" }', 'redis-7.redis:6379 is no server'],
  ['selector: { app: fairgrab }', 'selector: { app: fairgrabs }', 'Service fairgrab selects nothing'],
  [
    'FAIRGRAB_KEYS_FILE, value: /run/secrets/fairgrab/keys',
    'FAIRGRAB_KEYS, value: "operator:a-key-of-somebody"',
    'keys are no file',
  ],
  ['FAIRGRAB_TRUSTED_PROXIES', 'FAIRGRAB_ORIGINS', 'the ingress is who asks'],
  ['readOnlyRootFilesystem: true', '', 'it may more than it needs'],
  ['registry.example/fairgrab:VERSION', 'fairgrab', 'the image is of whoever has its name'],
  ['maxUnavailable: 1', 'maxUnavailable: 2', 'two servers may be taken away at once'],
])('planted in the manifests: %s becomes %s', (text, instead, finding) => {
  expect(findWrongKinds(file('kubernetes.yaml').replace(text, instead)).join()).toContain(finding)
})
