/**
 * The published files of a draw as the browser gets them: rules, commitment, beacon, result, the proof of one entry, and
 * the keys that sign. All of it is public, so no credential goes along.
 *
 * A file is kept as its bytes where they are hashed and read as JSON where they are looked at. What is not there yet is
 * undefined; the list of entries is never asked for. Rejected: asking for everything when the page opens. A million
 * people look at a round and few of them check it, and the frame that brings a result has all that a person's own result needs.
 */
import { ask, succeeded } from './engine-api.js'

const pathOf = (roundId, rest) => `/v1/rounds/${encodeURIComponent(roundId)}/draw${rest}`

async function bytesOf(roundId, window, name) {
  const answer = await ask('GET', pathOf(roundId, `/files/${name}?window=${window}`))
  return succeeded(answer) ? answer.bytes : undefined
}

const read = bytes => bytes && JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))

/** The rules of a window, or undefined. */
export const rulesOf = async (roundId, window) => read(await bytesOf(roundId, window, 'rules.json'))

/** The public keys of receipts and commitments. */
export async function keysOf(roundId) {
  const answer = await ask('GET', pathOf(roundId, '/key'))
  return succeeded(answer) ? answer.body.keys : []
}

/** Where a draw stands: { window, state, trust, files }, or undefined for a round that is not drawn. */
export async function drawOf(roundId) {
  const answer = await ask('GET', pathOf(roundId, ''))
  return succeeded(answer) ? answer.body : undefined
}

/** The commitment of a window, or undefined: { commit: { n, … }, … }. */
export const commitOf = async (roundId, window) => read(await bytesOf(roundId, window, 'commit.json'))

/** Everything that the check of one receipt needs; undefined while the draw is not over. */
export async function drawnFiles({ round_id: roundId, window, tag }) {
  const names = ['rules.json', 'commit.json', 'commit.bytes', 'beacon.json', 'result.json']
  const files = await Promise.all(names.map(name => bytesOf(roundId, window, name)))
  if (files.includes(undefined)) return undefined
  const [rulesBytes, commit, commitBytes, beacon, result] = files
  const proof = await ask('GET', pathOf(roundId, `/proof?window=${window}&tag=${tag}`))
  return {
    files: {
      rulesBytes,
      rules: read(rulesBytes),
      commit: read(commit),
      commitBytes,
      beacon: read(beacon),
      result: read(result),
    },
    proof: succeeded(proof) ? proof.body : undefined,
  }
}
