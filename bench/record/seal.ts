/**
 * The seal of a result folder: summary.json names every other file with its SHA-256, and its own text with one that
 * stands in it. What was changed, lost or exchanged since it was written is named, file by file.
 *
 * A seal finds edits, not forgers: whoever writes the hashes anew has a folder that is whole again. Against him there is
 * the record, from which the audit and the figures are computed again (bench/audit-again.ts), and the seal itself where
 * it was quoted. Rejected: a signature. The key would lie on the machine of whoever makes the result.
 */

import { createHash } from 'node:crypto'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { markOf } from '../measure/kept-files.ts'
import { SCHEMA, type Summary } from '../measure/result.ts'
import { UsageError } from '../stage/options.ts'

export const SUMMARY = 'summary.json'

const textOf = (summary: Summary): string => `${JSON.stringify(summary, null, 2)}\n`
const sealOf = (summary: Summary): string =>
  createHash('sha256')
    .update(textOf({ ...summary, seal: '' }))
    .digest('hex')

/** The text of a summary.json with its seal. */
export function sealed(summary: Summary): { readonly text: string; readonly seal: string } {
  const seal = sealOf(summary)
  return { seal, text: textOf({ ...summary, seal }) }
}

export interface Opened {
  readonly folder: string
  readonly summary: Summary
  /** A sentence a file that is not as it was written; empty where nothing was changed. */
  readonly edits: readonly string[]
  /** A sentence a file that was put there since; nothing reads it. */
  readonly strays: readonly string[]
}

async function straysOf(folder: string, { files }: Summary): Promise<string[]> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true })
  const paths = found.filter(entry => !entry.isDirectory()).map(entry => join(entry.parentPath, entry.name))
  return paths
    .filter(path => relative(folder, path) !== SUMMARY && !Object.hasOwn(files, relative(folder, path)))
    .toSorted()
    .map(path => `${path} is no file of this result`)
}

/** What differs when the text is not the one that was sealed: what it says, or only how it is written. */
function summaryEdit(path: string, text: string, summary: Summary): string[] {
  const seal = sealOf(summary)
  if (seal !== summary.seal) return [`${path} was edited: its text has the seal ${seal}, it says ${summary.seal}`]
  return text === textOf(summary)
    ? []
    : [`${path} was edited: its bytes are not those that were sealed, though it says the same`]
}

async function editsOf(folder: string, { files }: Summary): Promise<string[]> {
  const edits: string[] = []
  for (const [name, { bytes, sha256 }] of Object.entries(files)) {
    const path = join(folder, name)
    const found = await stat(path).catch(() => undefined)
    if (found === undefined) edits.push(`${path} is missing`)
    else if (found.size !== bytes) edits.push(`${path} has ${found.size} bytes, written were ${bytes}`)
    else {
      const mark = await markOf(path)
      if (mark.sha256 !== sha256) edits.push(`${path} has the SHA-256 ${mark.sha256}, written was ${sha256}`)
    }
  }
  return edits
}

/** Reads a result and holds it against its seal. Throws UsageError for what is no sealed result at all. */
export async function openResult(folder: string): Promise<Opened> {
  const path = join(folder, SUMMARY)
  const text = await readFile(path, 'utf8').catch(() => {
    throw new UsageError(`${folder} has no ${SUMMARY}; give the folder of a result`)
  })
  let summary: Summary
  try {
    summary = JSON.parse(text) as Summary
  } catch (cause) {
    throw new UsageError(`${path} is not JSON: ${(cause as Error).message}`)
  }
  if (summary.schema !== SCHEMA)
    throw new UsageError(
      `${path} has schema ${summary.schema}, which was not sealed and cannot be checked; run the bench again (schema ${SCHEMA})`,
    )
  const edits = [...summaryEdit(path, text, summary), ...(await editsOf(folder, summary))]
  return { folder, summary, edits, strays: await straysOf(folder, summary) }
}
