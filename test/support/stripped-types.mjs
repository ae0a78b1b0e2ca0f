/**
 * Node processes that tests start, without stripping the same types a thousand times: a module hook, given to them by
 * NODE_OPTIONS (vitest.config.ts), that keeps what Node made of each TypeScript file under a name made of its content.
 *
 * A worker's start is 0.85 s of CPU, half of it this; the whole suite starts some hundreds of them. What runs is what
 * Node itself makes of the file as it stands now, so a cache that is old or was deleted changes nothing. Node 22 keeps
 * compiled code (module.enableCompileCache) but not stripped sources; Node 24 does, and then this file can go.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { registerHooks, stripTypeScriptTypes } from 'node:module'
import { fileURLToPath } from 'node:url'

const PROJECT = new URL('../../', import.meta.url).href
const CACHE = fileURLToPath(new URL('node_modules/.cache/stripped-types/', PROJECT))

/** Without the warning that the function is experimental, which no process but a test's would print. */
function stripQuietly(source, sourceUrl) {
  const warn = process.emitWarning
  process.emitWarning = () => {}
  try {
    return stripTypeScriptTypes(source, { sourceUrl })
  } finally {
    process.emitWarning = warn
  }
}

function stripped(path) {
  const source = readFileSync(path, 'utf8')
  const name = CACHE + createHash('sha1').update(process.version).update(path).update(source).digest('hex')
  try {
    return readFileSync(name, 'utf8')
  } catch {
    const code = stripQuietly(source, path)
    mkdirSync(CACHE, { recursive: true })
    // Several processes may do this at once: each its own file, and the last name wins.
    writeFileSync(`${name}.${process.pid}`, code)
    renameSync(`${name}.${process.pid}`, name)
    return code
  }
}

registerHooks({
  load: (url, context, next) =>
    url.startsWith(PROJECT) && url.endsWith('.ts')
      ? { format: 'module', source: stripped(fileURLToPath(url)), shortCircuit: true }
      : next(url, context),
})
