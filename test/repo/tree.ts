/**
 * The repository as a list of (path, text), and its programs as syntax trees: what every house rule reads.
 *
 * A rule is a function from such a list to sentences about what breaks it, so a test can hand it a planted file and
 * see it fail. The tree is read from the disk and not from git, because a fresh copy may have no git.
 *
 * Programs are parsed by the parser that vitest carries, which knows types. Scanning text for braces was rejected:
 * it is fooled by templates and regular expressions, and it cannot tell the word `any` from the type.
 */

import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { parseAst } from 'vitest/node'

export const ROOT = join(import.meta.dirname, '..', '..')

export interface SourceFile {
  readonly path: string
  readonly text: string
}

/** Folders that are no part of the repository, by their paths from the root. */
const SKIPPED = new Set(['node_modules', '.git', 'data', 'bench-results', 'coverage'])
const BINARY = /\.(png|jpe?g|gif|ico|woff2?|gz|rdb|aof|node)$/

function listFiles(folder: string): readonly string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap(entry => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return SKIPPED.has(relative(ROOT, path)) ? [] : listFiles(path)
    return entry.isFile() && !BINARY.test(entry.name) && !entry.name.endsWith('.log') ? [path] : []
  })
}

let files: readonly SourceFile[] | undefined

/** Every text file of the repository, read once. */
export function readTree(): readonly SourceFile[] {
  files ??= listFiles(ROOT).map(path => ({ path: relative(ROOT, path), text: readFileSync(path, 'utf8') }))
  return files
}

/** The text of a file; a missing one is an error, so a rule about it fails instead of holding by itself. */
export function textOf(path: string): string {
  const file = readTree().find(candidate => candidate.path === path)
  if (!file) throw new Error(`${path} does not exist, and a house rule is about it`)
  return file.text
}

const PROGRAM = /^(engine|bench|test|examples|\.ci|deploy)\/.*\.(ts|mts|js|mjs)$/

export function isProgram({ path }: SourceFile): boolean {
  return PROGRAM.test(path) || path === 'vitest.config.ts'
}

export function isLua({ path }: SourceFile): boolean {
  return path.startsWith('scripts/') && path.endsWith('.lua')
}

export interface SyntaxNode {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [field: string]: unknown
}

export function isNode(value: unknown): value is SyntaxNode {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string'
}

const parsed = new WeakMap<SourceFile, SyntaxNode>()

export function parse(file: SourceFile): SyntaxNode {
  const known = parsed.get(file)
  if (known) return known
  const text = file.text.replace(/^#!/, '//')
  const program: unknown = parseAst(text, { lang: /\.m?ts$/.test(file.path) ? 'ts' : 'js' })
  if (!isNode(program)) throw new Error(`${file.path} has no syntax tree`)
  parsed.set(file, program)
  return program
}

/** Calls `visit` for each node with the chain of its ancestors, the nearest last. */
export function walk(
  node: SyntaxNode,
  visit: (node: SyntaxNode, ancestors: readonly SyntaxNode[]) => void,
  ancestors: readonly SyntaxNode[] = [],
): void {
  visit(node, ancestors)
  const chain = [...ancestors, node]
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) walk(child, visit, chain)
  }
}

/** The nodes of a program as `walk` meets them, and the place of each one's parent in the same list; -1 has none. */
interface Flat {
  readonly nodes: readonly SyntaxNode[]
  readonly parents: readonly number[]
}

const flattened = new WeakMap<SourceFile, Flat>()

/** Made once a file: many rules ask for its nodes. */
function flatten(file: SourceFile): Flat {
  const known = flattened.get(file)
  if (known) return known
  const [nodes, parents]: [SyntaxNode[], number[]] = [[], []]
  const visit = (node: SyntaxNode, parent: number): void => {
    const place = nodes.push(node) - 1
    parents.push(parent)
    for (const field in node) {
      const value = node[field]
      if (Array.isArray(value)) for (const child of value) isNode(child) && visit(child, place)
      else if (isNode(value)) visit(value, place)
    }
  }
  visit(parse(file), -1)
  const flat = { nodes, parents }
  flattened.set(file, flat)
  return flat
}

/** A node where it stands; what few rules ask of it is made when they ask. */
class Found {
  readonly file: SourceFile
  readonly node: SyntaxNode
  readonly #flat: Flat
  readonly #place: number

  constructor(file: SourceFile, flat: Flat, place: number) {
    this.file = file
    this.node = flat.nodes[place] as SyntaxNode
    this.#flat = flat
    this.#place = place
  }

  /** The nearest last. */
  get ancestors(): readonly SyntaxNode[] {
    const { nodes, parents } = this.#flat
    const chain: SyntaxNode[] = []
    for (let place = parents[this.#place] as number; place >= 0; place = parents[place] as number)
      chain.unshift(nodes[place] as SyntaxNode)
    return chain
  }

  get at(): string {
    return `${this.file.path}:${lineOf(this.file, this.node.start)}`
  }
}

/** Every node of a type, in all files that are programs. */
export function findNodes(files: readonly SourceFile[], types: readonly string[]): readonly Found[] {
  return files.filter(isProgram).flatMap(file => {
    const flat = flatten(file)
    return flat.nodes.flatMap(({ type }, place) => (types.includes(type) ? [new Found(file, flat, place)] : []))
  })
}

/** Where the lines of a text begin, behind the first. */
const begun = new WeakMap<SourceFile, readonly number[]>()

export function lineOf(file: SourceFile, offset: number): number {
  const starts = begun.get(file) ?? [...file.text.matchAll(/\n/g)].map(({ index }) => index + 1)
  begun.set(file, starts)
  // The first line that begins behind it, by halves.
  let [low, high] = [0, starts.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((starts[middle] as number) > offset) high = middle
    else low = middle + 1
  }
  return low + 1
}

export function sourceOf({ text }: SourceFile, { start, end }: SyntaxNode): string {
  return text.slice(start, end)
}

/** The rows of all tables of a Markdown text, as trimmed cells. */
export function readRows(markdown: string): readonly (readonly string[])[] {
  return markdown
    .split('\n')
    .filter(line => /^\s*\|.*\|\s*$/.test(line) && !/^[\s|:-]+$/.test(line))
    .map(line =>
      line
        .trim()
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map(cell => cell.trim()),
    )
}

/** What stands in the backquotes of a cell, or undefined when it is not one quoted word. */
export function unquote(cell: string | undefined): string | undefined {
  return /^`([^`]+)`$/.exec(cell ?? '')?.[1]
}

/** Sentences about what stands on one side only. */
export function compareSides(left: readonly string[], right: readonly string[], names: readonly [string, string]) {
  const missing = (from: readonly string[], to: readonly string[], where: string): readonly string[] =>
    from.filter(name => !to.includes(name)).map(name => `${name} is missing in ${where}`)
  return [...missing(left, right, names[1]), ...missing(right, left, names[0])]
}

/** The rows of a table that a module of the engine exports; a module or table that is missing is an error. */
export async function importRows(path: string, name: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const module: Readonly<Record<string, unknown>> = await import(join(ROOT, path))
  const rows = module[name]
  if (!Array.isArray(rows) || rows.length === 0) throw new Error(`${path} exports no rows as ${name}`)
  return rows
}
