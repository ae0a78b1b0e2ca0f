/**
 * Starts without stripping the same types each time: a module hook over server/http/stripped-source.mjs, which keeps what Node made of
 * each TypeScript file. What runs is what Node itself makes of the file as it stands now.
 *
 * The command line and every worker import it first, and processes of tests by NODE_OPTIONS (vitest.config.ts). What starts the
 * command line names it by --import: otherwise Node itself strips what cli.ts imports, 0.1 s of CPU each time. Run as a
 * program it strips all of the engine, for an image whose folders cannot be written. It is JavaScript because it runs before
 * there is anything that strips. Node 22 keeps compiled code (module.enableCompileCache) but not stripped sources; Node 24
 * does, and then this file can go.
 */
import { readdirSync } from 'node:fs'
import { enableCompileCache, registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'
import { strippedSource } from '../server/http/stripped-source.mjs'

const PROJECT = new URL('../../', import.meta.url).href

// What V8 made of them, beside it.
enableCompileCache(fileURLToPath(new URL('node_modules/.cache/compiled/', PROJECT)))

registerHooks({
  // Where a file of ours leads by a path is plain; Node would look at every folder on the way and at the package's file.
  resolve: (specifier, context, next) =>
    specifier.startsWith('.') && specifier.endsWith('.ts') && context.parentURL?.startsWith(PROJECT)
      ? { url: new URL(specifier, context.parentURL).href, format: 'module', shortCircuit: true }
      : next(specifier, context),
  load: (url, context, next) =>
    url.startsWith(PROJECT) && url.endsWith('.ts')
      ? { format: 'module', source: strippedSource(fileURLToPath(url)), shortCircuit: true }
      : next(url, context),
})

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const engine = new URL('engine/', PROJECT)
  const files = readdirSync(engine, { recursive: true }).filter(file => file.endsWith('.ts'))
  for (const file of files) strippedSource(fileURLToPath(new URL(file, engine)))
  console.log(`stripped the types of ${files.length} files`)
}
