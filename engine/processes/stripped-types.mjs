/**
 * Starts without stripping the same types each time: a module hook that keeps what Node made of each TypeScript file, under
 * a name made of Node's version, its path and its content. Half of a process's CPU at its start was this. What runs is what
 * Node itself makes of the file as it stands now, so a cache that is old, was deleted or cannot be written changes nothing.
 *
 * The command line and every worker import it first, and processes of tests by NODE_OPTIONS (vitest.config.ts). Run as a
 * program it strips all of the engine, for an image whose folders cannot be written. It is JavaScript because it runs before
 * there is anything that strips. Node 22 keeps compiled code (module.enableCompileCache) but not stripped sources; Node 24
 * does, and then this file can go.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { enableCompileCache, registerHooks, stripTypeScriptTypes } from 'node:module'
import { fileURLToPath } from 'node:url'

const PROJECT = new URL('../../', import.meta.url).href
const CACHE = fileURLToPath(new URL('node_modules/.cache/stripped-types/', PROJECT))

// What V8 made of them, beside it.
enableCompileCache(fileURLToPath(new URL('node_modules/.cache/compiled/', PROJECT)))

/** Without the warning that the function is experimental. */
function stripQuietly(source, sourceUrl) {
  const warn = process.emitWarning
  process.emitWarning = () => {}
  try {
    return stripTypeScriptTypes(source, { sourceUrl })
  } finally {
    process.emitWarning = warn
  }
}

/** Several processes may do this at once: each its own file, and the last name wins. */
function keep(name, code) {
  try {
    mkdirSync(CACHE, { recursive: true })
    writeFileSync(`${name}.${process.pid}`, code)
    renameSync(`${name}.${process.pid}`, name)
  } catch {
    // A folder that cannot be written costs the next start what it cost this one.
  }
}

function stripped(path) {
  const source = readFileSync(path, 'utf8')
  const name = CACHE + createHash('sha1').update(process.version).update(path).update(source).digest('hex')
  try {
    return readFileSync(name, 'utf8')
  } catch {
    const code = stripQuietly(source, path)
    keep(name, code)
    return code
  }
}

registerHooks({
  load: (url, context, next) =>
    url.startsWith(PROJECT) && url.endsWith('.ts')
      ? { format: 'module', source: stripped(fileURLToPath(url)), shortCircuit: true }
      : next(url, context),
})

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const engine = new URL('engine/', PROJECT)
  const files = readdirSync(engine, { recursive: true }).filter(file => file.endsWith('.ts'))
  for (const file of files) stripped(fileURLToPath(new URL(file, engine)))
  console.log(`stripped the types of ${files.length} files`)
}
