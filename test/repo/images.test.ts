/**
 * The README's pictures: there, of pages that have an `alt` for who cannot see them, and together not more than 300 kB, which a clone
 * on a slow line pays for. `node test/browser/pictures.ts` takes them anew.
 */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { textOf } from './tree.ts'

const FOLDER = join(import.meta.dirname, '..', '..', 'docs', 'images')
const BYTES_MAX = 300_000

test('the pictures are small, and the README shows each with words for it', () => {
  const names = readdirSync(FOLDER)
  const sizes = names.map(name => statSync(join(FOLDER, name)).size)
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(BYTES_MAX)
  const readme = textOf('README.md')
  const shown = [...readme.matchAll(/!\[([^\]]{20,})\]\(docs\/images\/([\w.-]+)\)/g)].map(([, , name]) => name)
  const tags = [...readme.matchAll(/<img src="docs\/images\/([\w.-]+)"[^>]* alt="[^"]{20,}"/g)].map(([, name]) => name)
  expect([...shown, ...tags].sort()).toEqual(names.sort())
})
