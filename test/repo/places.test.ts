/**
 * Nothing in the repository points to a place outside of it: no folder of one machine, no neighbour of the clone.
 *
 * Every text file is read, pages and scripts as well. The words are put together from halves here, because this
 * file is one of those that it reads. A path that each Unix has (/usr, /etc, /tmp) is not a place of one machine.
 *
 * Rejected: a list of allowed absolute paths. Containers and systems have too many that are right.
 */

import { expect, test } from 'vitest'
import { lineOf, readTree, type SourceFile } from './tree.ts'

const PLACES = new RegExp(
  [
    '\\.\\./' + 'shared',
    '/' + 'work/',
    '/' + 'home/\\w',
    '/' + 'root/',
    '/' + 'Users/\\w',
    '[A-Z]:' + '\\\\\\\\?Users',
  ].join('|'),
)

function findPlaces(files: readonly SourceFile[]): readonly string[] {
  return files.flatMap(file => {
    const found = PLACES.exec(file.text)
    return found ? [`${file.path}:${lineOf(file, found.index)} points to ${found[0]}`] : []
  })
}

test('no file points to a place outside of the repository', () => {
  expect(findPlaces(readTree())).toEqual([])
})

test.each(['../' + 'shared/API.md', '/' + 'work/main', '/' + 'home/me/x', '/' + 'root/x', '/' + 'Users/me'])(
  'planted: %s',
  text => {
    expect(findPlaces([{ path: 'docs/a.md', text: `see ${text}` }])).toHaveLength(1)
  },
)

test('what each system has is allowed', () => {
  expect(findPlaces([{ path: 'deploy/a.sh', text: '/usr/bin/env /tmp/x /etc/redis ../engine/base' }])).toEqual([])
})
