/**
 * The source of a TypeScript file without its types, as Node itself strips them, kept under a name made of Node's version, its
 * path and its content: stripping is half of a process's CPU at its start. A cache that is old, was deleted or cannot be
 * written changes nothing. For the module hook (processes/stripped-types.mjs), which runs before there is anything that
 * strips, so this is JavaScript; and for the pages, whose browsers run some of the client's files as they are.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { fileURLToPath } from 'node:url'

const CACHE = fileURLToPath(new URL('../../../node_modules/.cache/stripped-types/', import.meta.url))

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

export function strippedSource(path) {
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
