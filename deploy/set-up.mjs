/**
 * The set-up step of `npm start`, `npm test` and `npm run bench`: installs what is missing, one plain line each.
 *
 * It looks for the npm packages that the engine runs on, and with any of the flags (`--dev` is no more than that) for those that
 * it is developed with, too (a stamp in node_modules holds the hash of the lock file they came from), for a
 * redis-server or valkey-server unless REDIS_URL names one, with `--test` for a Chromium, wrk, nginx, HAProxy, Caddy and openssl, and with
 * `--peers` for the benchmark's rivals. What is missing comes from the system's package manager; what cannot be installed ends in
 * exit 1 and the words to type.
 *
 * Plain JavaScript, synchronous and without packages: it runs before there are any, on any Node from 18 on, and
 * when nothing is missing it only reads two small files, because the first claim is served within a second.
 * `npm ci` was rejected: it refuses lock files made where the packages of other systems were not on offer.
 * On Debian the package would also start a service on port 6379; a policy file holds that back while it installs.
 */

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, constants, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const STAMP = join(ROOT, 'node_modules', '.fairgrab-setup')
const RUNS = ' without development'
const NODE = join(ROOT, 'node_modules', '.bin', 'node')
const POLICY = process.env.POLICY_RC_D ?? '/usr/sbin/policy-rc.d'

const REDIS = ['redis-server', 'valkey-server']
const PEERS = ['wrk', 'nginx', 'redis-benchmark']
const CHROMIUM = [
  'chromium',
  'chromium-browser',
  'google-chrome',
  'google-chrome-stable',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
]
const WRK = ['wrk']
const OPENSSL = ['openssl']
const PROXIES = ['nginx', 'haproxy', 'caddy']

/** What to type, by package manager; the first manager on PATH is the system's. */
const MANAGERS = [
  {
    name: 'apt-get',
    root: true,
    redis: 'apt-get update -q && apt-get install -y -q --no-install-recommends redis-server',
    chromium: 'apt-get update -q && apt-get install -y -q --no-install-recommends chromium',
    wrk: 'apt-get update -q && apt-get install -y -q --no-install-recommends wrk',
    openssl: 'apt-get update -q && apt-get install -y -q --no-install-recommends openssl',
    // With the modules of the comparison, which takes an nginx that is there for a whole one.
    proxies:
      'apt-get update -q && apt-get install -y -q --no-install-recommends nginx haproxy caddy libnginx-mod-http-lua lua-nginx-redis',
    peers:
      'apt-get update -q && apt-get install -y -q --no-install-recommends redis-server wrk nginx libnginx-mod-http-lua lua-nginx-redis',
  },
  {
    name: 'dnf',
    root: true,
    redis: 'dnf install -y valkey || dnf install -y redis',
    chromium: 'dnf install -y chromium',
    wrk: 'dnf install -y wrk',
    openssl: 'dnf install -y openssl',
    proxies: 'dnf install -y nginx haproxy caddy',
  },
  {
    name: 'apk',
    root: true,
    redis: 'apk add redis',
    chromium: 'apk add chromium',
    wrk: 'apk add wrk',
    openssl: 'apk add openssl',
    proxies: 'apk add nginx haproxy caddy',
  },
  {
    name: 'pacman',
    root: true,
    redis: 'pacman -Sy --noconfirm valkey',
    chromium: 'pacman -Sy --noconfirm chromium',
    openssl: 'pacman -Sy --noconfirm openssl',
    proxies: 'pacman -Sy --noconfirm nginx haproxy caddy',
  },
  {
    name: 'brew',
    root: false,
    redis: 'brew install redis',
    chromium: 'brew install --cask chromium',
    wrk: 'brew install wrk',
    openssl: 'brew install openssl',
    proxies: 'brew install nginx haproxy caddy',
  },
]

/**
 * Debian starts what it installs. While the command runs a policy file forbids that, and afterwards the service
 * that this installation enabled is disabled, so that it does not come up at the next boot either.
 */
const WITHOUT_SERVICE = `
  if [ -d "\${0%/*}" ] && [ ! -e "$0" ]; then
    trap 'rm -f "$0"' EXIT
    printf '#!/bin/sh\\nexit 101\\n' > "$0" && chmod 755 "$0"
  fi
  eval "$1" || exit 1
  if [ -d /run/systemd/system ]; then systemctl disable redis-server nginx haproxy caddy >/dev/null 2>&1 || true; fi
`

const say = line => console.log(`set-up: ${line}`)

function stop(lines) {
  for (const line of lines) console.error(`set-up: ${line}`)
  process.exit(1)
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

/** The first of these programs that is on PATH, or at its own path. */
function find(names) {
  const folders = (process.env.PATH ?? '').split(delimiter).filter(folder => folder !== '')
  for (const name of names) {
    if (name.startsWith('/') ? isExecutable(name) : folders.some(folder => isExecutable(join(folder, name))))
      return name
  }
  return undefined
}

function succeeds(program, args) {
  return spawnSync(program, args, { stdio: 'ignore', timeout: 5000 }).status === 0
}

function hashOfLock() {
  return createHash('sha256')
    .update(readFileSync(join(ROOT, 'package-lock.json')))
    .digest('hex')
}

/** The lock file that the packages came from, and behind it a word where those for development were left out. */
function stamped() {
  try {
    return readFileSync(STAMP, 'utf8')
  } catch {
    return ''
  }
}

function installPackages(all) {
  const [hash, stamp] = [hashOfLock(), stamped()]
  if (stamp === hash || (!all && stamp === hash + RUNS)) return
  // Whoever has those for development keeps them: npm takes away what it is told to leave out.
  const which = all || existsSync(join(ROOT, 'node_modules', 'vitest')) ? '--include=dev' : '--omit=dev'
  say(`npm packages are missing or older than package-lock.json: npm install ${which}`)
  const args = ['install', which, '--no-fund', '--no-audit', '--loglevel=error']
  const npm = process.env.npm_execpath
  const options = { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] }
  const result = npm?.endsWith('.js')
    ? spawnSync(process.execPath, [npm, ...args], options)
    : spawnSync('npm', args, options)
  if (result.status !== 0) {
    const why = result.error?.message ?? `exit ${result.status ?? result.signal}`
    stop([`npm install failed (${why}). Once its complaint is mended, type: npm install`])
  }
  if (!isExecutable(NODE)) {
    stop(['npm ran no install scripts, so its Node 22 is missing. Type: npm rebuild node --ignore-scripts=false'])
  }
  writeFileSync(STAMP, which === '--omit=dev' ? hash + RUNS : hash)
}

/** Installs `what` and says whether a program of `names` is there now; never asks for a password. */
function installed(what, names) {
  const manager = MANAGERS.find(({ name }) => find([name]))
  if (!manager?.[what]) return false
  const elevate = manager.root && process.getuid?.() !== 0
  if (elevate && !(find(['sudo']) && succeeds('sudo', ['-n', 'true']))) return false
  say(`${names[0]} is missing: ${manager[what]}`)
  const shell = ['env', 'DEBIAN_FRONTEND=noninteractive', 'sh', '-c', WITHOUT_SERVICE, POLICY, manager[what]]
  const [program, ...args] = elevate ? ['sudo', '-n', ...shell] : shell
  const result = spawnSync(program, args, { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' })
  const found = find(names)
  if (!found) {
    const said = `${result.stdout ?? ''}${result.stderr ?? ''}`.trim().split('\n').slice(-5)
    for (const line of said) say(`  ${line}`)
  }
  return found !== undefined
}

function typed(what) {
  const manager = MANAGERS.find(({ name }) => find([name]))
  if (!manager?.[what]) return `install ${what} so that it is on PATH`
  return manager.root ? `sudo sh -c '${manager[what]}'` : manager[what]
}

function installRedis(forTests) {
  if (process.env.REDIS_URL && !forTests) return
  if (find(REDIS) || installed('redis', REDIS)) return
  if (forTests && process.env.REDIS_URL) {
    say('no redis-server here: tests use REDIS_URL, and those that kill a server will fail')
  } else if (forTests && find(['docker']) && succeeds('docker', ['info'])) {
    say('no redis-server here: tests use containers, and those that kill a server will fail')
  } else {
    stop([
      'there is no redis-server or valkey-server, and it could not be installed. Type one of:',
      `  ${typed('redis')}`,
      '  REDIS_URL=redis://HOST:6379 npm start      (a server that runs already)',
    ])
  }
}

/** Ends with what to type when no program of `names` is there and none could be installed. */
function need(what, names, why) {
  if (find(names) || installed(what, names)) return
  stop([`${why} ${names[0]}, and it could not be installed. Type:`, `  ${typed(what)}`])
}

const forTests = process.argv.includes('--test')
installPackages(process.argv.length > 2)
installRedis(forTests)
if (forTests) {
  need('chromium', CHROMIUM, 'the browser tests need')
  need('wrk', WRK, 'the tests of the comparison need')
  need('openssl', OPENSSL, 'the tests of TLS need')
  for (const proxy of PROXIES) need('proxies', [proxy], 'the tests of proxies need')
}
// Only Debian has all of the rivals as packages; elsewhere the list is what to install by hand.
if (process.argv.includes('--peers')) for (const program of PEERS) need('peers', [program], 'the comparison needs')
