/**
 * The decoders behind the first one, on mutated inputs: what is inside a token that is signed, what a schema makes of a
 * body that is well formed, messages on Redis's channels, cursors, journals on disk, and the files of a draw that
 * somebody else published. None throws anything but what it declares, and what it accepts is what it says.
 *
 * fuzz.test.ts has those that read a stranger's bytes first; the form is the same (test/support/fuzzing.ts). A journal's
 * record is sealed again after it was changed, since a CRC that is wrong protects the reader from every other mistake.
 * Rejected: whole bundles in the full number; a verification draws the lot again, so the parts are read alone.
 */
import { createHmac } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { expect, test } from 'vitest'
import { UserTokens } from '../../engine/auth/user-tokens.ts'
import { Refusal } from '../../engine/base/assert.ts'
import { realClock } from '../../engine/base/clock.ts'
import { isUserId } from '../../engine/base/holder.ts'
import { grantsRecord, markRecord, readRecords } from '../../engine/campaign/fenced/journal-record.ts'
import { parseBeacon, windowSecret } from '../../engine/draw/beacon.ts'
import { parseCommit } from '../../engine/draw/commitment.ts'
import { BundleError, parsePlain } from '../../engine/draw/json-file.ts'
import { verifyPromotions } from '../../engine/draw/promotions.ts'
import { readReceipt } from '../../engine/draw/receipt.ts'
import { parseResult } from '../../engine/draw/result.ts'
import { parseRules } from '../../engine/draw/rules.ts'
import type { BundleFiles } from '../../engine/draw/verify/bundle.ts'
import { readProof } from '../../engine/draw/verify/receipt-check.ts'
import { verifyBundle } from '../../engine/draw/verify/verification.ts'
import { placeOf } from '../../engine/server/http/lists.ts'
import { ROUTES } from '../../engine/server/routes/routes.ts'
import { readNotice } from '../../engine/store/data/notice.ts'
import { decode, encode, Malformed } from '../../engine/wire/encoding.ts'
import { claim, streamFrame } from '../../engine/wire/schemas.ts'
import { fixedEntries, makeBundle, SECRET, WINDOW_RULES } from '../support/draw-bundle.ts'
import { PATIENCE_MS } from '../support/effort.ts'
import { JWT_SECRET } from '../support/engine.ts'
import { fuzz, INPUTS, must } from '../support/fuzzing.ts'

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))
const signed = (head: Buffer, body: Buffer): string => {
  const text = `${head.toString('base64url')}.${body.toString('base64url')}`
  return `${text}.${createHmac('sha256', JWT_SECRET).update(text).digest('base64url')}`
}

test(
  `${INPUTS} signed headers and claims of tokens: what is proved is what they say`,
  () => {
    const tokens = new UserTokens({ secret: JWT_SECRET, publicKey: '' }, realClock)
    const exp = Math.floor(Date.now() / 1000) + 3600
    const head = json({ alg: 'HS256', typ: 'JWT', kid: 'k' })
    const bodies = [json({ sub: 'u1', exp, region: 'r' }), json({ sub: 'a@b.c', exp, nbf: 1, cohort: 'assisted' })]
    const accepted = fuzz(21, [head, ...bodies], bytes => {
      const asBody = tokens.verify(signed(head, bytes))
      if (asBody) {
        const said = JSON.parse(bytes.toString('utf8')) as { readonly sub: unknown; readonly exp: unknown }
        must(isUserId(asBody.userId) && said.sub === asBody.userId, 'another user')
        must(typeof said.exp === 'number' && asBody.expiresAt === said.exp * 1000, 'another end')
      }
      const asHead = tokens.verify(signed(bytes, bodies[0] as Buffer))
      if (asHead) must((JSON.parse(bytes.toString('utf8')) as { alg: unknown }).alg === 'HS256', 'another algorithm')
      return asBody !== undefined || asHead !== undefined
    })
    expect(accepted).toBeGreaterThan(INPUTS / 100)
  },
  PATIENCE_MS,
)

const FRAMES: readonly object[] = [
  { op: 'subscribe', id: 1, topics: ['stock:rnd_abc'] },
  { op: 'claim', id: 'a', round_id: 'rnd_abc', user_id: 'u1', pool: 'general', slot: 2 },
  { op: 'claims', id: 3, round_id: 'rnd_abc', user_ids: ['u1', 'u2'] },
  { op: 'ping', id: 4 },
]

test.each(['json', 'msgpack'] as const)(
  `${INPUTS} frames of the stream as %s, through their schema`,
  encoding => {
    const known = new Set(FRAMES.flatMap(frame => Object.keys(frame)).concat('nonce', 'salt'))
    const accepted = fuzz(
      22,
      FRAMES.map(frame => encode(frame, encoding)),
      bytes => {
        let value: unknown
        try {
          value = decode(bytes, encoding)
        } catch (cause) {
          if (cause instanceof Malformed) return false
          throw cause
        }
        const { data } = streamFrame.safeParse(value)
        if (!data) return false
        must(
          Object.keys(data).every(name => known.has(name)),
          'a field that no frame has',
        )
        const users = data.op === 'claims' ? data.user_ids : data.op === 'claim' && data.user_id ? [data.user_id] : []
        must(users.every(isUserId), 'an id that is none')
        return true
      },
    )
    expect(accepted).toBeGreaterThan(INPUTS / 100)
  },
  PATIENCE_MS,
)

test(
  `${INPUTS} bodies through every route's schema`,
  () => {
    const pack = [{ template: 't', discount: { type: 'amount_off', amount_off: 1, minimum_amount: 1 }, valid_for_s: 1 }]
    const good = [
      { user_id: 'u1', pool: 'general', slot: 2 },
      { name: 'n', currency: 'CNY', pack, budget: { max_amount: 5 }, timezone: 'Asia/Shanghai' },
      { stock: 5, opens_at: '2026-01-01T00:00:00Z', allocation: { mode: 'window' }, pools: [{ name: 'a', stock: 1 }] },
      { code: 'c', order: { id: 'o', amount: 1, currency: 'CNY' }, merchant_id: 'm', user_id: 'u' },
      { type: 'partial', amount: 1, reason: 'r' },
      { round: 1, signature: 'a'.repeat(96) },
    ]
    const schemas = [claim, ...ROUTES.flatMap(({ body }) => (body ? [body] : []))]
    let at = 0
    const accepted = fuzz(23, good.map(json), bytes => {
      let value: unknown
      try {
        value = decode(bytes, 'json')
      } catch {
        return false
      }
      return schemas.filter(schema => schema.safeParse(value).success).length > 0 && at++ >= 0
    })
    expect(accepted).toBe(at)
    expect(accepted).toBeGreaterThan(INPUTS / 100)
  },
  PATIENCE_MS,
)

test(
  `${INPUTS} messages of a stock channel: a notice has numbers where numbers are`,
  () => {
    const good = [
      '00000000000000aa 812 2 40210 1764151200000 0 0 94000 40210',
      '00000000000000aa 9 3 5 1764151200000 1 2 94 40 5 5 3-9,12-20r;0,4',
    ]
    const accepted = fuzz(
      24,
      good.map(text => Buffer.from(text)),
      bytes => {
        const notice = readNotice(bytes.toString('utf8'))
        if (!notice) return false
        const { version, sequence, at, opensAt, closesAt, pools } = notice
        const numbers = [version, sequence, at, opensAt, closesAt, ...pools.flatMap(pool => [pool.total, pool.granted])]
        must(numbers.every(Number.isSafeInteger), 'a number that is none')
        must(/^[0-9a-f]{16}$/.test(notice.epoch) && pools.length > 0, 'an epoch or pools that are none')
        return true
      },
    )
    expect(accepted).toBeGreaterThan(INPUTS / 100)
  },
  PATIENCE_MS,
)

test(
  `${INPUTS} cursors that are places`,
  () => {
    const accepted = fuzz(
      25,
      ['0', '40211', '999999999999999'].map(text => Buffer.from(text)),
      bytes => {
        try {
          const place = placeOf(new URLSearchParams({ cursor: bytes.toString('latin1') }))
          must(Number.isSafeInteger(place) && place >= 0, 'a place that is none')
          return true
        } catch (cause) {
          if (!(cause instanceof Refusal)) throw cause
          return false
        }
      },
    )
    expect(accepted).toBeGreaterThan(INPUTS / 100)
  },
  PATIENCE_MS,
)

/** Gives the record at the start the CRC and the length of what follows its head. */
function seal(bytes: Buffer): Buffer {
  if (bytes.length < 12) return bytes
  bytes.writeUInt32BE(bytes.length - 12, 4)
  bytes.writeUInt32BE(crc32(bytes.subarray(12)), 8)
  return bytes
}

test(
  `${INPUTS} records of a journal, sealed again: no grant that is none, and damage is reported`,
  () => {
    const epoch = '00000000000000aa'
    const grants = ['u1', 'b/3', 'x'.repeat(68)].map((holder, i) => ({ sequence: i + 1, pool: 0, at: 5, holder }))
    const good = [grantsRecord(0, epoch, grants), markRecord(0, 'joined', epoch)].map(({ bytes }) => bytes)
    const accepted = fuzz(26, good, bytes => {
      const read = readRecords(seal(Buffer.from(bytes)))
      for (const { sequence, holder } of read.grants)
        must(sequence > 0 && /^[A-Za-z0-9._:@|+-]{1,64}(\/\d{1,3})?$/.test(holder), 'a grant that is none')
      return read.sound && read.bytes > 0
    })
    expect(accepted).toBeGreaterThan(INPUTS / 100)
  },
  PATIENCE_MS,
)

/** What reads a file of a bundle says BundleError or nothing. */
function reads(read: () => unknown): boolean {
  try {
    read()
    return true
  } catch (cause) {
    if (!(cause instanceof BundleError)) throw cause
    return false
  }
}

const bundle = (): BundleFiles =>
  makeBundle({
    rules: {
      ...WINDOW_RULES,
      stock: 5,
      pools: [
        { name: 'general', total: 4 },
        { name: 'assisted', total: 1 },
      ],
    },
    entries: fixedEntries(7),
    beacon: { kind: 'commit', secret: windowSecret(SECRET, 3, 100).toString('hex') } as never,
    committedAt: '2026-12-01T10:00:13.000Z',
  })

test(
  `${INPUTS} JSON files of a draw, receipts and proofs`,
  () => {
    const files = bundle()
    const proof = { index: 1, leaf: 'ab'.repeat(17), path: [], root: '0'.repeat(64) }
    const good = [...files.values(), json(proof)].filter(bytes => bytes[0] === 0x7b)
    const plain = (bytes: Buffer) => parsePlain('receipt', bytes)
    const readers: readonly ((bytes: Buffer) => unknown)[] = [
      parseRules,
      parseBeacon,
      parseCommit,
      parseResult,
      bytes => readReceipt(plain(bytes)),
      bytes => readProof(plain(bytes)),
      bytes => verifyPromotions(bytes, { winners: [], waitlist: [], poolOf: () => undefined }),
    ]
    const accepted = fuzz(27, good, bytes => readers.filter(read => reads(() => read(bytes))).length > 0)
    expect(accepted).toBeGreaterThan(0)
  },
  PATIENCE_MS,
)

test(
  `${INPUTS / 20} bundles with one file changed: none passes that says another thing`,
  () => {
    const files = bundle()
    expect(verifyBundle(files).ok).toBe(true)
    const names = [...files.keys()]
    let turn = 0
    fuzz(
      28,
      [...files.values()],
      bytes => {
        const name = names[turn++ % names.length] as string
        const { ok } = verifyBundle(new Map(files).set(name, bytes))
        const ink = (text: Buffer) => text.toString('latin1').replace(/[ \n\r\t]/g, '')
        must(!ok || ink(bytes) === ink(files.get(name) as Buffer), `${name} passes`)
        return ok
      },
      INPUTS / 20,
    )
    expect(turn).toBe(INPUTS / 20)
  },
  PATIENCE_MS,
)
