/**
 * What the generators write and read by hand, against the engine's own codec and at every place where bytes can tear.
 *
 * The bench speaks MessagePack and HTTP by itself to be cheap; these tests are what makes that safe. A difference to
 * the engine's codec, or a response that is torn somewhere else than on the day it was written, fails here.
 */

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { voucherHash } from '../../bench/audit/history.ts'
import { ClaimsFrame, FrameScanner } from '../../bench/load/claims-frame.ts'
import { claimRequest, outcomeOf, sequenceOf, tagHeadOf, vouchersOf } from '../../bench/load/http-generator.ts'
import { ResponseReader } from '../../bench/load/http-response.ts'
import { benchUsers, userIdOf } from '../../bench/load/user-id.ts'
import { CODES, type Code } from '../../engine/base/codes.ts'
import { packResults, scanClaimsFrame } from '../../engine/wire/claims-frame.ts'
import { decode, encode } from '../../engine/wire/encoding.ts'

const seed = Number(process.env.TEST_SEED ?? 1)

test('a claims frame is what the engine reads, frame after frame from the same buffer', () => {
  const frame = new ClaimsFrame('rnd_0123456789abcdef', 512)
  for (const users of [[0, 1, 999_999_999], Array.from({ length: 512 }, (_, user) => user * 1000)]) {
    for (const user of users) frame.add(user)
    const bytes = Buffer.from(frame.finish(70_000))
    const words = { op: 'claims', id: 70_000, round_id: 'rnd_0123456789abcdef', user_ids: users.map(userIdOf) }
    expect(decode(bytes, 'msgpack')).toEqual(words)
    expect(scanClaimsFrame(bytes)).toMatchObject({ id: 70_000, count: users.length })
  }
})

const answer = fc.record({
  outcome: fc.constantFrom(...(['granted', 'replayed', 'sold_out', 'not_open', 'overloaded', 'closed'] as const)),
  sequence: fc.nat({ max: 0xffff_ffff }),
})

test('a results frame as the engine packs it is read exactly, repeats apart from grants', () => {
  const scanner = new FrameScanner()
  fc.assert(
    fc.property(fc.array(answer, { minLength: 1, maxLength: 600 }), fc.nat({ max: 100_000 }), (answers, id) => {
      const outcomes = Uint8Array.from(answers, ({ outcome }) => CODES[outcome].number)
      const sequences = Uint32Array.from(answers, ({ sequence }) => sequence)
      expect(scanner.scan(Buffer.from(packResults(id, { count: answers.length, outcomes, sequences })))).toBe(true)
      const { results } = scanner
      expect([results.id, results.count]).toEqual([id, answers.length])
      expect(results.codes.subarray(0, answers.length)).toEqual(outcomes)
      expect(results.sequences.subarray(0, answers.length)).toEqual(sequences)
    }),
    { seed },
  )
})

test('the ordinary encoding of a results frame is read too, with unknown fields and long numbers', () => {
  const scanner = new FrameScanner()
  const words = {
    op: 'results',
    extra: { a: [1, -2, 3.5, null, true] },
    id: 3,
    outcomes: ['granted', 'no_such_code'],
    sequences: [300, 0],
  }
  expect(scanner.scan(encode(words, 'msgpack'))).toBe(true)
  expect(Array.from(scanner.results.codes.subarray(0, 2))).toEqual([CODES.granted.number, CODES.internal.number])
  expect(Array.from(scanner.results.sequences.subarray(0, 2))).toEqual([300, 0])
})

test('any other frame is read as values, and broken bytes are an error', () => {
  const scanner = new FrameScanner()
  const words = {
    op: 'error',
    id: 6,
    code: 'invalid',
    detail: 'x'.repeat(300),
    list: [1, 70_000, -5, -200, 1.5, '', null, false],
  }
  expect(scanner.scan(encode(words, 'msgpack'))).toBe(false)
  expect(scanner.read(encode(words, 'msgpack'))).toEqual(words)
  expect(() => scanner.scan(encode(words, 'msgpack').subarray(0, 40))).toThrow()
  expect(() => scanner.scan(Buffer.from([0xc1]))).toThrow('does not begin with a map')
})

const ENTERED_BODY = '{"outcome":"entered","receipt":{"tag":"8bd33035d99525778e8ae3e6cce6eb6f","pool":0}}'
const GRANTED = JSON.stringify({
  outcome: 'granted',
  claim: {
    id: 'clm_1',
    round_id: 'rnd_1',
    user_id: 'u000000001',
    pool: 'general',
    slot: 1,
    sequence: 40_211,
    granted_at: '2026-12-01T10:00:00.123Z',
  },
  vouchers: ['AAAA', 'BBBB', 'CCCC'].map(code => ({ code, template: '40-10', state: 'active' })),
})

function response(status: string, body: string, header = 'Content-Length'): Buffer {
  return Buffer.from(
    `HTTP/1.1 ${status}\r\nDate: now\r\nContent-Type: application/json\r\n${header}: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}

test('a response is read whole, and torn at every byte', () => {
  const bytes = response('201 Created', GRANTED)
  for (let cut = 0; cut <= bytes.length; cut++) {
    const reader = new ResponseReader()
    const early = reader.push(Buffer.from(bytes.subarray(0, cut)))
    expect(early).toBe(cut === bytes.length)
    if (!early) expect(reader.push(bytes.subarray(cut))).toBe(true)
    expect([reader.status, reader.body.toString()]).toEqual([201, GRANTED])
  }
})

test('a response may have no body and any case of its headers; one without a length is refused', () => {
  const reader = new ResponseReader()
  expect(reader.push(response('204 No Content', '', 'content-length'))).toBe(true)
  expect([reader.status, reader.body.length]).toEqual([204, 0])
  expect(() => reader.push(Buffer.from('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'))).toThrow(
    'Content-Length',
  )
  expect(() => new ResponseReader().push(Buffer.concat([response('200 OK', 'a'), Buffer.from('b')]))).toThrow(
    'more bytes',
  )
})

test('the outcome is read from the status, or from the code of the problem', () => {
  const problem = (code: Code) =>
    Buffer.from(JSON.stringify({ type: 'about:blank', title: 't', status: CODES[code].status, code }))
  expect(outcomeOf(201, Buffer.from(GRANTED))).toBe(CODES.granted.number)
  expect(outcomeOf(200, Buffer.from(GRANTED))).toBe(CODES.replayed.number)
  expect(outcomeOf(202, Buffer.from(ENTERED_BODY))).toBe(CODES.entered.number)
  for (const code of [
    'sold_out',
    'paused',
    'limit_reached',
    'not_open',
    'closed',
    'overloaded',
    'fenced',
    'unknown',
  ] as const) {
    expect(outcomeOf(CODES[code].status, problem(code))).toBe(CODES[code].number)
  }
  expect(outcomeOf(502, Buffer.from('<html>'))).toBe(CODES.internal.number)
})

test('sequence and vouchers are read from the bytes as the audit reads them from the text', () => {
  expect(sequenceOf(Buffer.from(GRANTED))).toBe(40_211)
  expect(vouchersOf(Buffer.from(GRANTED))).toBe(voucherHash(['AAAA', 'BBBB', 'CCCC'], '2026-12-01T10:00:00.123Z'))
  expect(vouchersOf(Buffer.from('{}'))).toBe(0)
  expect(tagHeadOf(Buffer.from(ENTERED_BODY))).toBe(0x8bd33035)
  expect(tagHeadOf(Buffer.from(GRANTED))).toBe(0)
})

test('a claim request declares the length it has and says where the digits stand', () => {
  const { bytes, digitsAt } = claimRequest({ url: 'http://127.0.0.1:9/base/', key: 'K', roundId: 'rnd_1' })
  const [head = '', body = ''] = bytes.toString().split('\r\n\r\n')
  expect(head).toContain('POST /base/v1/rounds/rnd_1/claims HTTP/1.1')
  expect(head).toContain(`Content-Length: ${body.length}`)
  expect(bytes.toString('latin1', digitsAt, digitsAt + 9)).toBe('000000000')
  expect(JSON.parse(body)).toEqual({ user_id: userIdOf(0) })
})

test('user ids are ten bytes and turn back into indexes; strangers do not', () => {
  const users = benchUsers(1000)
  expect(users.userId(7)).toHaveLength(10)
  expect([0, 7, 999].map(index => users.indexOf(users.userId(index)))).toEqual([0, 7, 999])
  expect(['u000001000', 'u7', 'x000000007', 'u00000000a', ''].map(id => users.indexOf(id))).toEqual([
    -1, -1, -1, -1, -1,
  ])
})
