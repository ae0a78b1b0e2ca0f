/**
 * The verifier: a bundle's promises checked one by one, each with a line that passes or says what is wrong and where.
 *
 * A check is a function that returns what it found or throws BundleError, so a broken file fails the checks that need it
 * and no others. Nothing that the bundle says about itself is believed: root, seed, winners, waitlist and cutoffs are
 * computed again, and the written result is only compared. What a bundle alone cannot show is whether the key is the
 * engine's (`publicKey` pins it) and whether there is another result for the same draw (`compareResults`).
 * Rejected: stopping at the first failure; which checks fail together shows what was changed.
 */
import { TRUST_WORDS, type Trust } from '../beacon.ts'
import { verifyCommit } from '../commitment.ts'
import { countRecords, poolAt, RECORD_BYTES, tagAt } from '../entry.ts'
import { BundleError } from '../json-file.ts'
import { RecordTree } from '../merkle.ts'
import { verifyPromotions } from '../promotions.ts'
import { hashRules, windowOf } from '../rules.ts'
import { ScoreOrder } from '../score-order.ts'
import { judgeTimes } from '../times.ts'
import {
  BUNDLE_FILES,
  type BundleFiles,
  type BundleParts,
  bundleParts,
  PROMOTIONS_FILE,
  REQUIRED_FILES,
} from './bundle.ts'

/** One line of a verdict; `detail` says what was found, or what is wrong and where. */
export interface Check {
  readonly name: string
  readonly ok: boolean
  readonly detail: string
}

export interface Verdict {
  readonly ok: boolean
  readonly checks: readonly Check[]
  /** Undefined when the beacon does not hold. */
  readonly trust: Trust | undefined
}

/** Runs named checks in order; only BundleError is a failure, all else is a bug and goes on. */
export function runChecks(checks: readonly (readonly [string, () => string])[]): readonly Check[] {
  return checks.map(([name, run]) => {
    try {
      return { name, ok: true, detail: run() }
    } catch (cause) {
      if (cause instanceof BundleError) return { name, ok: false, detail: cause.message }
      throw cause
    }
  })
}

function checkFiles(files: BundleFiles): string {
  for (const name of REQUIRED_FILES) if (!files.has(name)) throw new BundleError(name, 'is missing')
  for (const name of files.keys())
    if (!BUNDLE_FILES.includes(name))
      throw new BundleError(name, 'is no file of a bundle; a draw has one list, one commitment and one result')
  return `${files.size} files`
}

function checkRules({ bytes, rules, commit }: BundleParts): string {
  const found = hashRules(bytes('rules.json')).toString('hex')
  const { rules_hash, window } = commit().commit
  if (found !== rules_hash)
    throw new BundleError('rules.json', `has SHA-256 ${found}, and the commitment ${rules_hash}`)
  if ((window ?? 0) !== windowOf(rules()))
    throw new BundleError('commit.json', `is of window ${window ?? 0}, and the rules of window ${windowOf(rules())}`)
  return `${rules().mode} round ${rules().round_id}, window ${windowOf(rules())}, SHA-256 ${found}`
}

function checkCount({ bytes, commit }: BundleParts): string {
  const { length } = bytes('entries.bin')
  const { n } = commit().commit
  if (countRecords(bytes('entries.bin')) !== n)
    throw new BundleError('entries.bin', `has ${length / RECORD_BYTES} entries, and the commitment ${n}`)
  return `${n} entries`
}

function checkPools({ entries, rules }: BundleParts): string {
  const { length } = entries()
  return `all ${length / RECORD_BYTES} entries are of the ${rules().pools.length} pools`
}

function checkRoot({ bytes, commit }: BundleParts): string {
  const entries = bytes('entries.bin')
  if (countRecords(entries) === undefined) throw new BundleError('entries.bin', 'is not whole records')
  const tree = new RecordTree()
  tree.append(entries)
  const found = tree.root().toString('hex')
  const { root } = commit().commit
  if (found !== root) throw new BundleError('entries.bin', `has the root ${found}, and the commitment ${root}`)
  return found
}

/** The order under the seed when there is one; otherwise any key shows the same duplicates. */
function anyOrder({ order, entries }: BundleParts): ScoreOrder {
  try {
    return order()
  } catch (cause) {
    if (!(cause instanceof BundleError)) throw cause
    return new ScoreOrder(new Uint8Array(32), entries())
  }
}

function checkDuplicates(parts: BundleParts): string {
  const twins = anyOrder(parts).findTwins()
  if (twins)
    throw new BundleError(
      'entries.bin',
      `entries ${twins[0]} and ${twins[1]} have the tag ${tagAt(parts.entries(), twins[0])}`,
    )
  return 'no tag stands there twice'
}

function checkSignature({ bytes, commit }: BundleParts, publicKey: string | undefined): string {
  const file = commit()
  verifyCommit(file, bytes('commit.bytes'))
  if (publicKey !== undefined && publicKey !== file.public_key)
    throw new BundleError(
      'commit.json',
      `is signed by ${file.public_key}, and not by the key that was asked for, ${publicKey}`,
    )
  return `signed by ${file.public_key}${publicKey === undefined ? '' : ', the key that was asked for'}`
}

/** What the commitment states of the window's times, held against the rules. Throws BundleError. */
export function checkTimes({ rules, commit }: Pick<BundleParts, 'rules' | 'commit'>): string {
  const { changes, committed_at } = commit().commit
  if (changes === undefined) {
    if (rules().may_end_early === undefined)
      return 'NOT STATED: by rules of an older engine; that nothing was paused or ended early has to be believed'
    throw new BundleError('commit.json', 'states no changes of the window, which its rules demand: they were taken out')
  }
  const { flaws, summary } = judgeTimes(changes, rules(), committed_at)
  if (flaws.length > 0) throw new BundleError('commit.json', flaws.join('; '))
  return summary
}

function checkSeed({ seed, isSame, result }: BundleParts): string {
  const found = seed().toString('hex')
  if (!isSame() && result().seed !== found)
    throw new BundleError('result.json', `has the seed ${result().seed}, and the draw ${found}`)
  return found
}

/** The first place, counted from 1, where two lists differ. */
function compareRows(what: string, written: readonly string[], count: number, rowOf: (i: number) => string): void {
  for (let i = 0; i < Math.max(written.length, count); i++) {
    const drawn = i < count ? rowOf(i) : 'nobody'
    const row = written[i] ?? 'missing'
    if (row !== drawn) throw new BundleError('result.json', `${what} ${i + 1} is ${row}, and the draw gives ${drawn}`)
  }
}

/** The rows of the draw made again, as result.json writes them. */
function drawnRows({ drawn, entries, rules }: BundleParts) {
  const { winners, seats, waitlist } = drawn().allocation
  const { pools } = rules()
  return {
    winners: winners.length,
    winnerAt: (i: number) => `${tagAt(entries(), winners[i] as number)}:${pools[seats[i] as number]?.name}`,
    waiting: waitlist.length,
    waitingAt: (i: number) => tagAt(entries(), waitlist[i] as number),
    poolOfWaiting: (i: number) => pools[poolAt(entries(), waitlist[i] as number)]?.name as string,
  }
}

function checkWinners(parts: BundleParts): string {
  const { winners, winnerAt } = drawnRows(parts)
  if (!parts.isSame()) compareRows('winner', parts.result().winners, winners, winnerAt)
  return `${winners} winners in order`
}

function checkWaitlist(parts: BundleParts): string {
  const { waiting, waitingAt } = drawnRows(parts)
  if (!parts.isSame()) compareRows('place on the waitlist', parts.result().waitlist, waiting, waitingAt)
  return `${waiting} waiting in order`
}

function checkCutoffs({ drawn, isSame, result }: BundleParts): string {
  const { cutoffs } = drawn()
  const written = isSame() ? cutoffs : result().cutoffs
  for (const pool of new Set([...Object.keys(cutoffs), ...Object.keys(written)]))
    if (cutoffs[pool] !== written[pool])
      throw new BundleError(
        'result.json',
        `the cutoff of ${pool} is ${written[pool]}, and the draw gives ${cutoffs[pool]}`,
      )
  return Object.entries(cutoffs)
    .map(([pool, score]) => `${pool} ${score === null ? 'no seats' : `${score.slice(0, 8)}…`}`)
    .join(', ')
}

/** Promotions are held against the draw made again, so a wrong result.json cannot make them right. */
function checkPromotions(parts: BundleParts, log: Buffer | undefined): string {
  if (!log || log.length === 0) return 'none'
  if (parts.rules().mode !== 'lottery') throw new BundleError(PROMOTIONS_FILE, 'only a lottery has promotions')
  const rows = drawnRows(parts)
  const winners = Array.from({ length: rows.winners }, (_, i) => rows.winnerAt(i))
  const waitlist = Array.from({ length: rows.waiting }, (_, i) => rows.waitingAt(i))
  const pools = new Map(waitlist.map((tag, i) => [tag, rows.poolOfWaiting(i)]))
  const count = verifyPromotions(log, { winners, waitlist, poolOf: tag => pools.get(tag) })
  return `${count} ${count === 1 ? 'seat' : 'seats'} went down the waitlist in order`
}

/** Verifies the bundle of one draw. `publicKey` (hexadecimal) pins the key that must have signed the commitment. */
export function verifyBundle(files: BundleFiles, { publicKey }: { readonly publicKey?: string } = {}): Verdict {
  const parts = bundleParts(files)
  const checks = runChecks([
    ['files', () => checkFiles(files)],
    ['rules', () => checkRules(parts)],
    ['count', () => checkCount(parts)],
    ['pools', () => checkPools(parts)],
    ['root', () => checkRoot(parts)],
    ['duplicates', () => checkDuplicates(parts)],
    ['signature', () => checkSignature(parts, publicKey)],
    ['times', () => checkTimes(parts)],
    ['beacon', () => TRUST_WORDS[parts.beacon().trust]],
    ['seed', () => checkSeed(parts)],
    ['winners', () => checkWinners(parts)],
    ['waitlist', () => checkWaitlist(parts)],
    ['cutoffs', () => checkCutoffs(parts)],
    ['promotions', () => checkPromotions(parts, files.get(PROMOTIONS_FILE))],
  ])
  const beacon = checks.find(({ name }) => name === 'beacon')
  return { ok: checks.every(({ ok }) => ok), checks, trust: beacon?.ok ? parts.beacon().trust : undefined }
}

/** Whether two bundles say one thing of the same draw; two commitments or results for it are one too many. */
export function compareResults(first: BundleFiles, second: BundleFiles): Check {
  const [check] = runChecks([
    [
      'one result',
      () => {
        const [a, b] = [bundleParts(first).rules(), bundleParts(second).rules()]
        const draw = `round ${b.round_id}, window ${windowOf(b)}`
        if (a.round_id !== b.round_id || windowOf(a) !== windowOf(b)) return 'the bundles are of two draws'
        for (const name of REQUIRED_FILES)
          if (!first.get(name)?.equals(second.get(name) ?? Buffer.alloc(0)))
            throw new BundleError(name, `there is a second one for ${draw}; the first that was published stands`)
        return `both bundles say the same of ${draw}`
      },
    ],
  ])
  return check as Check
}
