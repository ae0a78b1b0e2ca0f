/**
 * The script that takes entries of drawn rounds, once more in TypeScript: scripts/enter.lua with its libraries seen and
 * records. What it writes in place is written in place here, too: chunks of the list and buckets of those who entered.
 *
 * test/script/mode-twins.test.ts compares every reply and every key with the Lua, over buckets that meet and that grow.
 */
import type { Call } from './call.ts'
import { NUMBER, noticeOf, readRound, type Script, shutOutcome, word } from './round-state.ts'

const CLAIM = 25
const RECORD = 17
const CHUNK = 3854
const CHUNKS = 3
const SLOT = 10
const FREE = '\xff'.repeat(SLOT)
const NOWHERE = 0xffffffff

const placeIn = (bucket: string, at: number): number =>
  Buffer.from(bucket.slice(at + 6, at + SLOT), 'latin1').readUInt32BE(0)

/** The place of a person's entry, from 1; undefined where there is none. */
function found(bucket: string, digest: string): number | undefined {
  for (let at = bucket.indexOf(digest); at >= 0; at = bucket.indexOf(digest, at + 1)) {
    if (at % SLOT !== 0) continue
    const place = placeIn(bucket, at)
    return place < NOWHERE ? place : undefined
  }
  return undefined
}

/** How many slots of a bucket are used. */
function used(bucket: string): number {
  for (let at = bucket.indexOf(FREE); at >= 0; at = bucket.indexOf(FREE, at + 1)) if (at % SLOT === 0) return at / SLOT
  return bucket.length / SLOT
}

/** The bytes of a bucket that holds at least so many. */
function sizeFor(bytes: number): number {
  let [size, step] = [128, 32]
  while (size - 6 < bytes) {
    size += step
    if (size === 8 * step) step *= 2
  }
  return size - 6 - ((size - 6) % SLOT)
}

/** By bucket, how many slots and bytes it has in this call. */
type Book = Map<string, { used: number; size: number }>

function putSeen(call: Call, book: Book, key: string, [bucket, slot]: readonly [string, string]): void {
  const known = book.get(key) ?? { used: used(bucket), size: bucket.length }
  book.set(key, known)
  const at = known.used * SLOT
  known.used++
  if (at < known.size) return call.write(['setrange', key, [String(at), slot]])
  known.size = sizeFor(at + SLOT)
  const whole = (call.text(key) ?? '').slice(0, at + 1) + slot
  call.write(['set', key, [whole + '\xff'.repeat(known.size - at - SLOT)]])
}

const doesFit = (entries: number, count: number, first: number): boolean =>
  Math.floor(entries / CHUNK) >= first && Math.floor((entries + count - 1) / CHUNK) < first + CHUNKS

/** Writes records behind the first `entries`; `chunks` are the keys from number `first` on. */
function putRecords(call: Call, chunks: readonly string[], first: number, [entries, text]: readonly [number, string]) {
  let [from, n] = [0, entries]
  while (from < text.length) {
    const [key, at] = [chunks[Math.floor(n / CHUNK) - first] as string, n % CHUNK]
    const part = text.slice(from, from + (CHUNK - at) * RECORD)
    if (at === 0) call.write(['setrange', key, [String(CHUNK * RECORD - 1), '\0']])
    call.write(['setrange', key, [String(at * RECORD), part]])
    from += part.length
    n += part.length / RECORD
  }
}

export const enter: Script = (
  call,
  [state = '', drawKey = '', batches = '', ...more],
  [epoch = '', firstChunk, shedAsked, claims = ''],
) => {
  const round = readRound(call, state, epoch)
  const draw = call.hash(drawKey)
  const window = draw?.get('window')
  if (!round || window === undefined) return [NUMBER.fenced]
  const [entries, first, count] = [Number(draw?.get('entries')), Number(firstChunk), claims.length / CLAIM]
  if (entries > 0 && !call.has(batches)) return [NUMBER.fenced]
  if (!doesFit(entries, count, first)) return [NUMBER.wrong_state, noticeOf(round), window, entries]
  const takes = draw?.get('phase') === 'open' && round.now < Number(draw?.get('closes'))
  const shut = shutOutcome(round) ?? (takes ? undefined : NUMBER.not_open)
  const shed = Math.max(Number(draw?.get('shed')), Number(shedAsked))
  const seen = more.slice(CHUNKS)
  const buckets = seen.map(key => call.text(key) ?? '')
  const [fresh, book] = [new Map<string, number>(), new Map() as Book]
  let [records, exceptions] = ['', '']
  for (let i = 0; i < count; i++) {
    const user = claims.slice(i * CLAIM, i * CLAIM + 8)
    const [bucket, digest] = [buckets[i] ?? '', user.slice(2)]
    const place = fresh.get(user) ?? found(bucket, digest)
    if (place !== undefined) exceptions += word(i, 2) + word(NUMBER.replayed, 1) + word(place, 4) + word(0, 1)
    else if (shut === undefined) {
      records += claims.slice(i * CLAIM + 8, (i + 1) * CLAIM)
      const own = entries + records.length / RECORD
      fresh.set(user, own)
      putSeen(call, book, seen[i] as string, [bucket, digest + word(own, 4)])
    }
  }
  if (records !== '') {
    const end = entries + records.length / RECORD
    putRecords(call, more.slice(0, CHUNKS), first, [entries, records])
    call.xadd(batches, end, 'at', round.now, 'window', window)
    call.hset(drawKey, 'entries', end, 'shed', shed)
    call.hset(state, 'last', round.now)
  }
  if (round.turned) call.hset(state, 'state', round.state, 'last', round.now)
  return [NUMBER.granted, noticeOf(round), window, entries, shut ?? NUMBER.entered, exceptions, shed]
}
