/**
 * The public proof of a draw over HTTP: which files there are, each file as it was published, the proof that one entry is
 * in the list, and the key that signs. While a window is open only its rules are shown: the list, and how long it is, are
 * nobody's to know before the commitment stands.
 */
import { Refusal } from '../../base/assert.ts'
import { rfc3339 } from '../../base/clock.ts'
import { overdueSince } from '../../campaign/drawing/draw-due.ts'
import type { DrandBeacon } from '../../campaign/drawing/draws.ts'
import type { FinalList } from '../../campaign/drawing/final-lists.ts'
import type { Round } from '../../campaign/round/round.ts'
import { isDrawn } from '../../campaign/round/round-config.ts'
import { drandTime, type Trust } from '../../draw/beacon.ts'
import { parseCommit } from '../../draw/commitment.ts'
import { sha256 } from '../../draw/digest.ts'
import { findTag } from '../../draw/entry.ts'
import { leafAt } from '../../draw/merkle.ts'
import { parseRules } from '../../draw/rules.ts'
import type { DrawPhase, DrawState } from '../../store/data/draw-store.ts'
import * as shown from '../../wire/answers/claims.ts'
import type { RouteWords } from '../../wire/open-api.ts'
import { drandBeacon, lapse } from '../../wire/schemas.ts'
import type { Call, Route, Services } from '../http/gateway.ts'

const ENTRIES = 'entries.bin'
const JSON_TYPE = 'application/json'
const BYTES_TYPE = 'application/octet-stream'

/** A window of a drawn round, as it stands. */
interface Shown {
  readonly round: Round
  readonly window: number
  readonly phase: DrawPhase
  /** Whether no window of the round came after it. */
  readonly isLast: boolean
  /** Its published files but for the list. */
  readonly files: Readonly<Record<string, Buffer>>
}

async function drawnRound({ lifecycle, store }: Services, id: string): Promise<{ round: Round; draw: DrawState }> {
  const round = await lifecycle.round(id)
  const draw = isDrawn(round.view.config) ? await store.draws.state(id) : undefined
  if (!draw)
    throw new Refusal('not_found', `round ${id} is not drawn: its mode is ${round.view.config.allocation.mode}`)
  return { round, draw }
}

/** The window that was asked for: the newest whose list is final where none was named, else the open one. */
async function windowOf(services: Services, { params, query }: Call): Promise<Shown> {
  const { round, draw } = await drawnRound(services, params[0] as string)
  const newest = draw.window > 0 && (draw.phase === 'open' || draw.phase === 'new') ? draw.window - 1 : draw.window
  const window = Number(query.get('window') ?? newest)
  const files = Number.isInteger(window) && window >= 0 ? await services.store.draws.files(round.view.id, window) : {}
  if (window > draw.window || !files['rules.json']) throw new Refusal('not_found', 'there is no such window')
  const phase = window < draw.window ? 'done' : draw.phase
  const isLast = window === draw.window
  return { round, window, phase: phase === 'done' && !files['result.json'] ? 'open' : phase, isLast, files }
}

/** The list of a window whose commitment stands. */
async function listOf({ finalLists }: Services, { round, window, files }: Shown): Promise<FinalList> {
  const commit = files['commit.json']
  if (!commit) throw new Refusal('not_found', 'the list of this window is not final yet')
  return finalLists.of(round.view, window, parseCommit(commit).commit.n)
}

/** What the beacon of a window earns, or will earn while its list is not committed yet. */
function trustOf(files: Shown['files']): Trust {
  const { beacon } = parseRules(files['rules.json'] as Buffer)
  if (beacon.kind === 'commit') return 'T2'
  const commit = files['commit.json'] && parseCommit(files['commit.json']).commit
  return !commit || Date.parse(commit.committed_at) < drandTime(beacon.round) ? 'T3' : 'T1'
}

async function reveal({ lifecycle, draws }: Services, { params, body, seed }: Call) {
  const round = await lifecycle.round(params[0] as string)
  await draws.reveal(round, body as DrandBeacon, seed !== undefined)
  return { status: 200, body: { round_id: round.view.id, state: 'beacon' } }
}

async function lapseSeat({ lifecycle, promotions }: Services, { params, body, caller }: Call) {
  const round = await lifecycle.round(params[0] as string)
  const { tag } = body as { tag: string }
  const promoted = await promotions.lapse(caller, round, tag)
  return { status: 200, body: promoted ?? { pool: null, from: tag, to: null, at: null } }
}

async function showDraw(services: Services, call: Call) {
  const draw = await windowOf(services, call)
  const { round, window, phase, isLast, files } = draw
  const { allocation } = round.view.config
  const rows = Object.entries(files).map(([name, bytes]) => ({
    name,
    bytes: bytes.length,
    sha256: sha256(bytes).toString('hex'),
  }))
  if (files['commit.json']) {
    const list = await listOf(services, draw)
    rows.push({ name: ENTRIES, bytes: list.records.length, sha256: list.sha256 })
  }
  const since = isLast
    ? await overdueSince(services.store, round, services.rounds.serverTimeMs(round.view.id))
    : undefined
  const state = since !== undefined ? 'overdue' : phase === 'done' ? 'drawn' : phase
  const overdue = since === undefined ? {} : { overdue_since: rfc3339(since) }
  const where = { round_id: round.view.id, mode: allocation.mode, window, state, ...overdue }
  return { status: 200, body: { ...where, trust: trustOf(files), files: rows } }
}

async function showFile(services: Services, call: Call) {
  const name = call.params[1] as string
  const draw = await windowOf(services, call)
  const content = name === ENTRIES ? (await listOf(services, draw)).records : draw.files[name]
  if (!content) throw new Refusal('not_found', `there is no file ${name} of this window yet`)
  return { status: 200, text: { type: name.endsWith('.json') ? JSON_TYPE : BYTES_TYPE, content } }
}

async function showProof(services: Services, call: Call) {
  const tag = call.query.get('tag') ?? ''
  if (!/^[0-9a-f]{32}$/.test(tag)) throw new Refusal('invalid', 'tag: must be 32 lower case hexadecimal digits')
  const { records, tree } = await listOf(services, await windowOf(services, call))
  const index = findTag(records, Buffer.from(tag, 'hex'))
  if (index < 0) throw new Refusal('not_found', 'no entry of this window has that tag')
  const leaf = Buffer.from(leafAt(records, index)).toString('hex')
  return {
    status: 200,
    body: { index, n: tree.count, leaf, path: tree.path(index), root: tree.root().toString('hex') },
  }
}

async function showKey(services: Services, { params }: Call) {
  await drawnRound(services, params[0] as string)
  const { keyId, publicKey } = services.rounds.signingKey
  return { status: 200, body: { keys: [{ key_id: keyId, public_key: publicKey }] } }
}

const route = (path: string, words: RouteWords, show: Route['handle']): Route => ({
  method: 'get',
  path: `/v1/rounds/{id}/draw${path}`,
  query: ['window'],
  ...words,
  right: 'public',
  handle: show,
})

const DRAW = {
  operation: 'readDraw',
  summary: 'The draw of a window: where it stands, the files of its proof',
  answers: { 200: shown.draw },
}
const FILE = {
  operation: 'readDrawFile',
  summary: 'One file of the proof, byte for byte',
  files: [JSON_TYPE, BYTES_TYPE],
}
const PROOF: RouteWords = {
  operation: 'readDrawProof',
  summary: 'That the entry of a tag is in the list: its leaf and the path to the root',
  query: ['tag', 'window'],
  answers: { 200: shown.proof },
}
const KEY = {
  operation: 'readDrawKeys',
  summary: 'The public keys of receipts and commitments',
  query: [],
  answers: { 200: shown.drawKeys },
}

export const DRAW_ROUTES: readonly Route[] = [
  route('', DRAW, showDraw),
  route('/files/{name}', FILE, showFile),
  {
    method: 'post',
    path: '/v1/rounds/{id}/draw/beacon',
    operation: 'revealBeacon',
    answers: { 200: shown.revealed },
    refusals: ['wrong_state'],
    right: 'operate',
    summary: 'The public beacon that a committed list waits for; its signature is verified',
    isLasting: true,
    body: drandBeacon,
    handle: reveal,
  },
  {
    method: 'post',
    path: '/v1/rounds/{id}/draw/lapses',
    operation: 'lapseSeat',
    answers: { 200: shown.promotion },
    refusals: ['wrong_state', 'already_redeemed', 'budget_exceeded', 'expired'],
    right: 'operate',
    summary: 'A seat of a lottery lapses and goes to the next of the waitlist',
    isLasting: true,
    body: lapse,
    handle: lapseSeat,
  },
  route('/proof', PROOF, showProof),
  route('/key', KEY, showKey),
]
