/**
 * The public proof of a draw over HTTP: which files there are, each file as it was published, the proof that one entry is
 * in the list, and the key that signs. While a window is open only its rules are shown: the list, and how long it is, are
 * nobody's to know before the commitment stands.
 */
import { Refusal } from '../base/assert.ts'
import type { Claims } from '../campaign/claims.ts'
import type { DrandBeacon } from '../campaign/draws.ts'
import { drandTime, type Trust } from '../draw/beacon.ts'
import { parseCommit } from '../draw/commitment.ts'
import { sha256 } from '../draw/digest.ts'
import { findTag, RECORD_BYTES } from '../draw/entry.ts'
import { leafAt, RecordTree } from '../draw/merkle.ts'
import { parseRules } from '../draw/rules.ts'
import type { DrawPhase, DrawState } from '../store/draw-store.ts'
import { drandBeacon } from '../wire/schemas.ts'
import type { Route } from './gateway.ts'
import type { Call, Services } from './services.ts'

const ENTRIES = 'entries.bin'
const JSON_TYPE = 'application/json'
const BYTES_TYPE = 'application/octet-stream'

/** A window of a drawn round, as it stands. */
interface Shown {
  readonly round: Claims
  readonly window: number
  readonly phase: DrawPhase
  /** Its published files but for the list. */
  readonly files: Readonly<Record<string, Buffer>>
}

async function drawnRound({ lifecycle, store }: Services, id: string): Promise<{ round: Claims; draw: DrawState }> {
  const round = await lifecycle.round(id)
  const draw = round.entries && (await store.draws.state(id))
  if (!draw)
    throw new Refusal('not_found', `round ${id} is not drawn: its mode is ${round.view.config.allocation.mode}`)
  return { round, draw }
}

/** The window that was asked for: the newest whose list is final where none was named, else the open one. */
async function shown(services: Services, { params, query }: Call): Promise<Shown> {
  const { round, draw } = await drawnRound(services, params[0] as string)
  const newest = draw.window > 0 && (draw.phase === 'open' || draw.phase === 'new') ? draw.window - 1 : draw.window
  const window = Number(query.get('window') ?? newest)
  const files = Number.isInteger(window) && window >= 0 ? await services.store.draws.files(round.view.id, window) : {}
  if (window > draw.window || !files['rules.json']) throw new Refusal('not_found', 'there is no such window')
  const phase = window < draw.window ? 'done' : draw.phase
  return { round, window, phase: phase === 'done' && !files['result.json'] ? 'open' : phase, files }
}

/** The list of a window whose commitment stands. */
async function listOf({ store }: Services, { round, window, files }: Shown): Promise<Buffer> {
  const commit = files['commit.json']
  if (!commit) throw new Refusal('not_found', 'the list of this window is not final yet')
  const { n } = (JSON.parse(commit.toString()) as { commit: { n: number } }).commit
  const first = await store.draws.firstOf(round.view.id, window)
  return store.entries.records(round.view.id, first, first + n)
}

/** What the beacon of a window earns, or will earn while its list is not committed yet. */
function trustOf(files: Shown['files']): Trust {
  const { beacon } = parseRules(files['rules.json'] as Buffer)
  if (beacon.kind === 'commit') return 'T2'
  const commit = files['commit.json'] && parseCommit(files['commit.json']).commit
  return !commit || Date.parse(commit.committed_at) < drandTime(beacon.round) ? 'T3' : 'T1'
}

async function reveal({ lifecycle, draws }: Services, { params, body }: Call) {
  const round = await lifecycle.round(params[0] as string)
  await draws.reveal(round, body as DrandBeacon)
  return { status: 200, body: { round_id: round.view.id, state: 'beacon' } }
}

async function showDraw(services: Services, call: Call) {
  const draw = await shown(services, call)
  const { round, window, phase, files } = draw
  const { allocation } = round.view.config
  const list = files['commit.json'] ? { [ENTRIES]: await listOf(services, draw) } : {}
  const rows = Object.entries({ ...files, ...list }).map(([name, bytes]) => ({
    name,
    bytes: bytes.length,
    sha256: sha256(bytes).toString('hex'),
  }))
  const state = phase === 'done' ? 'drawn' : phase
  return {
    status: 200,
    body: { round_id: round.view.id, mode: allocation.mode, window, state, trust: trustOf(files), files: rows },
  }
}

async function showFile(services: Services, call: Call) {
  const name = call.params[1] as string
  const draw = await shown(services, call)
  const content = name === ENTRIES ? await listOf(services, draw) : draw.files[name]
  if (!content) throw new Refusal('not_found', `there is no file ${name} of this window yet`)
  return { status: 200, text: { type: name.endsWith('.json') ? JSON_TYPE : BYTES_TYPE, content } }
}

async function showProof(services: Services, call: Call) {
  const tag = call.query.get('tag') ?? ''
  if (!/^[0-9a-f]{32}$/.test(tag)) throw new Refusal('invalid', 'tag: must be 32 lower case hexadecimal digits')
  const list = await listOf(services, await shown(services, call))
  const index = findTag(list, Buffer.from(tag, 'hex'))
  if (index < 0) throw new Refusal('not_found', 'no entry of this window has that tag')
  const tree = new RecordTree()
  tree.append(list)
  const leaf = Buffer.from(leafAt(list, index)).toString('hex')
  return {
    status: 200,
    body: { index, n: list.length / RECORD_BYTES, leaf, path: tree.path(index), root: tree.root().toString('hex') },
  }
}

async function showKey(services: Services, { params }: Call) {
  await drawnRound(services, params[0] as string)
  const { keyId, publicKey } = services.rounds.signingKey
  return { status: 200, body: { keys: [{ key_id: keyId, public_key: publicKey }] } }
}

const route = (path: string, summary: string, show: Route['handle']): Route => ({
  method: 'get',
  path: `/v1/rounds/{id}/draw${path}`,
  right: 'public',
  summary,
  handle: show,
})

export const DRAW_ROUTES: readonly Route[] = [
  route('', 'The draw of a window: where it stands, the files of its proof', showDraw),
  route('/files/{name}', 'One file of the proof, byte for byte', showFile),
  {
    method: 'post',
    path: '/v1/rounds/{id}/draw/beacon',
    right: 'operate',
    summary: 'The public beacon that a committed list waits for; its signature is verified',
    body: drandBeacon,
    handle: reveal,
  },
  route('/proof', 'That the entry of a tag is in the list: its leaf and the path to the root', showProof),
  route('/key', 'The public keys of receipts and commitments', showKey),
]
