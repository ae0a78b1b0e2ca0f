/**
 * Builds the npm package fairgrab-client out of engine/client: `node deploy/client-package.mjs` prints the folder that it made.
 *
 *   node deploy/client-package.mjs      then: npm publish the folder that it prints
 *
 * The folder lies in node_modules, so that examples/ find the package by its name. It has one module to read and debug
 * (fairgrab.js), the same made small for a page without a bundler (fairgrab.min.js), beside each what it loads to check a receipt,
 * and the declarations. Rejected: a bundle in
 * the repository. It would be a second source.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const SOURCE = join(ROOT, 'engine/client')

/** What a browser of 2022 and Node 18 know. */
const TARGET = 'es2022'

/** The packages of development are not there after `npm start` alone. */
async function bundler() {
  try {
    return await import('rolldown')
  } catch (cause) {
    if (cause.code !== 'ERR_MODULE_NOT_FOUND') throw cause
    console.error('client-package: what it is built with is not installed. Type: npm install --include=dev')
    process.exit(1)
  }
}

function writeDeclarations(folder) {
  const options = ['--noEmit', 'false', '--declaration', '--emitDeclarationOnly', '--outDir', folder]
  execFileSync(join(ROOT, 'node_modules/.bin/tsc'), ['-p', SOURCE, ...options], { stdio: 'inherit' })
  // The compiler leaves the names of the sources in declarations.
  for (const name of readdirSync(folder, { recursive: true }).filter(name => name.endsWith('.d.ts'))) {
    const text = readFileSync(join(folder, name), 'utf8')
    writeFileSync(join(folder, name), text.replace(/(from '\.[^']+)\.ts'/g, "$1.js'"))
  }
}

/** Builds the package; gives its folder. */
export async function buildPackage(folder = join(ROOT, 'node_modules/fairgrab-client')) {
  const { rolldown } = await bundler()
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const bundle = await rolldown({ input: join(SOURCE, 'fairgrab.ts'), transform: { target: TARGET } })
  await bundle.write({ dir: folder, entryFileNames: 'fairgrab.js', chunkFileNames: '[name].js' })
  await bundle.write({ dir: folder, entryFileNames: 'fairgrab.min.js', chunkFileNames: '[name].min.js', minify: true })
  await bundle.close()
  writeDeclarations(join(folder, 'types'))
  for (const name of ['package.json', 'README.md']) cpSync(join(SOURCE, 'package', name), join(folder, name))
  cpSync(join(ROOT, 'LICENSE'), join(folder, 'LICENSE'))
  return folder
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(await buildPackage())
