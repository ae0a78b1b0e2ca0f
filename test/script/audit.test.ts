/**
 * scripts/audit.lua: entries are numbered and chained, one that is sent again counts once, and nothing is refused.
 *
 * The chain is computed a second time here, with Node's SHA-1 over the words as they lie in the stream, as an outsider
 * would who was given the export. What the script does after somebody damaged the log is part of its contract: it
 * goes on, because an operator must be able to stop a release, and the damage stays to be seen.
 */
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import * as keys from '../../engine/store/connection/keys.ts'
import { type AuditEntry, AuditStore } from '../../engine/store/data/audit-store.ts'
import { openScriptRoom } from '../support/script-room.ts'

let room: Awaited<ReturnType<typeof openScriptRoom>>
let audit: AuditStore
beforeAll(async () => {
  room = await openScriptRoom()
  audit = new AuditStore(room.link, room.link, room.scripts)
})
afterAll(() => room[Symbol.asyncDispose]())

const words = (request: string) => ({
  request,
  who: 'operator:0123456789abcdef',
  action: 'POST /v1/rounds/{id}/pause',
  target: '/v1/rounds/rnd_1/pause',
  body: '{"note":"a\\nb"}',
  outcome: 'asked',
})
async function entries(): Promise<readonly AuditEntry[]> {
  const rows: AuditEntry[] = []
  for await (const row of audit.entries()) rows.push(row)
  return rows
}
const chainOf = (before: string, { number, at, request, who, action, target, body, outcome }: AuditEntry) =>
  createHash('sha1').update([before, number, at, request, who, action, target, body, outcome].join('\n')).digest('hex')

test('entries are numbered and chained; one that is sent again counts once', async () => {
  for (const request of ['a', 'b', 'a', 'c', 'b']) await audit.append(words(request))
  const rows = await entries()
  expect(rows.map(({ number, request }) => [number, request])).toEqual([
    ['1', 'a'],
    ['2', 'b'],
    ['3', 'c'],
  ])
  let before = ''
  for (const row of rows) {
    expect(row).toMatchObject(words(row.request))
    expect(row.chain).toBe(chainOf(before, row))
    before = row.chain
  }
  expect(rows.map(({ at }) => Number(at)).toSorted()).toEqual(rows.map(({ at }) => Number(at)))
})

test('a head that was lost is a new beginning that anybody can see, and no reason to refuse', async () => {
  await room.link.request(client => client.del(keys.auditState()))
  await audit.append(words('d'))
  const rows = await entries()
  expect(rows.map(({ number }) => number)).toEqual(['1', '2', '3', '1'])
  expect(rows[3]?.chain).not.toBe(chainOf(rows[2]?.chain ?? '', { ...(rows[3] as AuditEntry), number: '4' }))
})

test('every outcome that the script names was answered', () => {
  const { named, seen } = room.outcomes('audit')
  expect(seen).toEqual(named)
})
