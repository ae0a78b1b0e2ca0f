#!/usr/bin/env node
/**
 * The command `fairgrab` where the package is installed (npm pack, npm install -g). Node strips no types below node_modules, so the
 * hook that keeps stripped sources does it; it has to stand before the first TypeScript file is asked for. In a clone it is
 * `npm run fairgrab`, which says what to type where the clone was never set up.
 *
 * An older Node than the engine needs hands over to the one that the package brings (handed-over.mjs), over a channel that closes when
 * this process ends. Rejected: a build for the package; what
 * runs would be other files than those that were tested.
 */
import { spawn } from 'node:child_process'
import { existsSync, realpathSync } from 'node:fs'
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const NEEDED = [22, 18]
const ROOT = new URL('../../', import.meta.url)

/** npm packs no lock file, so that who has one is a clone. */
const isFresh = () => existsSync(new URL('package-lock.json', ROOT)) && !existsSync(new URL('node_modules/', ROOT))

function isNewEnough() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  return major > NEEDED[0] || (major === NEEDED[0] && minor >= NEEDED[1])
}

/** The Node that the package depends on; undefined where its installation was held back. */
function ownNode() {
  try {
    const node = join(dirname(createRequire(import.meta.url).resolve('node/package.json')), 'bin', 'node')
    return existsSync(node) ? node : undefined
  } catch {
    return undefined
  }
}

if (isFresh()) {
  console.error(
    'fairgrab: this clone is not set up; type npm start once, which installs the Node and the packages that it runs on',
  )
  process.exit(1)
}
if (isNewEnough()) {
  await import('./stripped-types.mjs')
  const command = fileURLToPath(new URL('../cli.ts', import.meta.url))
  process.argv[1] = realpathSync(command)
  await import(new URL('../cli.ts', import.meta.url).href)
} else {
  const node = ownNode()
  if (node === undefined) {
    console.error(`fairgrab: it needs Node ${NEEDED.join('.')} or later; this is ${process.version}`)
    process.exit(1)
  }
  const handedOver = fileURLToPath(new URL('handed-over.mjs', import.meta.url))
  const stdio = ['inherit', 'inherit', 'inherit', 'ipc']
  const child = spawn(node, [handedOver, ...process.argv.slice(2)], { stdio })
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.once('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]))
}
