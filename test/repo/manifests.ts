/**
 * Manifests of Kubernetes as tests read them: their kinds by name, what their selectors select, and what every node of the engine that
 * they start has to be: an environment that a start accepts, probes that everybody may ask, time to end by itself, and as many
 * workers as cores were asked for.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { onTestFinished } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { z } from 'zod'
import { STOP_MS } from '../../engine/base/limits.ts'
import { ConfigError, readConfig } from '../../engine/config.ts'
import { checkStart } from '../../engine/main/start-check.ts'
import { ROUTES } from '../../engine/server/routes/routes.ts'

/** Secrets that Redis keeps unless they are set. */
const OWN_SECRETS = ['voucher-secret', 'draw-secret']

/** The file with its lines for those secrets in force, as its head says; it is as it was where there are none. */
export const withOwnSecrets = (text: string): string =>
  OWN_SECRETS.reduce(
    (made, name) => made.replace(new RegExp(`# (- \\{ name: FAIRGRAB_\\w+_FILE, value: \\S+/${name} \\})`), '$1'),
    text.replace(/(create secret generic .*)([\s\S]*?\n# *)(--from-literal=voucher-secret.*)/, '$1 $3$2'),
  )

/** What stands for a value that is not in the file. */
export const REFERENCE = 'operator:not-in-the-file'

const Labels = z.record(z.string(), z.string())
const Variable = z.object({
  name: z.string(),
  value: z.string().optional(),
  valueFrom: z.object({}).loose().optional(),
})
const Probe = z.object({ httpGet: z.object({ path: z.string(), port: z.string() }).optional() }).loose()
const Container = z.object({
  image: z.string(),
  command: z.array(z.string()).optional(),
  env: z.array(Variable).optional(),
  ports: z.array(z.object({ name: z.string(), containerPort: z.number() })).optional(),
  startupProbe: Probe.optional(),
  livenessProbe: Probe.optional(),
  readinessProbe: Probe.optional(),
  lifecycle: z.object({ preStop: z.object({ exec: z.object({ command: z.array(z.string()) }) }) }).optional(),
  resources: z
    .object({ requests: z.object({ cpu: z.string() }).loose() })
    .loose()
    .optional(),
  securityContext: z.object({}).loose().optional(),
  volumeMounts: z
    .array(z.object({ name: z.string(), mountPath: z.string(), subPath: z.string().optional() }))
    .optional(),
})
const Pod = z.object({
  metadata: z.object({ labels: Labels }),
  spec: z.object({
    terminationGracePeriodSeconds: z.number().optional(),
    securityContext: z.object({ runAsUser: z.number(), runAsNonRoot: z.literal(true) }).loose(),
    containers: z.array(Container).length(1),
    volumes: z.array(z.object({ name: z.string() }).loose()).optional(),
  }),
})
const Kind = z.object({
  kind: z.string(),
  metadata: z.object({ name: z.string() }),
  spec: z
    .object({
      replicas: z.number().optional(),
      serviceName: z.string().optional(),
      clusterIP: z.string().optional(),
      publishNotReadyAddresses: z.boolean().optional(),
      maxUnavailable: z.number().optional(),
      selector: z.unknown().optional(),
      podSelector: z.object({ matchLabels: Labels }).optional(),
      template: Pod.optional(),
      volumeClaimTemplates: z.array(z.object({}).loose()).optional(),
    })
    .loose(),
})
export type Kinds = ReadonlyMap<string, z.infer<typeof Kind>['spec']>

export const kindsOf = (text: string): Kinds =>
  new Map(
    parseAllDocuments(text).map(document => {
      const { kind, metadata, spec } = Kind.parse(document.toJS())
      return [`${kind} ${metadata.name}`, spec]
    }),
  )

export const containerOf = (kinds: Kinds, name: string) => kinds.get(name)?.template?.spec.containers[0]

export const environmentOf = (kinds: Kinds, name: string): Readonly<Record<string, string>> =>
  Object.fromEntries((containerOf(kinds, name)?.env ?? []).map(({ name, value = REFERENCE }) => [name, value]))

/** Selectors that select nothing of the file. */
export function findLooseSelectors(kinds: Kinds): readonly string[] {
  const labels = [...kinds.values()].flatMap(({ template }) => (template ? [template.metadata.labels] : []))
  return [...kinds].flatMap(([name, { selector, podSelector }]) => {
    const wanted = [selector, podSelector].filter(each => each !== undefined)
    return wanted.flatMap(each => {
      const { matchLabels = each } = each as { matchLabels?: unknown }
      const pairs = Object.entries(Labels.parse(matchLabels))
      return labels.some(of => pairs.every(([key, value]) => of[key] === value)) ? [] : [`${name} selects nothing`]
    })
  })
}

/** A folder with files as the secret has them. */
export function secrets(): string {
  const folder = mkdtempSync(join(tmpdir(), 'fg-secrets-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'keys'), `${REFERENCE}\n`)
  writeFileSync(join(folder, 'redis-url'), 'redis://:word@redis.example:6379\n')
  for (const name of OWN_SECRETS) writeFileSync(join(folder, name), `${'1'.repeat(64)}\n`)
  return folder
}

/** The environment of a node with a folder of the test in the place of its secrets. */
export function environmentHere(kinds: Kinds, name: string): Readonly<Record<string, string>> {
  const [folder, mounted] = [secrets(), containerOf(kinds, name)?.volumeMounts?.[0]?.mountPath ?? 'none']
  const env = Object.entries(environmentOf(kinds, name))
  return Object.fromEntries(env.map(([name, value]) => [name, value.replace(mounted, folder)]))
}

/** Why a start would refuse an environment. */
export function findRefused(env: Readonly<Record<string, string>>): readonly string[] {
  try {
    checkStart(readConfig(env))
    return []
  } catch (cause) {
    if (cause instanceof ConfigError) return [cause.message]
    throw cause
  }
}

/** What a node of the engine is not that it has to be wherever it runs. */
export function findUnfitNode(kinds: Kinds, name: string): readonly string[] {
  const engine = containerOf(kinds, name)
  const paths = [engine?.startupProbe, engine?.livenessProbe, engine?.readinessProbe].map(
    probe => probe?.httpGet?.path ?? 'none',
  )
  const isOpen = (path: string) => ROUTES.some(route => route.path === path && route.right === 'public')
  const waits = Number(engine?.lifecycle?.preStop.exec.command.at(-1))
  const grace = kinds.get(name)?.template?.spec.terminationGracePeriodSeconds ?? 0
  const env = environmentOf(kinds, name)
  const workers = env.FAIRGRAB_WORKERS
  const mount = engine?.volumeMounts?.[0]
  const files = Object.entries(env).filter(([name]) => name.endsWith('_FILE'))
  const security = { ...kinds.get(name)?.template?.spec.securityContext, ...engine?.securityContext }
  const cores = engine?.resources?.requests.cpu
  return [
    ...paths.filter(path => !isOpen(path)).map(path => `${path} is no route for everybody`),
    ...(grace * 1000 > waits * 1000 + STOP_MS ? [] : [`${grace} s are less than ${waits} s and a drain`]),
    ...(workers === cores ? [] : [`${workers} workers on ${cores} cores`]),
    ...(env.FAIRGRAB_KEYS_FILE === undefined ? ['keys are no file'] : []),
    ...files.filter(([, path]) => dirname(path) !== mount?.mountPath).map(([name]) => `${name} is not mounted`),
    ...(mount?.subPath === undefined ? [] : ['a changed key does not arrive']),
    ...(Object.values(env).includes(REFERENCE) ? ['a secret is a variable'] : []),
    ...(security.readOnlyRootFilesystem === true && security.allowPrivilegeEscalation === false
      ? []
      : ['it may more than it needs']),
    ...(env.FAIRGRAB_TRUSTED_PROXIES === undefined ? ['the ingress is who asks'] : []),
    ...(kinds.has('NetworkPolicy fairgrab') ? [] : ['everybody reaches the nodes']),
    ...(/\/.+:/.test(engine?.image ?? '') ? [] : ['the image is of whoever has its name']),
  ]
}
