/**
 * I9: asking again changes nothing.
 *
 * All grants that one claimant was told carry one sequence and one set of vouchers, and only one of these answers is
 * the granting (201); the others say that they repeat it. A repeat inside one batch request is exempt: it gets the
 * answer of its twin, which the record shows as the same connection and the same two moments. An answer that did not
 * show its vouchers (hash 0) takes no part.
 *
 * The last check holds the vouchers of different claimants apart. Hashes of 32 bits meet by chance about n²/2³³
 * times, so it counts the meetings and objects beyond six standard deviations: it finds codes that are handed to a
 * whole batch or derived from too little, while a single doubled code is the business of I1-once, as a code follows
 * from the sequence.
 */
import { CODES } from '../../engine/base/codes.ts'
import { type Evidence, tellAnswer } from './evidence.ts'
import type { Check, Finding } from './finding.ts'
import { GRANT, MEANINGS } from './history.ts'

/** All grants told to one claimant have one value in a column; 0 takes no part. */
function lookForChange(evidence: Evidence, finding: Finding, values: Uint32Array): void {
  const { askers, heldRow, run } = evidence
  const { outcome } = run.history.at
  const first = new Uint32Array(heldRow.length)
  for (let i = 0; i < run.history.length; i++) {
    const claimant = askers[i]!
    if (MEANINGS[outcome[i]!] !== GRANT || claimant < 0 || values[i] === 0) continue
    finding.checked++
    if (first[claimant] === 0) first[claimant] = i + 1
    else if (values[first[claimant]! - 1] !== values[i]) {
      finding.violate(() => `${tellAnswer(evidence, i)}; other than ${tellAnswer(evidence, first[claimant]! - 1)}`)
    }
  }
}

function lookForSecondGrant(evidence: Evidence, finding: Finding): void {
  const { askers, heldRow, run } = evidence
  const { outcome, sent, answered, connection } = run.history.at
  const first = new Uint32Array(heldRow.length)
  for (let i = 0; i < run.history.length; i++) {
    const claimant = askers[i]!
    if (outcome[i] !== CODES.granted.number || claimant < 0) continue
    finding.checked++
    const other = first[claimant]! - 1
    if (other < 0) first[claimant] = i + 1
    else if (sent[i] !== sent[other] || answered[i] !== answered[other] || connection[i] !== connection[other]) {
      finding.violate(() => `${tellAnswer(evidence, i)}; and before ${tellAnswer(evidence, other)}`)
    }
  }
}

/** The voucher hash of each claimant who saw his vouchers, one a claimant, ascending. */
function distinctHashes({ askers, heldRow, run }: Evidence): Uint32Array {
  const { outcome, vouchers } = run.history.at
  const seen = new Uint8Array(heldRow.length)
  const hashes = new Uint32Array(run.history.length)
  let count = 0
  for (let i = 0; i < run.history.length; i++) {
    const claimant = askers[i]!
    if (MEANINGS[outcome[i]!] !== GRANT || claimant < 0 || vouchers[i] === 0 || seen[claimant] === 1) continue
    seen[claimant] = 1
    hashes[count++] = vouchers[i]!
  }
  return hashes.subarray(0, count).sort()
}

function lookForSharedVouchers(evidence: Evidence, finding: Finding): void {
  const hashes = distinctHashes(evidence)
  finding.checked = hashes.length
  const chance = (hashes.length * (hashes.length - 1)) / 2 ** 33
  let meetings = 0
  let run = 0
  let longest = { length: 0, hash: 0 }
  for (let i = 1; i < hashes.length; i++) {
    run = hashes[i] === hashes[i - 1] ? run + 1 : 0
    meetings += run
    if (run > longest.length) longest = { length: run, hash: hashes[i]! }
  }
  if (meetings <= chance + 6 * Math.sqrt(chance) + 3) return
  const { vouchers } = evidence.run.history.at
  const one = tellAnswer(evidence, vouchers.indexOf(longest.hash))
  const expectation = `${meetings} pairs share their vouchers, ${chance.toFixed(1)} would by chance`
  finding.violate(() => `${expectation}; ${longest.length + 1} claimants as ${one}`, meetings)
}

export const ANSWER_CHECKS: readonly Check[] = [
  {
    id: 'I9-sequence',
    title: 'Asking again gave the same sequence.',
    look: (evidence, finding) => lookForChange(evidence, finding, evidence.run.history.at.sequence),
  },
  {
    id: 'I9-vouchers',
    title: 'Asking again gave the same vouchers and moment of granting.',
    look: (evidence, finding) => lookForChange(evidence, finding, evidence.run.history.at.vouchers),
  },
  { id: 'I9-once', title: 'A claim was answered as newly granted at most once.', look: lookForSecondGrant },
  {
    id: 'I9-distinct',
    title: 'Different claimants were given different vouchers, up to chance meetings of hashes.',
    look: lookForSharedVouchers,
  },
]
