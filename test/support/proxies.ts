/**
 * The proxies of deploy/proxy in front of an engine, as they ship and as systems start them: nginx, HAProxy and Caddy. Only addresses and
 * the places of files are changed, and a header is added that counts the configurations, by which a test sees who answered.
 *
 * A reload is what the service files of Debian do: a signal to nginx and HAProxy, a command to Caddy. It is over when new
 * connections of both families are served by the new configuration; what the old one had under way may go on.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { promisify } from 'node:util'
import { ROOT } from '../repo/tree.ts'
import { Certificates, servername } from './certificates.ts'
import { watch } from './engine.ts'
import { freePort } from './node-process.ts'

export const PROXIES = ['nginx', 'HAProxy', 'Caddy'] as const
export type ProxyName = (typeof PROXIES)[number]
export const FAMILIES = ['IPv4', 'IPv6'] as const
export type Family = (typeof FAMILIES)[number]
const HOSTS = { IPv4: '127.0.0.1', IPv6: '[::1]' } as const
export const GENERATION = 'x-generation'
const SERVES_WITHIN_MS = 20_000

/** An address of this machine by one of its families. */
export const addressOf = (family: Family, port: number | string, scheme = 'https'): string =>
  `${scheme}://${HOSTS[family]}:${port}`

/** Where a proxy finds what it needs. */
interface Places {
  readonly folder: string
  readonly certificates: Certificates
  /** The engine's host and port. */
  readonly engine: string
  readonly port: number
  /** Where it speaks without TLS. */
  readonly plain: number
}

interface Kind {
  readonly file: string
  readonly configure: (text: string, places: Places, generation: number) => string
  readonly start: (file: string, folder: string) => readonly string[]
  /** A signal, or a command. */
  readonly reload: NodeJS.Signals | ((file: string) => readonly string[])
}

const NGINX_TEMPORARY = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']

const KINDS: Readonly<Record<ProxyName, Kind>> = {
  nginx: {
    file: 'nginx.conf',
    configure: (text, { folder, certificates, engine, port, plain }, generation) =>
      text
        .replace('127.0.0.1:8080', engine)
        .replace('listen 80;', `listen ${HOSTS.IPv4}:${plain};`)
        .replace('listen [::]:80;', `listen ${HOSTS.IPv6}:${plain};`)
        .replace('listen 443 ', `listen ${HOSTS.IPv4}:${port} `)
        .replace('listen [::]:443 ', `add_header X-Generation ${generation} always; listen ${HOSTS.IPv6}:${port} `)
        .replaceAll('/etc/nginx/fairgrab', certificates.file('engine'))
        .replaceAll('/var/log/nginx', folder)
        .replace('http {', `http { ${NGINX_TEMPORARY.map(name => `${name}_temp_path ${folder}/${name};`).join(' ')}`),
    start: (file, folder) => [
      ...['nginx', '-p', folder, '-c', file, '-e', 'stderr'],
      ...['-g', `daemon off; pid ${folder}/pid;`],
    ],
    reload: 'SIGHUP',
  },
  HAProxy: {
    file: 'haproxy.cfg',
    configure: (text, { certificates, engine, port, plain }, generation) =>
      text
        .replace('127.0.0.1:8080', engine)
        .replace('bind :80\n', `bind ${HOSTS.IPv4}:${plain}\n`)
        .replace('bind :::80 ', `bind ${HOSTS.IPv6}:${plain} `)
        .replace('bind :443 ', `bind ${HOSTS.IPv4}:${port} `)
        .replace('bind :::443 ', `bind ${HOSTS.IPv6}:${port} `)
        .replaceAll('/etc/haproxy/fairgrab.pem', certificates.file('both.pem'))
        .replace('default_backend', `http-response set-header X-Generation ${generation}\n  default_backend`),
    start: file => ['haproxy', '-W', '-db', '-f', file],
    reload: 'SIGUSR2',
  },
  Caddy: {
    file: 'Caddyfile',
    configure: (text, { folder, certificates, engine, port, plain }, generation) =>
      text
        .replace('127.0.0.1:8080', engine)
        .replace(/^:80 /m, `:${plain} `)
        .replace(/^:443 \{/m, `:${port} {\n\theader X-Generation ${generation}`)
        .replaceAll('/etc/caddy/fairgrab', certificates.file('engine'))
        .replace(/^\{/m, `{\n\tadmin unix/${folder}/admin.sock`),
    start: file => ['caddy', 'run', '--config', file],
    reload: file => ['caddy', 'reload', '--force', '--config', file],
  },
}

/** A certificate of this machine that everybody in this process trusts until it is disposed of. */
export class Trusted implements Disposable {
  readonly certificates = new Certificates()
  readonly #before = getCACertificates('default')

  constructor() {
    const { certificates } = this
    certificates.authority('ours')
    certificates.certify('engine', 'ours')
    const [pem, key] = ['engine.pem', 'engine.key'].map(name => readFileSync(certificates.file(name), 'utf8'))
    writeFileSync(certificates.file('both.pem'), `${pem}${key}`)
    setDefaultCACertificates([...this.#before, readFileSync(certificates.file('ours.pem'), 'utf8')])
  }

  [Symbol.dispose](): void {
    setDefaultCACertificates(this.#before)
    this.certificates[Symbol.dispose]()
  }
}

export class FrontProxy {
  readonly name: ProxyName
  readonly #places: Places
  readonly #kind: Kind
  readonly #child: ChildProcess
  readonly #watcher: ChildProcess
  #generation = 1
  #words = ''

  private constructor(name: ProxyName, places: Places) {
    this.name = name
    this.#places = places
    this.#kind = KINDS[name]
    this.#configure()
    const [program = '', ...args] = this.#kind.start(this.#file, places.folder)
    this.#child = spawn(program, args, { env: this.#env, stdio: ['ignore', 'pipe', 'pipe'] })
    for (const output of [this.#child.stdout, this.#child.stderr])
      output?.on('data', chunk => {
        this.#words += chunk
      })
    this.#watcher = watch(this.#child.pid as number)
  }

  /** Resolves when it serves by both families. */
  static async start(name: ProxyName, engineUrl: string, { certificates }: Trusted): Promise<FrontProxy> {
    const folder = mkdtempSync(join(tmpdir(), `fg-${name}-`))
    // Started by root, nginx has workers that are somebody else and keep long bodies there.
    chmodSync(folder, 0o755)
    const [port, plain] = [await freePort(), await freePort()]
    const proxy = new FrontProxy(name, { folder, certificates, engine: new URL(engineUrl).host, port, plain })
    await proxy.#serves()
    return proxy
  }

  url(family: Family, scheme = 'https'): string {
    const { port, plain } = this.#places
    return addressOf(family, scheme === 'https' ? port : plain, scheme)
  }

  get #written(): string {
    const { folder } = this.#places
    const files = readdirSync(folder).filter(name => name.endsWith('.log'))
    return [this.#words, ...files.map(name => readFileSync(join(folder, name), 'utf8'))].join('\n')
  }

  /** Puts the next configuration into force. */
  async reload(): Promise<void> {
    this.#generation++
    this.#configure()
    const { reload } = this.#kind
    if (typeof reload === 'string') this.#child.kill(reload)
    else {
      const [program = '', ...args] = reload(this.#file)
      await promisify(execFile)(program, args, { env: this.#env })
    }
    await this.#serves()
  }

  /** Resolves with all that it wrote, to its terminal and into files, when it has ended. */
  async stop(): Promise<string> {
    if (this.#child.exitCode === null) {
      const ended = once(this.#child, 'close')
      this.#child.kill('SIGTERM')
      await ended
    }
    this.#watcher.kill('SIGKILL')
    const written = this.#written
    await rm(this.#places.folder, { recursive: true, force: true })
    return written
  }

  get #file(): string {
    return join(this.#places.folder, this.#kind.file)
  }

  /** Caddy keeps what it makes in these. */
  get #env(): NodeJS.ProcessEnv {
    const { folder } = this.#places
    return { PATH: process.env.PATH, HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder }
  }

  #configure(): void {
    const text = readFileSync(join(ROOT, 'deploy/proxy', this.#kind.file), 'utf8')
    writeFileSync(this.#file, this.#kind.configure(text, this.#places, this.#generation))
  }

  /** Resolves when new connections of both families have the configuration of now. */
  async #serves(): Promise<void> {
    const until = performance.now() + SERVES_WITHIN_MS
    for (const family of FAMILIES)
      while ((await generationOf(this.url(family))) !== String(this.#generation)) {
        if (this.#child.exitCode !== null || performance.now() > until)
          throw new Error(`${this.name} does not serve ${this.url(family)}: ${this.#written}`)
        await delay(10)
      }
  }
}

/** Who answers a new connection. */
async function generationOf(url: string): Promise<unknown> {
  const asked = request(`${url}/livez`, { agent: false, servername })
  asked.end()
  const answer = (await once(asked, 'response').catch(() => [])) as [IncomingMessage?]
  answer[0]?.resume()
  return answer[0]?.statusCode === 200 ? answer[0].headers[GENERATION] : undefined
}
