/**
 * Draws a list of random entrants as an engine would, in a process of its own: `node draw-run.ts FOLDER ENTRANTS`.
 *
 * It writes the list, then, by the clock, reads it, commits to it, draws it and writes the bundle beside it, and prints
 * {"draw_ms","draw_cpu_ms","proof_bytes"}. A process of its own, because the test runner's modules are not the ones that ship: it
 * turns every imported function into a property that hot loops look up, and they ran at half their speed.
 */
import { randomFillSync } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { seedOf } from '../../engine/draw/allocation.ts'
import { writeCommit } from '../../engine/draw/commitment.ts'
import { sha256 } from '../../engine/draw/digest.ts'
import { proofBytes, RecordTree } from '../../engine/draw/merkle.ts'
import { draw } from '../../engine/draw/result.ts'
import { hashRules, parseRules, writeRules } from '../../engine/draw/rules.ts'
import { proveEntry } from '../../engine/draw/verify/receipt-check.ts'
import { KEY, LOTTERY_RULES, SECRET, writeBundle } from './draw-bundle.ts'
import { RECORD } from './draw-model.ts'

const [folder = '', entrants] = process.argv.slice(2)
const N = Number(entrants)

function writeList(): void {
  const entries = Buffer.allocUnsafe(N * RECORD)
  for (let at = 0; at < entries.length; at += 2 ** 28)
    randomFillSync(entries, at, Math.min(2 ** 28, entries.length - at))
  for (let i = 0; i < N; i++) entries[i * RECORD + RECORD - 1] = i % 100 === 0 ? 1 : 0
  writeFileSync(join(folder, 'entries.bin'), entries)
}

/** Commits, draws and writes what the folder's list gives. */
function drawFolder(): void {
  const entries = readFileSync(join(folder, 'entries.bin'))
  const rules = writeRules({
    ...LOTTERY_RULES,
    stock: 105_000,
    pools: [
      { name: 'general', total: 100_000 },
      { name: 'assisted', total: 5000 },
    ],
    waitlist: 10_000,
    beacon: { kind: 'commit', hash: sha256(SECRET).toString('hex') },
  })
  const tree = new RecordTree()
  tree.append(entries)
  const root = tree.root()
  const rulesHash = hashRules(rules)
  const head = { rules_hash: rulesHash.toString('hex'), n: N, root: root.toString('hex') }
  const commit = writeCommit({ ...head, committed_at: '2023-08-23T15:55:02.000Z' }, KEY)
  const { result } = draw(seedOf({ rulesHash, root, n: N, beacon: SECRET }), entries, parseRules(rules))
  const beacon = { kind: 'commit', secret: SECRET.toString('hex') } as const
  const files = writeBundle({ rules, entries, commit, beacon, result })
  for (const [name, bytes] of files) if (name !== 'entries.bin') writeFileSync(join(folder, name), bytes)
}

/** Bytes of the proof of one entry. */
function proofSize(): number {
  const entries = readFileSync(join(folder, 'entries.bin'))
  const proof = proveEntry(entries, entries.subarray(RECORD, 2 * RECORD - 1))
  return proof ? proofBytes(Buffer.from(proof.leaf, 'hex'), proof.path) : 0
}

writeList()
const [started, before] = [performance.now(), process.cpuUsage()]
drawFolder()
const drawMs = performance.now() - started
const { user, system } = process.cpuUsage(before)
const cpuMs = (user + system) / 1000
console.log(JSON.stringify({ draw_ms: Math.round(drawMs), draw_cpu_ms: Math.round(cpuMs), proof_bytes: proofSize() }))
