/**
 * `fairgrab draw`: an outsider's three commands. `export` fetches the proof of a draw, `verify` repeats the draw from it,
 * `check` holds one person's receipt against it. Verifying needs no engine, no key and no network.
 *
 * Each check prints one line, PASS or FAIL, with what was found or what is wrong and where. Exit codes: 0 all hold,
 * 1 one does not (or an error), 2 wrong usage. Rejected: a quiet mode; who wants less takes --json.
 */
import { readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { shownJson, shownText } from '../base/shown-text.ts'
import { ConfigError, suggestion } from '../config.ts'
import { isHex } from '../draw/digest.ts'
import { parsePlain } from '../draw/json-file.ts'
import { type Receipt, readReceipt } from '../draw/receipt.ts'
import { parseResult } from '../draw/result.ts'
import { BUNDLE_FILES, type BundleFiles, bundleParts } from '../draw/verify/bundle.ts'
import { checkReceiptOf, proveEntry, type ReceiptEvidence } from '../draw/verify/receipt-check.ts'
import { type Check, compareResults, verifyBundle } from '../draw/verify/verification.ts'
import { readNamed } from './command.ts'
import { getFiles, getKeys, getListing, getProof, readBundle, saveBundle } from './draw-source.ts'

const HELP = `fairgrab draw: the proof of a window or a lottery

  fairgrab draw export ROUND DIR [--window N] [--url URL] [--key KEY]
      writes the draw's files into a folder; the newest window's when none is named
  fairgrab draw verify DIR [DIR...] [--public-key HEX]
      repeats the draw; several folders must not hold two results for one draw
  fairgrab draw check --receipt FILE DIR|URL [--user ID] [--public-key HEX] [--key KEY]
      is my entry in the list, and what did it get? --user checks that the tag is mine

  --json prints one object. Exit codes: 0 all hold, 1 one does not, 2 wrong usage.

examples
  fairgrab draw export rnd_8gk2 proof --url https://coupons.example
  fairgrab draw export rnd_8gk2 proof-7 --window 7
  fairgrab draw verify proof
  fairgrab draw verify proof --public-key 8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c
  fairgrab draw check --receipt receipt.json proof
  fairgrab draw check --receipt receipt.json https://coupons.example
`

const OPTIONS = {
  window: { type: 'string' },
  receipt: { type: 'string' },
  user: { type: 'string' },
  'public-key': { type: 'string' },
  url: { type: 'string' },
  key: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const

function argumentsOf(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true })
  } catch (cause) {
    throw new ConfigError(`${(cause as Error).message.split('. ')[0]}; see fairgrab draw --help`)
  }
}

interface Asked {
  readonly values: ReturnType<typeof argumentsOf>['values']
  readonly places: readonly string[]
}

/** Prints the lines of a verdict; returns the exit code. */
function printChecks(
  checks: readonly Check[],
  { values }: Asked,
  more: Readonly<Record<string, unknown>> = {},
): number {
  const ok = checks.every(check => check.ok)
  if (values.json) console.log(shownJson({ ok, ...more, checks }))
  else
    for (const { name, ok: holds, detail } of checks)
      console.log(shownText(`${holds ? 'PASS' : 'FAIL'}  ${name.padEnd(11)} ${detail}`))
  return ok ? 0 : 1
}

function publicKeyOf({ values }: Asked): string | undefined {
  const key = values['public-key']?.toLowerCase()
  if (key !== undefined && !isHex(key, 32))
    throw new ConfigError(
      '--public-key has to be 64 hexadecimal digits; the engine shows it at GET /v1/rounds/ROUND/draw/key',
    )
  return key
}

async function exportCommand(asked: Asked): Promise<number> {
  const [roundId, folder, ...rest] = asked.places
  if (roundId === undefined || folder === undefined || rest.length > 0)
    throw new ConfigError('which round, into which folder? fairgrab draw export ROUND DIR')
  const window = asked.values.window
  if (window !== undefined && !/^\d{1,9}$/.test(window))
    throw new ConfigError(`--window is "${window}"; give the window's number, from 0`)
  const round = { target: asked.values, roundId }
  const listing = await getListing(window === undefined ? round : { ...round, window: Number(window) })
  const draw = { ...round, window: listing.window }
  const files = await getFiles(draw, listing, BUNDLE_FILES)
  await saveBundle(folder, files)
  const rows = [...files].map(([name, { length }]) => ({ name, bytes: length }))
  if (asked.values.json) console.log(shownJson({ ok: true, round_id: roundId, window: draw.window, files: rows }))
  else for (const { name, bytes } of rows) console.log(shownText(`${folder}/${name}  ${bytes} bytes`))
  return 0
}

async function verifyCommand(asked: Asked): Promise<number> {
  const [first, ...others] = asked.places
  if (first === undefined) throw new ConfigError('which folder? fairgrab draw verify DIR')
  const publicKey = publicKeyOf(asked)
  const bundles = [await readBundle(first), ...(await Promise.all(others.map(readBundle)))] as const
  const verdicts = bundles.map(files => verifyBundle(files, publicKey === undefined ? {} : { publicKey }))
  const compared = bundles.slice(1).map(files => compareResults(bundles[0], files))
  const checks = [...verdicts.flatMap(verdict => verdict.checks), ...compared]
  return printChecks(checks, asked, { trust: verdicts.map(({ trust }) => trust ?? null) })
}

/** The evidence of a folder: the whole list is there, so the proof is made of it. */
function evidenceIn(receipt: Receipt, files: BundleFiles, publicKey: string | undefined): ReceiptEvidence {
  const parts = bundleParts(files)
  return {
    receipt,
    parts,
    proof: proveEntry(parts.entries(), Buffer.from(receipt.tag, 'hex')),
    cutoffs: parseResult(parts.bytes('result.json')).cutoffs,
    publicKeys: [publicKey ?? parts.commit().public_key],
  }
}

/** The evidence of a running engine: a few kilobytes, and never the list. */
async function evidenceAt(receipt: Receipt, url: string, asked: Asked): Promise<ReceiptEvidence> {
  const draw = { target: { ...asked.values, url }, roundId: receipt.round_id, window: receipt.window }
  const listing = await getListing(draw)
  const small = ['rules.json', 'commit.json', 'commit.bytes', 'beacon.json']
  const files = await getFiles(draw, listing, listing.cutoffs ? small : [...small, 'result.json'])
  const parts = bundleParts(files)
  const pinned = publicKeyOf(asked)
  return {
    receipt,
    parts,
    proof: await getProof(draw, receipt.tag),
    cutoffs: listing.cutoffs ?? parseResult(parts.bytes('result.json')).cutoffs,
    publicKeys: pinned === undefined ? await getKeys(draw) : [pinned],
  }
}

async function checkCommand(asked: Asked): Promise<number> {
  const [place, ...rest] = asked.places
  const file = asked.values.receipt
  if (file === undefined || place === undefined || rest.length > 0)
    throw new ConfigError('which receipt, and where is the draw? fairgrab draw check --receipt FILE DIR|URL')
  const help = 'save the answer to your claim, or its field "receipt", in a file'
  const bytes = await readNamed({ path: file, option: 'receipt' }, readFile(file), help)
  const saved = readReceipt(parsePlain(file, bytes))
  const receipt = asked.values.user === undefined ? saved : { ...saved, user_id: asked.values.user }
  const evidence = /^https?:\/\//.test(place)
    ? await evidenceAt(receipt, place, asked)
    : evidenceIn(receipt, await readBundle(place), publicKeyOf(asked))
  return printChecks(checkReceiptOf(evidence), asked)
}

const COMMANDS: Readonly<Record<string, (asked: Asked) => Promise<number>>> = {
  export: exportCommand,
  verify: verifyCommand,
  check: checkCommand,
}

/** Runs `fairgrab draw …`; returns the exit code. Throws ConfigError for wrong usage. */
export async function drawCommand(args: readonly string[]): Promise<number> {
  const { values, positionals } = argumentsOf(args)
  const [name = 'help', ...places] = positionals
  if (values.help || name === 'help') {
    console.log(HELP)
    return 0
  }
  const command = COMMANDS[name]
  if (!command) {
    const known = Object.keys(COMMANDS)
    throw new ConfigError(`there is no "draw ${name}"; ${suggestion(name, known, `There are ${known.join(', ')}`)}`)
  }
  return command({ values, places })
}
