/**
 * The tree card: which program a figure was measured with. The version, the commit, and whether the tree was that commit.
 *
 * A tree with changes that are not committed is dirty, new files included: nobody else has that program. Without git, or
 * outside of a repository, the commit is not known, and the result says so instead of leaving it out.
 */

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export interface TreeCard {
  readonly version: string
  /** 40 hexadecimal digits; null where it is not known. */
  readonly commit: string | null
  /** null where it is not known. */
  readonly dirty: boolean | null
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

function git(...args: readonly string[]): string | undefined {
  try {
    return execFileSync('git', ['-C', ROOT, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return undefined
  }
}

function readTree(): TreeCard {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  // Installed below another repository, the commit that git tells of is not ours.
  const commit = git('rev-parse', '--show-prefix') === '' ? (git('rev-parse', 'HEAD') ?? null) : null
  const changes = commit === null ? undefined : git('--no-optional-locks', 'status', '--porcelain')
  return { version, commit, dirty: changes === undefined ? null : changes !== '' }
}

let card: TreeCard | undefined

/** The card of this program's tree, as it was when it was first asked for: git takes longer than a small audit. */
export function treeCard(): TreeCard {
  card ??= readTree()
  return card
}

/** For a reader: the version and the commit. */
export function treeText({ version, commit, dirty }: TreeCard): string {
  if (commit === null) return `fairgrab ${version}, commit not known`
  return `fairgrab ${version}, commit ${commit.slice(0, 12)}${dirty === false ? '' : ', with changes that are not committed'}`
}
