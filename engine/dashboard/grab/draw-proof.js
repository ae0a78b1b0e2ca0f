/**
 * The proof of a draw, checked in the browser: one person's receipt, their place in the committed list, and their result.
 *
 * Hashes, the Ed25519 signature and the one AES block of a score are WebCrypto's, so nothing has to be loaded. The steps are
 * those of `fairgrab draw check`; each ends in a sentence with what was found. What this browser cannot compute (Ed25519
 * in an old one, the pairing of a public beacon in all) is shown as not checked and never as right. The list itself is not asked for:
 * leaf and path have some 1,700 bytes among ten million entries. Rejected: a library for the formats, which one would have to believe.
 */
import {
  bytesOf,
  checkOwner,
  checkSignature,
  hexOf,
  isSigned,
  judged,
  need,
  recordOf,
  rootOf,
  sha256,
  Unchecked,
} from '../../client/receipt-check.ts'

const GENERAL = 'general'
const WAITLIST = 'waitlist'
const LEAF_RECORDS = 64
const RECORD_DIGITS = 34
/** What must have happened before anybody can enter. */
const OPENINGS = ['create', 'open', 'window']

/** The score of a tag: one block of AES-256 under the seed. CBC with a first vector of zeros begins with just that. */
async function scoreOf(seed, tag) {
  const key = await crypto.subtle.importKey('raw', bytesOf(seed), 'AES-CBC', false, ['encrypt'])
  const blocks = await crypto.subtle.encrypt({ name: 'AES-CBC', iv: new Uint8Array(16) }, key, bytesOf(tag))
  return hexOf(blocks).slice(0, 32)
}

/** What a draw gave a receipt: the name of a pool for a seat of it, `waitlist`, or undefined. */
export async function standingOf(receipt, { seed, cutoffs }, { pools, quota_order: order }) {
  const score = await scoreOf(seed, receipt.tag)
  const own = pools[receipt.pool]?.name
  const seats = order === 'general-first' ? [GENERAL, own, WAITLIST] : [own, GENERAL, WAITLIST]
  return seats.find(name => typeof cutoffs[name] === 'string' && score <= cutoffs[name])
}

async function checkCommitment({ files, keys }) {
  const { commit, signature, public_key: key } = files.commit
  need(
    JSON.stringify(commit) === new TextDecoder('utf-8', { fatal: true }).decode(files.commitBytes),
    'The two files of it differ.',
  )
  need(
    keys.some(known => known.public_key === key),
    'It is signed by a key that is not the engine’s.',
  )
  need((await sha256(files.rulesBytes)) === commit.rules_hash, 'The rules are not those that it names.')
  need(await isSigned(files.commitBytes, signature, key), 'Its signature does not hold.')
  const final = new Date(commit.committed_at).toLocaleString()
  return `The list was final at ${final}, with ${commit.n.toLocaleString()} in it.`
}

async function checkInclusion({ receipt, files, proof }) {
  need(proof, 'The list lacks your entry: the promise was broken, and the receipt proves it.')
  const { root, n } = files.commit.commit
  need((await rootOf(proof.leaf, proof.path)) === root, 'Leaf and path do not lead to the committed root.')
  const from = (proof.index % LEAF_RECORDS) * RECORD_DIGITS
  const stands = proof.index < n && proof.leaf.slice(from, from + RECORD_DIGITS) === recordOf(receipt)
  need(stands, 'Another entry stands where yours should.')
  return `Your entry is number ${(proof.index + 1).toLocaleString()} of ${n.toLocaleString()}.`
}

const clock = ms => new Date(ms).toLocaleString()

/** When entries began and ended, and the pauses between, from the changes that the commitment states. */
function timesOf(changes) {
  const rows = changes.map(({ at, change }) => ({ at: Date.parse(at), change }))
  const isSound = rows.at(-1)?.change === 'draw' && rows.every(({ at }, i) => i === 0 || at >= rows[i - 1].at)
  need(isSound, 'Its changes are not those of a window.')
  const openings = rows.filter(({ change }) => OPENINGS.includes(change))
  const doors = rows.filter(row => !openings.includes(row))
  const last = doors.findIndex(({ change }) => change === 'close' || change === 'draw')
  const ending = doors[last - 1]?.change === 'pause' ? doors[last - 1] : doors[last]
  const pauses = doors.flatMap(({ at, change }, i) => {
    const next = doors[i + 1]
    return change === 'pause' && next.change === 'resume' ? [{ from: at, to: next.at }] : []
  })
  return { openings, drawn: rows.at(-1).at, began: Math.max(...openings.map(({ at }) => at)), ended: ending.at, pauses }
}

async function checkTimes({ files: { rules, commit } }) {
  const { changes, committed_at: committed } = commit.commit
  const early = rules.may_end_early
  if (!changes && early === undefined) throw new Unchecked('an older engine; its rules promise no times')
  need(changes, 'It states no times, which its rules demand.')
  const { openings, drawn, began, ended, pauses } = timesOf(changes)
  const awaited = rules.window > 0 ? ['window'] : OPENINGS
  const isWhole = awaited.every(kind => openings.filter(({ change }) => change === kind).length === 1)
  need(isWhole, 'It does not say when the window was opened.')
  const [opens, closes] = [Date.parse(rules.opens_at), Date.parse(rules.closes_at)]
  const late = Math.min(1000, Math.max(100, (closes - opens) / 4))
  need(began <= opens + late, `It opened late: at ${clock(began)} and not at ${clock(opens)}.`)
  need(Date.parse(committed) >= drawn - 1000, `It was committed at ${clock(committed)}, before its list was whole.`)
  need(ended >= closes || early, `It ended early: at ${clock(ended)} and not at ${clock(closes)}.`)
  const pause = pauses.find(({ from, to }) => Math.max(from, opens) < Math.min(to, closes, ended))
  need(!pause, `It was paused at ${clock(pause?.from)}, inside the window.`)
  return `Entries were taken from ${clock(began)} to ${clock(Math.min(ended, closes))}, as the rules say.`
}

/** The bytes that the seed takes of a beacon, in hexadecimal. */
const beaconBytes = ({ secret, signature }) => secret ?? signature

async function checkBeacon({ files: { rules, beacon, commit, result } }) {
  const { rules_hash: hash, root, n } = commit.commit
  const count = new Uint8Array(8)
  new DataView(count.buffer).setBigUint64(0, BigInt(n))
  const seed = await sha256('fairgrab/seed/v1', bytesOf(hash), bytesOf(root), count, bytesOf(beaconBytes(beacon)))
  need(seed === result.seed, 'The seed does not follow from rules, list and beacon.')
  if (beacon.kind === 'drand')
    throw new Unchecked('the seed follows from it; fairgrab draw check verifies drand’s signature')
  need((await sha256(bytesOf(beacon.secret))) === rules.beacon.hash, 'The secret is not the one promised.')
  return 'The secret was fixed before anybody entered, and the seed follows from it.'
}

async function tellResult({ receipt, files }) {
  const standing = await standingOf(receipt, files.result, files.rules)
  if (standing === undefined) return 'Your score is above every cutoff: not drawn.'
  return standing === WAITLIST ? 'Your score is on the waitlist.' : `Your score won a seat of ${standing}.`
}

const RECEIPT_CHECKS = {
  Receipt: ({ receipt, keys }) => checkSignature(receipt, keys),
  Owner: ({ receipt, userId }) => checkOwner(receipt, userId),
}
const DRAW_CHECKS = {
  Commitment: checkCommitment,
  Entry: checkInclusion,
  Times: checkTimes,
  Beacon: checkBeacon,
  Result: tellResult,
}

/**
 * Runs the checks for what is at hand: { receipt, userId, keys }, after the draw also `files` and `proof`.
 * Gives a row for each: { name, verdict: 'holds' | 'fails' | 'not checked', words }.
 */
export async function checkProof(evidence) {
  const checks = { ...RECEIPT_CHECKS, ...(evidence.files ? DRAW_CHECKS : {}) }
  const rows = Object.entries(checks).map(async ([name, check]) => {
    const { verdict, why } = await judged(check(evidence))
    return { name, verdict: verdict === 'unchecked' ? 'not checked' : verdict, words: why }
  })
  return Promise.all(rows)
}
