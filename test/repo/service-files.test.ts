/**
 * The files of deploy/kubernetes and deploy/systemd: one node of the engine, or some, on a Redis of their own. Their settings are given
 * to the engine's own reader, with a folder of the test in the place of their secrets; a stop may take as long as the engine's does.
 *
 * What systemd itself says of the unit is asked where its program is: it needs no service manager for that. Another test starts the
 * unit's own command line (test/server/service.test.ts). `kubectl` says nothing of a manifest without a cluster.
 */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { expect, test } from 'vitest'
import { STOP_MS } from '../../engine/base/limits.ts'
import {
  environmentHere,
  environmentOf,
  findLooseSelectors,
  findRefused,
  findUnfitNode,
  kindsOf,
  secrets,
  withOwnSecrets,
} from './manifests.ts'
import { compareSides, ROOT, textOf } from './tree.ts'
import { readUnit } from './unit-file.ts'

const MANIFEST = 'deploy/kubernetes/fairgrab.yaml'
const UNIT = 'deploy/systemd/fairgrab.service'
const NODE = 'Deployment fairgrab'

function findWrongNode(text: string): readonly string[] {
  const kinds = kindsOf(text)
  const env = environmentOf(kinds, NODE)
  const files = Object.entries(env).filter(([name]) => name.endsWith('_FILE'))
  const made = /create secret generic (\S+) (.*)/.exec(text)?.[2] ?? ''
  const keys = [...made.matchAll(/--from-(?:file|literal)=([\w-]+)/g)].map(([, key]) => key as string)
  return [
    ...findRefused(environmentHere(kinds, NODE)),
    ...compareSides(
      files.map(([, path]) => basename(path)),
      keys,
      ['the settings', 'the secret'],
    ),
    ...(kinds.get('PodDisruptionBudget fairgrab')?.maxUnavailable === 1 ? [] : ['two nodes may be taken away at once']),
    ...findUnfitNode(kinds, NODE),
    ...findLooseSelectors(kinds),
  ]
}

test('the manifests have nodes that a start accepts, that may be probed, and that end by themselves', () => {
  expect(findWrongNode(textOf(MANIFEST))).toEqual([])
})

test('secrets of their own have a place in the manifests, and the line that makes them', () => {
  const text = withOwnSecrets(textOf(MANIFEST))
  expect(Object.keys(environmentOf(kindsOf(text), NODE))).toEqual(
    expect.arrayContaining(['FAIRGRAB_VOUCHER_SECRET_FILE', 'FAIRGRAB_DRAW_SECRET_FILE']),
  )
  expect(findWrongNode(text)).toEqual([])
})

test.each([
  ['FAIRGRAB_WORKERS, value: "2"', 'FAIRGRAB_WORKERS, value: "4"', '4 workers on 2 cores'],
  ['FAIRGRAB_WORKERS', 'FAIRGRAB_WORKER', 'did you mean FAIRGRAB_WORKERS?'],
  ['10.244.0.0/16', '10.244.0.0/64', 'neither an address nor a network'],
  ['terminationGracePeriodSeconds: 30', 'terminationGracePeriodSeconds: 15', '15 s are less than 5 s and a drain'],
  ['fairgrab/keys', 'elsewhere/keys', 'FAIRGRAB_KEYS_FILE is not mounted'],
  ['--from-file=keys', '--from-file=key', 'keys is missing in the secret'],
  ['registry.example/fairgrab:VERSION', 'fairgrab', 'the image is of whoever has its name'],
  ['FAIRGRAB_TRUSTED_PROXIES', 'FAIRGRAB_ORIGINS', 'the ingress is who asks'],
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
