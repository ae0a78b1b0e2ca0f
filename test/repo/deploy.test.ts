/**
 * What ships: the compose file, the Dockerfile and the list of what goes into the image.
 *
 * The machines that run this have no Docker engine, so nothing is built here. What can be known without one is held:
 * the compose file parses and gives Redis the settings that the engine insists on, each COPY has its source and
 * passes .dockerignore, each RUN is a shell program (by shellcheck too, where it is installed), the image runs as
 * another user than root and stops by SIGTERM. Whether the image builds is proven only where Docker is.
 */

import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { isSecret } from '../../engine/config.ts'
import { SETTINGS } from '../../engine/settings.ts'
import { compareSides, readTree, textOf } from './tree.ts'

interface Instruction {
  readonly name: string
  readonly rest: string
}

function readDockerfile(text: string): readonly Instruction[] {
  const lines = text
    .replace(/^#.*\n/gm, '')
    .replace(/\\\n\s*/g, ' ')
    .split('\n')
  return lines.flatMap(line => {
    const [, name, rest] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? []
    return name === undefined || rest === undefined ? [] : [{ name, rest }]
  })
}

/** What a COPY takes from the folder, as opposed to another stage. */
function listCopied(instructions: readonly Instruction[]): readonly string[] {
  return instructions
    .filter(({ name, rest }) => name === 'COPY' && !rest.startsWith('--from='))
    .flatMap(({ rest }) => rest.split(/\s+/).slice(0, -1))
}

function findWrongCopies(
  instructions: readonly Instruction[],
  paths: readonly string[],
  ignored: string,
): readonly string[] {
  const allowed = ignored.split('\n').flatMap(line => (line.startsWith('!') ? [line.slice(1)] : []))
  return listCopied(instructions)
    .filter(
      copied => !allowed.includes(copied) || !paths.some(path => path === copied || path.startsWith(`${copied}/`)),
    )
    .map(copied => `${copied} does not reach the image`)
}

function findWrongShell(instructions: readonly Instruction[]): readonly string[] {
  const checkers = [
    { program: 'sh', args: ['-n'] },
    { program: 'shellcheck', args: ['--shell=sh', '-'] },
  ]
  return instructions
    .filter(({ name }) => name === 'RUN')
    .flatMap(({ rest }) =>
      checkers.flatMap(({ program, args }) => {
        const result = spawnSync(program, args, { input: `${rest}\n`, encoding: 'utf8' })
        const absent = result.error !== undefined && program === 'shellcheck'
        return absent || result.status === 0 ? [] : [`${program}: ${rest}: ${result.stdout}${result.stderr}`]
      }),
    )
}

const dockerfile = (): readonly Instruction[] => readDockerfile(textOf('deploy/Dockerfile'))

test('each COPY of the Dockerfile has its source', () => {
  const paths = readTree().map(({ path }) => path)
  expect(listCopied(dockerfile())).toContain('engine')
  expect(findWrongCopies(dockerfile(), paths, textOf('.dockerignore'))).toEqual([])
})

test('each RUN of the Dockerfile is a shell program', () => {
  expect(findWrongShell(dockerfile())).toEqual([])
})

test('the image is not root, says whether it is ready, and stops by SIGTERM', () => {
  const last = (name: string): string | undefined =>
    dockerfile().findLast(instruction => instruction.name === name)?.rest
  expect(last('USER')).toBe('node')
  expect(last('STOPSIGNAL')).toBe('SIGTERM')
  expect(last('HEALTHCHECK')).toContain('/readyz')
  expect(last('ENTRYPOINT')).toContain('tini')
  expect(last('FROM')).toBe('node:22-bookworm-slim')
})

const Service = z.object({
  command: z.array(z.string()).optional(),
  environment: z.record(z.string(), z.string()).optional(),
  depends_on: z.record(z.string(), z.object({ condition: z.string() })).optional(),
  healthcheck: z.object({ test: z.array(z.string()) }).optional(),
  volumes: z.array(z.string()).optional(),
  ports: z.array(z.string()).optional(),
  restart: z.string(),
})
const Compose = z.object({
  services: z.object({ redis: Service, engine: Service }),
  volumes: z.record(z.string(), z.null()),
})

test('the compose file starts a Redis that loses nothing, and an engine that waits for it', () => {
  const { services, volumes } = Compose.parse(parse(textOf('docker-compose.yml')))
  const command = services.redis.command?.join(' ') ?? ''
  for (const setting of ['--appendonly yes', '--appendfsync always', '--maxmemory-policy noeviction']) {
    expect(command).toContain(setting)
  }
  expect(services.redis.volumes?.[0]?.split(':')[0]).toBe(Object.keys(volumes)[0])
  expect(services.redis.ports).toBeUndefined()
  expect(services.redis.healthcheck?.test.join(' ')).toContain('ping')
  expect(services.engine.depends_on?.redis?.condition).toBe('service_healthy')
  expect(services.engine.environment?.REDIS_URL).toBe('redis://redis:6379')
  expect(services.engine.environment?.FAIRGRAB_KEYS).toMatch(/^\$\{FAIRGRAB_KEYS\?.+\}$/)
  expect([services.redis.restart, services.engine.restart]).toEqual(['unless-stopped', 'unless-stopped'])
})

/** Folders of the container, which has one of its own for each, or none. */
const NOT_PASSED: readonly string[] = ['FAIRGRAB_DATA_DIR', 'FAIRGRAB_ARRIVALS']
/** What only a Redis of somebody else's needs. */
const OF_OTHERS: readonly string[] = ['FAIRGRAB_REDIS_CA', 'FAIRGRAB_REDIS_CERT', 'FAIRGRAB_REDIS_KEY']
const COMPOSED: readonly (readonly [file: string, fixed: readonly string[]])[] = [
  ['docker-compose.yml', ['HOST', 'PORT', 'REDIS_URL']],
  ['deploy/cluster/docker-compose.yml', ['HOST', 'PORT', 'FAIRGRAB_DURABILITY', 'FAIRGRAB_REPLICAS']],
]

/** What a compose file does not pass on of where it is started, or invents. */
function findUnpassed(text: string, fixed: readonly string[]): readonly string[] {
  const {
    environment = {},
    ports,
    volumes,
  } = z.object({ services: z.object({ engine: Service }) }).parse(parse(text, { merge: true })).services.engine
  const ownRedis = fixed.includes('REDIS_URL')
  const left = ownRedis ? [...NOT_PASSED, ...OF_OTHERS] : NOT_PASSED
  const passed = SETTINGS.map(({ name }) => name as string).filter(name => !left.includes(name))
  const files = passed.filter(name => isSecret(name) && !(name === 'REDIS_URL' && ownRedis)).map(name => `${name}_FILE`)
  const wanted = [...passed, ...files]
  return [
    ...compareSides(Object.keys(environment), wanted, ['the compose file', 'the settings']),
    ...wanted
      .filter(name => !fixed.includes(name) && !environment[name]?.match(`^\\$\\{${name}(:?-|\\?)`))
      .map(name => `${name}: the compose file needs the line ${name}: \${${name}:-}`),
    ...(ports?.every(port => /^\$\{ADDRESS:-127\.0\.0\.1\}:/.test(port)) ? [] : ['everybody reaches the engine']),
    ...(volumes?.some(volume => volume.endsWith('/secrets:/run/fairgrab:ro')) ? [] : ['no file reaches the engine']),
  ]
}

test.each(COMPOSED)('%s passes on every setting, and invents none', (file, fixed) => {
  expect(findUnpassed(textOf(file), fixed)).toEqual([])
})

test.each([
  ['FAIRGRAB_ORIGINS: $', 'FAIRGRAB_ORIGIN: $', 'FAIRGRAB_ORIGINS'],
  ['FAIRGRAB_JWKS: $', 'FAIRGRAB_JWKS: mine$', 'needs the line FAIRGRAB_JWKS: '],
  ['FAIRGRAB_KEYS_FILE: $', 'FAIRGRAB_KEY_FILES: $', 'FAIRGRAB_KEYS_FILE'],
  ['ADDRESS:-127.0.0.1', 'ADDRESS:-0.0.0.0', 'everybody reaches the engine'],
  ['/run/fairgrab:ro', '/run/other:ro', 'no file reaches the engine'],
])('planted in a compose file: %j becomes %j', (text, instead, finding) => {
  for (const [file, fixed] of COMPOSED)
    expect(findUnpassed(textOf(file).replace(text, instead), fixed).join()).toContain(finding)
})

test('planted: a COPY that is missing or ignored, and a RUN that is no program', () => {
  const planted = readDockerfile(
    '# x\nFROM a\nCOPY a b ./\nCOPY --from=x c c\nRUN true \\\n  && { echo "$x"\nRUN echo ok\n',
  )
  expect(listCopied(planted)).toEqual(['a', 'b'])
  expect(findWrongCopies(planted, ['a/x.ts', 'b'], '*\n!a\n!b\n')).toEqual([])
  expect(findWrongCopies(planted, ['a/x.ts', 'b'], '*\n!a\n')).toHaveLength(1)
  expect(findWrongCopies(planted, ['b'], '*\n!a\n!b\n')).toHaveLength(1)
  expect(findWrongShell(planted).length).toBeGreaterThan(0)
  expect(findWrongShell(planted.slice(-1))).toEqual([])
})
