/**
 * The audit on sound runs: no false alarm, nothing unchecked, whatever the seed.
 *
 * A false alarm would void an honest benchmark run, so sound histories of many seeds must pass every check, and
 * every check must have had something to look at, else it would be passing on nothing. What is merged from several
 * processes, and read from the engine's NDJSON, must give the same verdict. The planted faults stand in audit-
 * audit-plants.test.ts.
 *
 * Rejected: snapshots of the printed verdict, which would change with every sentence and prove nothing.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { gatherEvidence, type Run } from '../../bench/audit/evidence.ts'
import { Frames } from '../../bench/audit/frames.ts'
import { History, NO_ANSWER } from '../../bench/audit/history.ts'
import { Ledger, readLedger } from '../../bench/audit/ledger.ts'
import { seededUsers } from '../../bench/audit/users.ts'
import { auditRun, printVerdict } from '../../bench/audit/verdict.ts'
import { CODES } from '../../engine/base/codes.ts'
import { effort } from '../support/effort.ts'
import { ledgerChunks, makeRun } from './synthetic.ts'

const SEEDS = [1, 22, 333, 4444, 55_555, 666_666]

async function* inTurn(chunks: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* chunks
}

const REQUESTS = effort(200_000, 1_000_000)

const failures = (run: Run): readonly string[] =>
  auditRun(run).checks.flatMap(({ ok, id, examples }) => (ok ? [] : [id, ...examples]))

describe('a sound run', () => {
  it(`of ${REQUESTS} requests passes, and no check had nothing to look at`, () => {
    const verdict = auditRun(makeRun(7, REQUESTS))
    expect(verdict.checks.filter(check => !check.ok)).toEqual([])
    expect(verdict.checks.filter(check => check.checked === 0)).toEqual([])
    expect(verdict).toMatchObject({ ok: true, claims: REQUESTS })
    expect(printVerdict(verdict)[0]).toMatch(/^✓ audit: one story \([\d,]+ claims/)
  })

  it.each(SEEDS)('of seed %i passes', seed => {
    expect(failures(makeRun(seed, 20_000))).toEqual([])
  })

  it('passes when the histories of several processes arrive in any order', () => {
    const run = makeRun(5, 20_000)
    const parts = Array.from({ length: 4 }, () => new History(1))
    for (let i = 0; i < run.history.length; i++) {
      const entries = Object.entries(run.history.at).map(([name, column]) => [name, column[i]!])
      parts[i % 4]!.push(Object.fromEntries(entries))
    }
    const history = new History(1)
    for (const part of parts.reverse()) history.append(part.toBuffer())
    expect(history.length).toBe(run.history.length)
    expect(failures({ ...run, history })).toEqual([])
  })

  it.each([97, 65_536])('passes with the ledger read from NDJSON in chunks of %i bytes', async bytes => {
    const run = makeRun(5, 20_000)
    const context = { users: run.users, pools: run.round.pools.map(pool => pool.name) }
    const ledger = await readLedger(inTurn(ledgerChunks(run, bytes)), context)
    expect(ledger.length).toBe(run.ledger.length)
    expect(new Uint8Array(ledger.toBuffer())).toEqual(new Uint8Array(run.ledger.toBuffer()))
    expect(failures({ ...run, ledger })).toEqual([])
  })

  it('passes when a fail-over set a run of sequences aside, and only then', () => {
    const run = makeRun(9, 20_000)
    const { ledger, history } = run
    for (const { at, length } of [ledger, history]) {
      for (let i = 0; i < length; i++) if (at.sequence[i]! >= 1000) at.sequence[i]! += 64
    }
    expect(failures({ ...run, setAside: [{ from: 1000, to: 1063 }] })).toEqual([])
    expect(auditRun(run).checks.find(check => check.id === 'I1-gaps')).toMatchObject({ ok: false, violations: 64 })
  })
})

describe('the drawn modes', () => {
  it('do not judge order in time, and still judge who holds what', () => {
    const run = { ...makeRun(3, 20_000), mode: 'drawn' as const }
    const { user, slot } = run.ledger.at
    for (const column of [user, slot]) column.subarray(0, run.ledger.length).reverse()
    const { holders, heldRow, askers } = gatherEvidence(run)
    const { sequence } = run.history.at
    for (let i = 0; i < run.history.length; i++) {
      const row = askers[i]! < 0 ? 0 : heldRow[askers[i]!]!
      if (sequence[i]! > 0) sequence[i] = run.ledger.at.sequence[row - 1]!
    }
    const poolOf = new Map<number, number>()
    for (let i = 0; i < askers.length; i++) poolOf.set(askers[i]!, run.history.at.pool[i]!)
    for (let row = 0; row < run.ledger.length; row++) run.ledger.at.pool[row] = poolOf.get(holders[row]!)!
    expect(failures(run)).toEqual([])
    expect(auditRun({ ...run, mode: 'fcfs' }).checks.find(check => check.id === 'I8-order')?.ok).toBe(false)
    const lost = { ...run, ledger: new Ledger() }
    expect(auditRun(lost).checks.find(check => check.id === 'I3-acked')?.ok).toBe(false)
  })
})

describe('the small print', () => {
  const run = (): Run => ({ ...makeRun(2, 2000), frames: new Frames() })

  it('voids an empty record', () => {
    const state = { total: 5, granted: 0, remaining: 5 }
    const round = { stock: state, pools: [{ name: 'general', ...state }] }
    const nothing = { history: new History(), ledger: new Ledger(), changes: [], ordered: [5] }
    const verdict = auditRun({ ...run(), ...nothing, round })
    expect(verdict.checks.filter(check => !check.ok).map(check => check.id)).toEqual(['H-record'])
  })

  it('shows a dash, not a pass, where there was nothing to look at', () => {
    const lines = printVerdict(auditRun(run()))
    expect(lines.filter(line => line.startsWith('–')).map(line => line.split(/\s+/)[1])).toEqual([
      'I6-version',
      'I6-stock',
      'I6-name',
    ])
  })

  it('takes a repeat inside one batch request for the same answer, not for a second granting', () => {
    const sound = run()
    const { at } = sound.history
    const granting = at.outcome.indexOf(CODES.granted.number, 500)
    const repeat = Object.fromEntries(Object.entries(at).map(([name, column]) => [name, column[granting]!]))
    sound.history.push(repeat as Parameters<History['push']>[0])
    expect(failures(sound)).toEqual([])
    sound.history.at.connection[sound.history.length - 1]! ^= 1
    expect(failures(sound)[0]).toBe('I9-once')
  })

  it('excuses a refusal while an addition of stock is in flight, and a grant that follows it', () => {
    const sound = run()
    const change = sound.changes[0]!
    const refused = {
      user: sound.users.count - 1,
      slot: 1,
      pool: change.pool,
      sent: change.sent - 10,
      answered: change.answered + 10,
    }
    sound.history.push({ ...refused, outcome: CODES.sold_out.number, sequence: 0, vouchers: 0, connection: 0 })
    expect(failures(sound)).toEqual([])
  })

  it('goes through a file and back, behind what is already there', async () => {
    const { history } = run()
    const directory = await mkdtemp(join(tmpdir(), 'fairgrab-audit-'))
    try {
      await history.save(join(directory, 'history.bin'))
      const twice = new History()
      for (let i = 0; i < 2; i++) await twice.load(join(directory, 'history.bin'))
      expect(twice.length).toBe(2 * history.length)
      for (const start of [0, history.length]) {
        const read = twice.at.answered.slice(start, start + history.length)
        expect(read).toEqual(history.at.answered.slice(0, history.length))
      }
    } finally {
      await rm(directory, { recursive: true })
    }
  })

  it('refuses a record that is torn or of another shape', () => {
    const buffer = run().history.toBuffer()
    expect(() => new History().append(buffer.slice(0, -8))).toThrow('torn')
    expect(() => new Ledger().append(buffer)).toThrow('another shape')
    expect(() => new History().append(new ArrayBuffer(64))).toThrow('not a record')
    expect(() => new History().append(new ArrayBuffer(3))).toThrow('shorter')
  })

  it('refuses a ledger whose export breaks off in the middle of a row', async () => {
    const sound = makeRun(2, 2000)
    const [chunk] = ledgerChunks(sound, 500)
    const context = { users: sound.users, pools: ['general', 'assisted', 'staff'] }
    await expect(readLedger(inTurn([chunk!]), context)).rejects.toThrow()
    const row = new TextEncoder().encode(
      '{"sequence":-1,"user_id":"u","slot":1,"pool":"general","granted_at":"2026-12-01T10:00:00.000Z"}\n',
    )
    await expect(readLedger(inTurn([row]), context)).rejects.toThrow('is not a grant')
  })

  it('keeps silence apart from every outcome of the table', () => {
    expect(Object.values(CODES).map(code => code.number)).not.toContain(NO_ANSWER)
  })
})

describe('the names of users', () => {
  it('go there and back for every index, and strangers are strangers', () => {
    const users = seededUsers(77, 40_000)
    for (let index = 0; index < users.count; index++) expect(users.indexOf(users.userId(index))).toBe(index)
    const beyond = seededUsers(77, 46_656).userId(40_000)
    const last = users.userId(39_999)
    for (const id of [
      '',
      'u1',
      beyond,
      `${last}0`,
      last.slice(0, -1),
      last.toUpperCase(),
      last.replace('u', 'v'),
      `${last.slice(0, -1)}-`,
    ]) {
      expect(users.indexOf(id), id).toBe(-1)
    }
    expect(seededUsers(78, 40_000).indexOf(last)).toBe(-1)
  })
})
