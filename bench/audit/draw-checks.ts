/**
 * The audit of a drawn run: does each bundle prove its own result, and does it agree with what people were told?
 *
 * The first half repeats the draw from the published bytes alone: rules hash, list, root, commitment and its signature,
 * beacon, seed, winners. The second half compares it with the clients' record, where an `entered` answer is kept with
 * the first four bytes of its receipt's tag: every receipt is in a list, one user one receipt, as many entries as
 * people who may have entered, and the grants belong to the winners. Four bytes let one altered entry in two thousand
 * pass among two million; they cost no memory that the record does not have already.
 *
 * The signature of a public beacon is not verified here: node:crypto has no pairing. The engine's verifier does that.
 */

import { createPublicKey, verify } from 'node:crypto'
import type { Receipt } from '../stage/operator.ts'
import { drawAgain, merkleRoot, RECORD_BYTES, seedOf, sha256, TAG_BYTES, tagFor } from './draw.ts'
import type { Statement } from './draw-bundle.ts'
import type { Check, Finding } from './finding.ts'
import { ENTERED, type History, MEANINGS, PERHAPS } from './history.ts'
import type { Ledger } from './ledger.ts'

export interface ShownReceipt extends Receipt {
  readonly user: number
}

export interface DrawEvidence {
  /** One draw a window, in order. */
  readonly draws: readonly Statement[]
  readonly history: History
  readonly users: { readonly count: number; userId(index: number): string }
  readonly ledger: Ledger
  /** The tags that the export of the grants names, by sequence. */
  readonly holders: readonly string[]
  /** Whole receipts of a sample of people, as they were shown before the draw. */
  readonly receipts: readonly ShownReceipt[]
}

const SPKI_ED25519 = Buffer.from('302a300506032b6570032100', 'hex')
const hex = (text: string | undefined): Buffer => Buffer.from(text ?? '', 'hex')

export const tagsOf = (entries: Buffer): string[] =>
  Array.from({ length: Math.floor(entries.length / RECORD_BYTES) }, (_, place) =>
    entries.toString('hex', place * RECORD_BYTES, place * RECORD_BYTES + TAG_BYTES),
  )

/** The first four bytes of a tag, as the record keeps them. */
export const tagHead = (tag: string): number => Number.parseInt(tag.slice(0, 8), 16)

/** Looks at every window; `says` gives the sentence of a contradiction, or nothing. */
function eachDraw(id: string, title: string, says: (draw: Statement) => string | undefined): Check<DrawEvidence> {
  const look = ({ draws }: DrawEvidence, finding: Finding): void => {
    for (const [window, draw] of draws.entries()) {
      finding.checked++
      const sentence = says(draw)
      if (sentence !== undefined) finding.violate(() => `window ${window}: ${sentence}`)
    }
  }
  return { id, title, look }
}

const differs = (what: string, published: string | undefined, own: string): string | undefined =>
  published === own ? undefined : `${what} is published as ${published}, and comes out as ${own}`

function rulesFault({ rules, bytes, commitment }: Statement): string | undefined {
  const seats = rules.pools?.reduce((sum, { total }) => sum + total, 0)
  if (seats !== rules.stock || rules.pools?.[0]?.name !== 'general')
    return 'the pools do not add up to the stock, general first'
  return differs('the hash of the rules', commitment.commit?.rules_hash, sha256(bytes['rules.json']).toString('hex'))
}

function listFault({ rules, bytes, commitment }: Statement): string | undefined {
  const entries = bytes['entries.bin']
  const count = entries.length / RECORD_BYTES
  if (commitment.commit?.n !== count) return `the list has ${count} entries, committed are ${commitment.commit?.n}`
  const tags = tagsOf(entries)
  if (new Set(tags).size !== tags.length) return 'a tag stands in the list twice'
  const pools = rules.pools?.length ?? 0
  const stray = tags.findIndex((_, place) => entries[place * RECORD_BYTES + TAG_BYTES]! >= pools)
  return stray < 0 ? undefined : `entry ${stray} is of a pool that the rules do not have`
}

function rootFault({ rules, bytes, commitment }: Statement): string | undefined {
  return differs(
    'the root',
    commitment.commit?.root,
    merkleRoot(bytes['entries.bin'], rules.leaf_records ?? 64).toString('hex'),
  )
}

function commitFault({ signed, commitment }: Statement): string | undefined {
  const { commit, signature, public_key: key } = commitment
  if (signed.toString('utf8') !== JSON.stringify(commit)) return 'the signed bytes are not those of the commitment'
  try {
    const publicKey = createPublicKey({ key: Buffer.concat([SPKI_ED25519, hex(key)]), format: 'der', type: 'spki' })
    return verify(null, signed, publicKey, hex(signature))
      ? undefined
      : 'the signature is of other bytes or another key'
  } catch (cause) {
    return `the public key cannot be read: ${(cause as Error).message}`
  }
}

/** How late a window may open, milliseconds: a quarter of it, at least a tenth of a second and at most a second. */
const latest = (opens: number, closes: number): number => opens + Math.min(1000, Math.max(100, (closes - opens) / 4))

/** Walks the changes with the door in hand: where it was shut while the rules say that it is open, they are broken. */
function timesFault({ rules, commitment }: Statement): string | undefined {
  const changes = commitment.commit?.changes
  if (changes === undefined)
    return rules.may_end_early === undefined ? undefined : 'the times of the window are missing'
  const [opens, closes] = [Date.parse(rules.opens_at ?? ''), Date.parse(rules.closes_at ?? '')]
  // Behind a window's draw a round is open; its first window waits for the round.
  const waits = new Set((rules.window ?? 0) > 0 ? ['window'] : ['create', 'open', 'window'])
  let [now, shutAt] = [0, Number.NaN]
  for (const { at, change } of changes) {
    if (Date.parse(at) < now) return `the changes go back in time at ${at}`
    now = Date.parse(at)
    if (change === 'pause' || change === 'close' || change === 'draw') shutAt = shutAt >= 0 ? shutAt : now
    if (change === 'draw') break
    if (change === 'resume') {
      if (now > opens && shutAt < closes) return `the window was paused until ${at}`
      shutAt = Number.NaN
    }
    if (waits.delete(change) && waits.size === 0 && now > latest(opens, closes))
      return `the window opened late, at ${at}`
  }
  if (changes.at(-1)?.change !== 'draw' || waits.size > 0) return 'the changes are not those of a whole window'
  if (!(Date.parse(commitment.commit?.committed_at ?? '') >= now - 1000))
    return `the list was committed before it was whole, at ${commitment.commit?.committed_at}`
  if (shutAt < closes && rules.may_end_early !== true)
    return `the window ended early, at ${new Date(shutAt).toISOString()}`
  return undefined
}

/** The bytes that enter the seed. */
const beaconBytes = ({ beacon }: Statement): Buffer => hex(beacon.kind === 'commit' ? beacon.secret : beacon.signature)

function beaconFault(draw: Statement): string | undefined {
  const { rules, beacon } = draw
  if (beacon.kind !== rules.beacon?.kind) return `the rules ask for a beacon ${rules.beacon?.kind}, not ${beacon.kind}`
  if (rules.beacon?.kind === 'drand') {
    return beacon.round === rules.beacon.round ? undefined : `round ${beacon.round} is not the one in the rules`
  }
  return differs('the hash of the secret', rules.beacon?.hash, sha256(beaconBytes(draw)).toString('hex'))
}

const ownSeed = (draw: Statement): Buffer =>
  seedOf({
    rulesHash: sha256(draw.bytes['rules.json']),
    root: merkleRoot(draw.bytes['entries.bin'], draw.rules.leaf_records ?? 64),
    count: draw.bytes['entries.bin'].length / RECORD_BYTES,
    beacon: beaconBytes(draw),
  })

function winnersFault(draw: Statement): string | undefined {
  const { rules, bytes, result } = draw
  const entries = bytes['entries.bin']
  const { stock = 0, pools = [], quota_order = 'general-first', waitlist = 0 } = rules
  const again = drawAgain(entries, { stock, pools, quota_order, waitlist }, hex(result.seed))
  const tags = tagsOf(entries)
  const seated = [...again.winners].map((place, index) => `${tags[place]}:${pools[again.seats[index]!]?.name}`)
  const waiting = [...again.waitlist].map(place => tags[place]!)
  for (const [name, own, published] of [
    ['winner', seated, result.winners ?? []],
    ['waitlist place', waiting, result.waitlist ?? []],
  ] as const) {
    const place = own.findIndex((tag, index) => tag !== published[index])
    if (place >= 0) return `${name} ${place + 1} is ${published[place]}, and should be ${own[place]}`
    if (own.length !== published.length) return `${published.length} ${name}s are published, ${own.length} are drawn`
  }
  return undefined
}

/** By user: the head of the tag that he was told first; 0 for nobody told. */
function headsByUser({ history, users }: DrawEvidence): Uint32Array {
  const heads = new Uint32Array(users.count)
  const { outcome, user, vouchers } = history.at
  for (let row = 0; row < history.length; row++) {
    if (outcome[row] === ENTERED && heads[user[row]!] === 0) heads[user[row]!] = vouchers[row]!
  }
  return heads
}

const headsOf = (tags: readonly string[]): Set<number> => new Set(tags.map(tagHead))

function lookForMissing(evidence: DrawEvidence, finding: Finding): void {
  const listed = headsOf(evidence.draws.flatMap(({ bytes }) => tagsOf(bytes['entries.bin'])))
  for (const [user, head] of headsByUser(evidence).entries()) {
    if (head === 0) continue
    finding.checked++
    if (!listed.has(head))
      finding.violate(() => `${evidence.users.userId(user)} has a receipt ${head.toString(16)}… that is in no list`)
  }
}

function lookForSecond(evidence: DrawEvidence, finding: Finding): void {
  const { history, users } = evidence
  const heads = headsByUser(evidence)
  const { outcome, user, vouchers } = history.at
  for (let row = 0; row < history.length; row++) {
    if (outcome[row] !== ENTERED || vouchers[row] === 0) continue
    finding.checked++
    if (heads[user[row]!] !== vouchers[row]) finding.violate(() => `${users.userId(user[row]!)} was given two receipts`)
  }
}

/** One user, one entry: not fewer entries than people who were told so, nor more than those who may have one. */
function lookAtCount({ draws, history, users }: DrawEvidence, finding: Finding): void {
  const said = new Uint8Array(users.count)
  const { outcome, user } = history.at
  for (let row = 0; row < history.length; row++) {
    const code = outcome[row]!
    said[user[row]!]! |= code === ENTERED ? 1 : MEANINGS[code] === PERHAPS ? 2 : 0
  }
  const told = said.reduce((sum, bits) => sum + (bits & 1), 0)
  const perhaps = said.reduce((sum, bits) => sum + (bits === 2 ? 1 : 0), 0)
  const entries = draws.reduce((sum, { bytes }) => sum + bytes['entries.bin'].length / RECORD_BYTES, 0)
  finding.checked = entries
  if (entries >= told && entries <= told + perhaps) return
  finding.violate(
    () => `${entries} entries for ${told} people who were told that they entered, and ${perhaps} without an answer`,
  )
}

function lookAtGrants(evidence: DrawEvidence, finding: Finding): void {
  const { draws, ledger, users } = evidence
  const winners = draws.flatMap(({ result }) => (result.winners ?? []).map(winner => winner.slice(0, TAG_BYTES * 2)))
  if (winners.length !== ledger.length) finding.violate(() => `${winners.length} winners, ${ledger.length} grants`)
  const won = headsOf(winners)
  const heads = headsByUser(evidence)
  const holds = new Uint8Array(users.count)
  for (const user of ledger.at.user.subarray(0, ledger.length)) {
    finding.checked++
    if (user >= users.count) continue
    holds[user] = 1
    if (heads[user] !== 0 && !won.has(heads[user]!))
      finding.violate(() => `${users.userId(user)} holds a grant and did not win`)
  }
  for (const [user, head] of heads.entries()) {
    if (head !== 0 && won.has(head) && holds[user] === 0)
      finding.violate(() => `${users.userId(user)} won and holds nothing`)
  }
}

function lookAtNumbers({ draws, holders }: DrawEvidence, finding: Finding): void {
  const winners = draws.flatMap(({ result }) => (result.winners ?? []).map(winner => winner.slice(0, TAG_BYTES * 2)))
  finding.checked = holders.length
  const place = winners.findIndex((tag, index) => tag !== holders[index])
  if (place >= 0)
    finding.violate(
      () => `winner ${place + 1} is ${winners[place]}, sequence ${place + 1} is held by ${holders[place]}`,
    )
}

function lookAtReceipts({ draws, users, receipts }: DrawEvidence, finding: Finding): void {
  const listed = new Set(draws.flatMap(({ bytes }) => tagsOf(bytes['entries.bin'])))
  for (const { user, ...receipt } of receipts) {
    finding.checked++
    const id = users.userId(user)
    if (tagFor(id, receipt) !== receipt.tag)
      finding.violate(() => `the tag ${receipt.tag} of ${id} is not made of his id, nonce and salt`)
    else if (!listed.has(receipt.tag)) finding.violate(() => `the tag ${receipt.tag} of ${id} is in no list`)
  }
}

export const DRAW_CHECKS: readonly Check<DrawEvidence>[] = [
  eachDraw('D-rules', 'The rules are those that were committed to, and their pools add up.', rulesFault),
  eachDraw('D-list', 'The list has as many entries as were committed to, no tag twice, every pool known.', listFault),
  eachDraw('D-root', 'The root over the list is the committed one.', rootFault),
  eachDraw('D-commit', 'The commitment is signed by its key.', commitFault),
  eachDraw('D-times', 'Entries were taken from when to when the rules say, without a pause.', timesFault),
  eachDraw('D-beacon', 'The beacon is the one that the rules fixed beforehand.', beaconFault),
  eachDraw('D-seed', 'The seed follows from rules, root, count and beacon.', draw =>
    differs('the seed', draw.result.seed, ownSeed(draw).toString('hex')),
  ),
  eachDraw(
    'D-winners',
    'A second implementation draws the same winners and waitlist, in the same order.',
    winnersFault,
  ),
  { id: 'D-included', title: 'Everybody who has a receipt is in a published list.', look: lookForMissing },
  {
    id: 'D-receipt',
    title: 'The receipts of a sample of people bind their tags to them, and are in a list.',
    look: lookAtReceipts,
  },
  { id: 'D-once', title: 'Whoever asked again was given the same receipt.', look: lookForSecond },
  { id: 'D-count', title: 'There is one entry for each person who entered.', look: lookAtCount },
  { id: 'D-grants', title: 'The winners hold the grants, and nobody else does.', look: lookAtGrants },
  { id: 'D-sequence', title: 'The grants are numbered in the order of the draw.', look: lookAtNumbers },
]
