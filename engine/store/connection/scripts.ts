/**
 * The script loader. Each file of scripts/ opens with a contract (`@key`, `@arg`, `@reply`, `@cost`, `@include`);
 * SCRIPTS below is what TypeScript believes. They are compared when the engine starts, and a difference stops it:
 * a key or an argument that moved is found before the first claim, not by a wrong grant.
 *
 * What is sent to Redis is: the shebang, a local CODE with the outcome numbers that the script names (from the one
 * table in base/codes.ts), the included files of scripts/lib, the body without its comments. ioredis sends EVALSHA and
 * heals NOSCRIPT by itself for single commands. Rejected: Lua in strings, key counts in file names, includes that rely
 * on names of their includer.
 *
 * A script whose last argument is `dry` is loaded a second time for dry calls, under its name with `-dry`: the same text, loaded
 * as one that writes nothing. So a dry call cannot write, it would fail, and no replica is waited for.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { CODES, type Code } from '../../base/codes.ts'

interface Contract {
  /** A last name that ends in `*` stands for any number of keys. */
  readonly keys: readonly string[]
  readonly args: readonly string[]
}

/** The keys of every script that books, and of every one that turns a voucher. */
const BOOK = ['state', 'balances', 'ledger'] as const
const VOUCHER = [...BOOK, 'vouchers', 'touched', 'due'] as const

export const SCRIPTS = {
  claim: { keys: ['state', 'holders', 'log'], args: ['channel', 'epoch', 'users', 'pools', 'engine', 'vias'] },
  allot: {
    keys: ['state', 'holders', 'log', 'order', 'waiting'],
    args: ['channel', 'epoch', 'worker', 'mark', 'claims', 'vias'],
  },
  enter: {
    keys: ['state', 'draw', 'batches', 'chunk', 'chunk2', 'chunk3', 'seen*'],
    args: ['epoch', 'first', 'shed', 'claims'],
  },
  'draw-open': { keys: ['draw', 'bundle'], args: ['window', 'rules', 'closes', 'latest', 'new'] },
  'draw-take': { keys: ['state', 'draw', 'log'], args: ['channel', 'epoch', 'owner', 'lease', 'draws'] },
  'draw-write': { keys: ['draw', 'bundle'], args: ['owner', 'lease', 'window', 'from', 'to', 'file', 'bytes'] },
  'draw-grant': {
    keys: ['state', 'holders', 'log', 'draw'],
    args: ['channel', 'epoch', 'lease', 'first', 'users', 'pools'],
  },
  'draw-lapse': {
    keys: ['state', 'holders', 'log', 'draw', 'bundle'],
    args: ['channel', 'epoch', 'before', 'line', 'user', 'holder', 'pool'],
  },
  'draw-finish': {
    keys: ['state', 'draw', 'bundle'],
    args: ['channel', 'epoch', 'window', 'rules', 'closes', 'latest'],
  },
  'round-create': {
    keys: ['state', 'log', 'void'],
    args: 'channel epoch opens closes config totals fenced'.split(' '),
  },
  'round-void': { keys: ['state', 'void'], args: ['request'] },
  'round-turn': { keys: ['state', 'log'], args: ['channel', 'epoch', 'verb', 'hold', 'request', 'dry'] },
  'hold-end': { keys: ['state'], args: ['channel', 'epoch', 'hold'] },
  'round-read': { keys: ['state'], args: [] },
  'round-history': { keys: ['state'], args: ['channel', 'epoch', 'version', 'next'] },
  restock: {
    keys: ['state', 'log'],
    args: ['channel', 'epoch', 'pool', 'add', 'most', 'total', 'hold', 'request', 'dry'],
  },
  'fence-reserve': { keys: ['state'], args: ['epoch', 'engine', 'chunk', 'confirmed'] },
  'fence-restore': {
    keys: ['state', 'holders', 'log', 'restored'],
    args: ['channel', 'epoch', 'engine', 'reported', 'grants', 'server'],
  },
  'fence-bind': {
    keys: ['state', 'log', 'restored'],
    args: ['channel', 'epoch', 'next', 'patience', 'hold', 'server'],
  },
  'fence-release': { keys: ['state', 'log'], args: ['channel', 'epoch', 'most', 'hold', 'request', 'dry'] },
  budget: { keys: ['budget'], args: ['request', 'amount', 'most', 'settles', 'dry'] },
  'campaign-create': { keys: BOOK, args: ['funds'] },
  book: { keys: BOOK, args: ['round', 'sequence', 'amount', 'source'] },
  'voucher-read': { keys: [...BOOK, 'vouchers', 'answers'], args: ['vouchers'] },
  'voucher-lock': { keys: VOUCHER, args: ['voucher', 'by', 'merchant', 'order', 'ttl', 'lock'] },
  'voucher-unlock': { keys: VOUCHER, args: ['voucher', 'by', 'merchant', 'order'] },
  'key-own': { keys: ['this', 'last'], args: ['ttl', 'key', 'fingerprint'] },
  redeem: {
    keys: [...VOUCHER, 'redemptions', 'requests', 'answers', 'usage'],
    args: 'grounds voucher request fingerprint most id discount who order bound gross pool answer'.split(' '),
  },
  reverse: {
    keys: [...VOUCHER, 'redemptions', 'requests', 'answers', 'usage', 'budget'],
    args: 'redemption request fingerprint id amount unused merchant note answer'.split(' '),
  },
  deactivate: {
    keys: [...VOUCHER, 'redemptions', 'budget'],
    args: ['voucher', 'redemption', 'unused', 'by', 'note', 'dry'],
  },
  'voucher-due': { keys: [...VOUCHER, 'budget'], args: ['most', 'unused'] },
  expire: {
    keys: [...BOOK, 'touched', 'budget'],
    args: ['run', 'from', 'to', 'packs', 'quantity', 'worth', 'ends', 'buckets', 'unused'],
  },
  'set-once': { keys: ['fields', 'this', 'last'], args: ['ttl', 'request', 'cleared'] },
  audit: { keys: ['state', 'log'], args: ['request', 'who', 'action', 'target', 'body', 'outcome'] },
  settle: { keys: [...BOOK, 'settlements'], args: ['date', 'ends', 'part', 'amounts', 'totals', 'by'] },
} as const satisfies Record<string, Contract>

export type ScriptName = keyof typeof SCRIPTS

type HasDry<Name extends ScriptName> = (typeof SCRIPTS)[Name]['args'] extends readonly [...string[], 'dry']
  ? Name
  : never
type DryName = `${{ [Name in ScriptName]: HasDry<Name> }[ScriptName]}-dry`

/** Every script by its name, and those for dry calls. */
export type Scripts = Readonly<Record<ScriptName | DryName, Script>>

export interface Script extends Contract {
  readonly name: string
  /** Whether its first line says that it never writes. */
  readonly readsOnly: boolean
  /** The text that Redis runs. */
  readonly source: string
}

const FOLDER = new URL('../../../scripts/', import.meta.url)

const names = (text: string, tag: string): string[] =>
  [...text.matchAll(new RegExp(`^-- @${tag}\\s+(\\S+)`, 'gm'))].map(match => match[1] as string)

const withoutComments = (text: string) => text.replace(/^\s*--.*\n/gm, '').replace(/^#!.*\n/, '')

/** The `local CODE` line for the outcomes that a script names; an unknown name stops the start. */
function codeTable(file: string, text: string): string {
  const used = [...new Set([...text.matchAll(/\bCODE\.(\w+)/g)].map(match => match[1] as string))].sort()
  const cells = used.map(code => {
    if (!(code in CODES)) throw new Error(`scripts/${file}: CODE.${code} is not in engine/base/codes.ts`)
    return `${code}=${CODES[code as Code].number}`
  })
  return `local CODE = {${cells.join(',')}}\n`
}

/** Builds one script from its text and a reader of scripts/lib. Throws on a missing include, naming the file. */
export function buildScript(file: string, text: string, library: (name: string) => string): Script {
  const shebang = text.match(/^#!lua.*\n/)?.[0]
  if (!shebang) throw new Error(`scripts/${file}: the first line must be "#!lua"`)
  const included = names(text, 'include').map(name => withoutComments(library(name)))
  const body = included.join('') + withoutComments(text)
  return {
    name: file.replace(/\.lua$/, ''),
    keys: names(text, 'key'),
    args: names(text, 'arg'),
    readsOnly: shebang.includes('no-writes'),
    source: shebang + codeTable(file, body) + body,
  }
}

/** The script for dry calls. */
export const dryOf = (script: Script): Script => ({
  ...script,
  name: `${script.name}-dry`,
  readsOnly: true,
  source: script.source.replace('#!lua\n', '#!lua flags=no-writes\n'),
})

/** The script for a cluster: its notices go to the servers of the round's own shard, where PUBLISH would go to all of them. */
const shardedOf = (script: Script): Script => ({
  ...script,
  source: script.source.replaceAll("redis.pcall('PUBLISH',", "redis.pcall('SPUBLISH',"),
})

/** Throws when a script's contract differs from what TypeScript believes of it. */
export function checkContract(script: Script, expected: Contract | undefined): void {
  if (!expected) throw new Error(`scripts/${script.name}.lua has no row in engine/store/connection/scripts.ts`)
  for (const part of ['keys', 'args'] as const) {
    const [has, wants] = [script[part].join(' '), expected[part].join(' ')]
    if (has !== wants)
      throw new Error(
        `scripts/${script.name}.lua: its ${part} are [${has}], engine/store/connection/scripts.ts says [${wants}]`,
      )
  }
}

/** Reads, builds and checks every script; `sharded` for a cluster. */
export function loadScripts(sharded = false): Scripts {
  const library = (name: string) => readFileSync(new URL(`lib/${name}.lua`, FOLDER), 'utf8')
  const built: Record<string, Script> = {}
  for (const file of readdirSync(FOLDER).filter(name => name.endsWith('.lua'))) {
    const one = buildScript(file, readFileSync(new URL(file, FOLDER), 'utf8'), library)
    const script = sharded ? shardedOf(one) : one
    checkContract(script, (SCRIPTS as Record<string, Contract>)[script.name])
    built[script.name] = script
    if (script.args.at(-1) === 'dry') built[`${script.name}-dry`] = dryOf(script)
  }
  for (const name of Object.keys(SCRIPTS)) if (!built[name]) throw new Error(`scripts/${name}.lua is missing`)
  return built as Scripts
}
