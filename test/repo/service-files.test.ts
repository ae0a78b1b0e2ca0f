/**
 * The files of deploy/kubernetes and deploy/systemd: one node of the engine, or some, on a Redis of their own. Their settings are given
 * to the engine's own reader, with a folder of the test in the place of their secrets; a stop may take as long as the engine's does.
 *
 * What systemd itself says of the unit is asked where its program is: it needs no service manager for that. Another test starts the
 * unit's own command line (test/server/service.test.ts). `kubectl` says nothing of a manifest without a cluster.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { STOP_MS } from '../../engine/base/limits.ts'
import {
  containerOf,
  environmentOf,
  findLooseSelectors,
  findRefused,
  findUnfitNode,
  kindsOf,
  REFERENCE,
} from './manifests.ts'
import { compareSides, ROOT, textOf } from './tree.ts'
import { readUnit } from './unit-file.ts'

const MANIFEST = 'deploy/kubernetes/fairgrab.yaml'
const UNIT = 'deploy/systemd/fairgrab.service'
const NODE = 'Deployment fairgrab'

/** Files as the secret has them. */
function secrets(): string {
  const folder = mkdtempSync(join(tmpdir(), 'fg-secrets-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'keys'), `${REFERENCE}\n`)
  writeFileSync(join(folder, 'redis-url'), 'redis://:word@redis.example:6379\n')
  return folder
}

function findWrongNode(text: string): readonly string[] {
  const kinds = kindsOf(text)
  const env = environmentOf(kinds, NODE)
  const engine = containerOf(kinds, NODE)
  const mount = engine?.volumeMounts?.[0]
  const files = Object.entries(env).filter(([name]) => name.endsWith('_FILE'))
  const folder = secrets()
  const there = Object.fromEntries(
    Object.entries(env).map(([name, value]) => [name, value.replace(mount?.mountPath ?? 'none', folder)]),
  )
  const made = /create secret generic (\S+) (.*)/.exec(text)?.[2] ?? ''
  const keys = [...made.matchAll(/--from-(?:file|literal)=([\w-]+)/g)].map(([, key]) => key as string)
  const { template } = kinds.get(NODE) ?? {}
  const security = { ...template?.spec.securityContext, ...engine?.securityContext }
  return [
    ...findRefused(there),
    ...compareSides(
      files.map(([, path]) => basename(path)),
      keys,
      ['the settings', 'the secret'],
    ),
    ...files.filter(([, path]) => dirname(path) !== mount?.mountPath).map(([name]) => `${name} is not mounted`),
    ...(mount?.subPath === undefined ? [] : ['a changed key does not arrive']),
    ...(Object.values(env).includes(REFERENCE) ? ['a secret is a variable'] : []),
    ...(security.readOnlyRootFilesystem === true && security.allowPrivilegeEscalation === false
      ? []
      : ['it may more than it needs']),
    ...(kinds.get('PodDisruptionBudget fairgrab')?.maxUnavailable === 1 ? [] : ['two nodes may be taken away at once']),
    ...(kinds.has('NetworkPolicy fairgrab') ? [] : ['everybody reaches the nodes']),
    ...findUnfitNode(kinds, NODE),
    ...findLooseSelectors(kinds),
  ]
}

test('the manifests have nodes that a start accepts, that may be probed, and that end by themselves', () => {
  expect(findWrongNode(textOf(MANIFEST))).toEqual([])
})

test.each([
  ['FAIRGRAB_WORKERS, value: "2"', 'FAIRGRAB_WORKERS, value: "4"', '4 workers on 2 cores'],
  ['FAIRGRAB_WORKERS', 'FAIRGRAB_WORKER', 'did you mean FAIRGRAB_WORKERS?'],
  ['10.244.0.0/16', '10.244.0.0/64', 'neither an address nor a network'],
  ['terminationGracePeriodSeconds: 30', 'terminationGracePeriodSeconds: 15', '15 s are less than 5 s and a drain'],
  ['fairgrab/keys', 'elsewhere/keys', 'FAIRGRAB_KEYS_FILE is not mounted'],
  ['--from-file=keys', '--from-file=key', 'keys is missing in the secret'],
  ['path: /livez', 'path: /v1/audit', '/v1/audit is no route for everybody'],
  ['readOnly: true', 'readOnly: true, subPath: keys', 'a changed key does not arrive'],
  ['readOnlyRootFilesystem: true', '', 'it may more than it needs'],
  ['selector: { app: fairgrab }', 'selector: { app: engine }', 'Service fairgrab selects nothing'],
])('planted in the manifests: %s becomes %s', (text, instead, finding) => {
  expect(findWrongNode(textOf(MANIFEST).replace(text, instead)).join()).toContain(finding)
})

function findWrongUnit(text: string): readonly string[] {
  const unit = readUnit(text)
  const folder = secrets()
  const env = Object.fromEntries(
    Object.entries(unit.environment).map(([name, value]) => [name, value.replace('/etc/fairgrab', folder)]),
  )
  const [stop = 0] = unit.all('TimeoutStopSec').map(Number)
  const state = `/var/lib/${unit.one('StateDirectory')}`
  return [
    ...findRefused(env),
    ...(stop * 1000 > STOP_MS ? [] : [`${stop} s are less than a drain`]),
    ...(unit.one('KillMode') === 'mixed' ? [] : ['workers and Redis are stopped beside their supervisor']),
    ...(unit.one('RestartPreventExitStatus') === '2' ? [] : ['a wrong setting is tried for ever']),
    ...(env.FAIRGRAB_DATA_DIR === state ? [] : [`${env.FAIRGRAB_DATA_DIR} may not be written`]),
    ...(unit.all('MemoryDenyWriteExecute').length === 0 ? [] : ['Node cannot make machine code']),
    ...(Number(unit.one('LimitNOFILE')) > 100_000 ? [] : ['few sockets']),
  ]
}

test('the unit has settings that a start accepts, and lets a node end by itself', () => {
  expect(findWrongUnit(textOf(UNIT))).toEqual([])
})

test.each([
  ['FAIRGRAB_KEYS_FILE', 'FAIRGRAB_KEY_FILES', 'did you mean'],
  ['TimeoutStopSec=60', 'TimeoutStopSec=10', '10 s are less than a drain'],
  ['KillMode=mixed', 'KillMode=control-group', 'workers and Redis are stopped'],
  ['StateDirectory=fairgrab', 'StateDirectory=engine', 'may not be written'],
])('planted in the unit: %s becomes %s', (text, instead, finding) => {
  expect(findWrongUnit(textOf(UNIT).replace(text, instead)).join()).toContain(finding)
})

/** What an attacker who has the engine would still have, by systemd's own count: 0 is nothing, 10 everything. */
const EXPOSURE_MAX = 2.5

test('systemd finds nothing wrong with the unit, and calls it well protected', () => {
  const folder = secrets()
  const file = join(folder, basename(UNIT))
  writeFileSync(file, textOf(UNIT).replaceAll('/opt/fairgrab', ROOT))
  const asked = (...args: readonly string[]) => spawnSync('systemd-analyze', args, { encoding: 'utf8' })
  const verified = asked('verify', '--recursive-errors=no', '--man=no', file)
  if (verified.error !== undefined) return expect(findWrongUnit(textOf(UNIT))).toEqual([])
  expect([verified.status, verified.stdout, verified.stderr]).toEqual([0, '', ''])
  const judged = asked('security', '--offline=yes', `--threshold=${EXPOSURE_MAX * 10}`, '--no-pager', file)
  expect(judged.status, judged.stdout + judged.stderr).toBe(0)
})
