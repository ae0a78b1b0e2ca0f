/**
 * The servers of `npm run matrix`: which there are, where Debian has them, and how one of a newer Debian runs here.
 *
 * A server of the wanted line that is on PATH is taken as it is. Else its packages come from a suite of Debian with lists and a
 * cache of their own, so that nothing is installed and no setting of the system is touched: `apt-get download`, `dpkg-deb -x`
 * into a folder of the cache, and small programs that start the server with the libraries, and the loader, of its own suite.
 * A line that a suite no longer has is looked for in the next one; what cannot be had is said with its reason.
 *
 * Rejected: packages by their version (Debian keeps the newest only), a build from source (minutes, and a compiler), images
 * (half of the tests kill, freeze and restart their servers themselves).
 */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'

const MIRROR = 'http://deb.debian.org/debian'
const SECURITY = 'http://deb.debian.org/debian-security'
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'
/** The one kind of machine whose packages were tried. */
const MACHINE = 'amd64'
const LIBRARIES = 'x86_64-linux-gnu'
const LOADER = 'ld-linux-x86-64.so.2'
/** How long apt-get may take, milliseconds. */
const DOWNLOAD_MS = 300_000

/** By name: what its sources.list has. */
const SUITES = {
  bookworm: [`${MIRROR} bookworm main`, `${SECURITY} bookworm-security main`],
  'bookworm-backports': [`${MIRROR} bookworm main`, `${MIRROR} bookworm-backports main`],
  trixie: [`${MIRROR} trixie main`, `${SECURITY} trixie-security main`],
  sid: [`${MIRROR} sid main`],
} as const satisfies Readonly<Record<string, readonly string[]>>
type Suite = keyof typeof SUITES

export interface Server {
  /** `valkey-8.0`: the program and its line. */
  readonly name: string
  readonly program: 'redis' | 'valkey'
  readonly line: string
  /** Where Debian has it, the best first. */
  readonly suites: readonly Suite[]
  /** Who has it. */
  readonly of: string
}

const server = (program: Server['program'], line: string, suites: readonly Suite[], of: string): Server => ({
  ...{ name: `${program}-${line}`, program, line },
  ...{ suites, of },
})

export const SERVERS: readonly Server[] = [
  server('redis', '7.0', ['bookworm'], 'Debian 12'),
  server('valkey', '8.0', ['bookworm-backports'], 'Debian 12, backports'),
  server('redis', '8.0', ['sid', 'trixie'], 'Debian 13 and unstable'),
  server('valkey', '8.1', ['trixie'], 'Debian 13'),
  server('valkey', '9.1', ['sid'], 'Debian unstable'),
]

export type Found =
  | { readonly version: string; readonly from: string /** A folder for PATH. */; readonly bin: string }
  | { readonly missing: string }

/** Of what a server says to `--version`: which program it is, and its version. */
export function readVersion(said: string): { readonly program: string; readonly version: string } | undefined {
  const [, program = '', version = ''] = /^(Redis|Valkey) server v=(\d+\.\d+\.\d+)/m.exec(said) ?? []
  return version === '' ? undefined : { program: program.toLowerCase(), version }
}

export const isOfLine = (version: string, line: string): boolean => version.startsWith(`${line}.`)

/** `5:8.0.6-3` is 8.0.6. */
export const upstreamOf = (debian: string): string => /^(?:\d+:)?(\d+\.\d+\.\d+)/.exec(debian)?.[1] ?? debian

/** The packages that a server needs, of all on which its own one depends: its libraries, and none of the system's tools. */
export const librariesOf = (depends: string): readonly string[] => [
  ...new Set(depends.split('\n').filter(name => /^(lib|zlib)[a-z0-9.+-]+$/.test(name))),
]

interface Ran {
  readonly ok: boolean
  readonly words: string
}

function run(program: string, args: readonly string[], options: Parameters<typeof spawnSync>[2] = {}): Ran {
  const ended = spawnSync(program, [...args], { timeout: DOWNLOAD_MS, ...options, encoding: 'utf8' })
  const words = `${ended.stdout ?? ''}${ended.status === 0 ? '' : (ended.stderr ?? '')}`.trim()
  return { ok: ended.status === 0, words: ended.error ? ended.error.message : words }
}

const lastLine = (words: string): string => words.split('\n').at(-1) ?? ''

/** The server on PATH, under its own name or as `redis-server`, when it is of the line. */
function onPath({ program, line }: Server): { readonly program: string; readonly version: string } | undefined {
  for (const name of new Set([`${program}-server`, 'redis-server'])) {
    const said = readVersion(run(name, ['--version']).words)
    if (said?.program === program && isOfLine(said.version, line)) return { program: name, version: said.version }
  }
  return undefined
}

/** Names under which programs of the server are looked for, and those that they are. Debian's server is its rdb check by name. */
const TOOLS = ['server', 'cli', 'check-aof', 'check-rdb', 'benchmark'] as const
const fileOf = (tool: string): string => (tool === 'server' ? 'check-rdb' : tool)

const librariesIn = (root: string): readonly string[] =>
  ['usr/lib', 'lib'].map(folder => `${root}/${folder}/${LIBRARIES}`)
const loadersIn = (root: string): string => join(root, 'loaders')

/**
 * What starts a program of an unpacked suite: the suite's own loader, by a link with the name of the program, because a process
 * is called as the file that it began with, and by that name programs find their server.
 */
export function startOf(root: string, program: string, tool: string): string {
  const name = `${program}-${tool}`
  const libraries = `--library-path '${librariesIn(root).join(':')}'`
  const file = `'${root}/usr/bin/${program}-${fileOf(tool)}'`
  return `#!/bin/sh\nexec '${loadersIn(root)}/${name}' --argv0 '${name}' ${libraries} ${file} "$@"\n`
}

function linkLoaders(root: string, program: string): void {
  const loader = librariesIn(root)
    .map(folder => join(folder, LOADER))
    .find(path => existsSync(path))
  if (loader === undefined) throw new Error(`${root} has no ${LOADER}`)
  rmSync(loadersIn(root), { recursive: true, force: true })
  mkdirSync(loadersIn(root))
  for (const tool of TOOLS) symlinkSync(loader, join(loadersIn(root), `${program}-${tool}`))
}

const isWritten = (path: string, text: string): boolean => existsSync(path) && readFileSync(path, 'utf8') === text

/** A folder of programs: each under the server's own name and, since that is looked for first, under Redis's. */
function writePrograms(bin: string, program: string, textOf: (tool: string) => string): void {
  mkdirSync(bin, { recursive: true })
  for (const tool of TOOLS)
    for (const name of new Set([program, 'redis'])) {
      writeFileSync(join(bin, `${name}-${tool}`), textOf(tool))
      chmodSync(join(bin, `${name}-${tool}`), 0o755)
    }
}

class Apt {
  readonly #folder: string
  readonly #env: NodeJS.ProcessEnv
  /** Why the suite cannot be asked; undefined when it can. */
  readonly failure: string | undefined

  constructor(cache: string, keyring: string, suite: Suite) {
    this.#folder = join(cache, 'apt', suite)
    this.#env = { ...process.env, LC_ALL: 'C', APT_CONFIG: join(this.#folder, 'apt.conf') }
    this.failure = this.#prepare(suite, keyring)
  }

  #prepare(suite: Suite, keyring: string): string | undefined {
    if (run('dpkg', ['--print-architecture']).words !== MACHINE) return `this is no Debian or Ubuntu on ${MACHINE}`
    if (!existsSync(keyring)) return `there is no ${keyring}: apt-get install debian-archive-keyring`
    for (const part of ['lists/partial', 'cache/archives/partial', 'none'])
      mkdirSync(join(this.#folder, part), { recursive: true })
    const at = (name: string) => `"${join(this.#folder, name)}"`
    writeFileSync(join(this.#folder, 'status'), '')
    writeFileSync(
      join(this.#folder, 'sources.list'),
      SUITES[suite].map(source => `deb [signed-by=${keyring}] ${source}\n`).join(''),
    )
    writeFileSync(
      join(this.#folder, 'apt.conf'),
      [
        `APT::Architecture "${MACHINE}"; APT::Architectures { "${MACHINE}"; }; APT::Sandbox::User "root";`,
        `Dir::State ${at('')}; Dir::State::lists ${at('lists')}; Dir::State::status ${at('status')};`,
        `Dir::Cache ${at('cache')}; Dir::Etc::sourcelist ${at('sources.list')}; Dir::Etc::sourceparts ${at('none')};`,
        `Dir::Etc::preferences ${at('none/x')}; Dir::Etc::preferencesparts ${at('none')}; Acquire::Languages "none";`,
      ].join('\n'),
    )
    const updated = this.#ask('apt-get', ['update', '-q', '-o', 'APT::Update::Error-Mode=any'])
    return updated.ok ? undefined : `apt-get update: ${lastLine(updated.words)}`
  }

  #ask(program: string, args: readonly string[], cwd = this.#folder): Ran {
    return run(program, args, { env: this.#env, cwd })
  }

  /** The version of a package that the suite has; empty where it has none. */
  candidate(name: string): string {
    const [, version = ''] = /^ {2}Candidate: (\S+)$/m.exec(this.#ask('apt-cache', ['policy', name]).words) ?? []
    return version === '(none)' ? '' : version
  }

  /** Unpacks a package and its libraries; says why when it cannot. */
  unpack(name: string, root: string): string | undefined {
    const kinds = ['recommends', 'suggests', 'conflicts', 'breaks', 'replaces', 'enhances'].map(kind => `--no-${kind}`)
    const depends = this.#ask('apt-cache', ['depends', '--recurse', ...kinds, name])
    const archives = `${root}.archives`
    mkdirSync(archives, { recursive: true })
    try {
      const got = this.#ask('apt-get', ['download', '-q', name, ...librariesOf(depends.words)], archives)
      if (!got.ok) return `apt-get download: ${lastLine(got.words)}`
      for (const archive of readdirSync(archives)) {
        const unpacked = run('dpkg-deb', ['-x', join(archives, archive), root])
        if (!unpacked.ok) return `dpkg-deb: ${lastLine(unpacked.words)}`
      }
      return undefined
    } finally {
      rmSync(archives, { recursive: true, force: true })
    }
  }
}

/** Finds servers, and keeps what it downloads in a folder. */
export class ServerShelf {
  readonly #cache: string
  /** Of Debian, by which what is downloaded is verified. */
  readonly #keyring: string
  readonly #apts = new Map<Suite, Apt>()

  constructor(cache: string, keyring = KEYRING) {
    this.#cache = cache
    this.#keyring = keyring
  }

  /** A server as `find` gives it, downloaded where it is not here. */
  find(wanted: Server): Found {
    const there = this.#onPath(wanted)
    if (there) return there
    const reasons: string[] = []
    for (const suite of wanted.suites) {
      const found = this.#fetch(wanted, suite)
      if ('bin' in found) return found
      reasons.push(`${suite}: ${found.missing}`)
    }
    return this.#kept(wanted) ?? { missing: reasons.join('; ') }
  }

  /** What is here of it; asks nobody. */
  look(wanted: Server): Found {
    const suites = wanted.suites.join(' or ')
    return this.#onPath(wanted) ?? this.#kept(wanted) ?? { missing: `would be fetched from Debian ${suites}` }
  }

  #onPath(wanted: Server): Found | undefined {
    const there = onPath(wanted)
    if (!there) return undefined
    const bin = join(this.#cache, 'path', wanted.name)
    const at = run('sh', ['-c', 'command -v "$0"', there.program]).words
    // Its other programs are on PATH as well.
    rmSync(bin, { recursive: true, force: true })
    mkdirSync(bin, { recursive: true })
    writeFileSync(join(bin, 'redis-server'), `#!/bin/sh\nexec '${at}' "$@"\n`)
    chmodSync(join(bin, 'redis-server'), 0o755)
    return { version: there.version, from: at, bin }
  }

  #fetch(wanted: Server, suite: Suite): Found {
    const apt = this.#apts.get(suite) ?? new Apt(this.#cache, this.#keyring, suite)
    this.#apts.set(suite, apt)
    if (apt.failure !== undefined) return { missing: apt.failure }
    const tools = `${wanted.program}-tools`
    const candidate = apt.candidate(tools)
    const version = upstreamOf(candidate)
    if (!isOfLine(version, wanted.line)) return { missing: `it has ${candidate || 'no'} ${tools}` }
    const root = join(this.#cache, `${wanted.name}@${candidate.replace(/^\d+:/, '')}`)
    if (!existsSync(root)) {
      const fresh = `${root}.new`
      rmSync(fresh, { recursive: true, force: true })
      const failure = apt.unpack(tools, fresh)
      if (failure !== undefined) return { missing: failure }
      renameSync(fresh, root)
    }
    return this.#tried(wanted, root, `Debian ${suite}`)
  }

  /** One of an earlier run, where no suite can be asked. */
  #kept(wanted: Server): Found | undefined {
    const names = existsSync(this.#cache) ? readdirSync(this.#cache) : []
    const kept = names.filter(name => name.startsWith(`${wanted.name}@`) && !/\.(new|archives)$/.test(name)).sort()
    const newest = kept.at(-1)
    return newest === undefined ? undefined : this.#tried(wanted, join(this.#cache, newest), 'an earlier download')
  }

  /** An unpacked server that starts and is what its package says. */
  #tried(wanted: Server, root: string, from: string): Found {
    const bin = join(root, 'start')
    // Not where it stands already: another run may be starting servers with it.
    if (!isWritten(join(bin, 'redis-benchmark'), startOf(root, wanted.program, 'benchmark'))) {
      linkLoaders(root, wanted.program)
      writePrograms(bin, wanted.program, tool => startOf(root, wanted.program, tool))
    }
    const started = run(join(bin, 'redis-server'), ['--version'])
    const said = readVersion(started.words)
    if (said?.program !== wanted.program || !isOfLine(said.version, wanted.line))
      return { missing: `the downloaded server does not start: ${lastLine(started.words)}` }
    return { version: said.version, from, bin }
  }
}
