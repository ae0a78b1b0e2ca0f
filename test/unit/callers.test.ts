/**
 * Callers: which credential is whom, what each role may, and what a wrong FAIRGRAB_KEYS says.
 *
 * That keys are compared in constant time is a property of the program's text and is asked of its behaviour: what
 * `charCodeAt` is called for must not depend on where a guess is wrong. A stop-watch was rejected, it measures the
 * machine.
 */
import { expect, test } from 'vitest'
import { ANONYMOUS, Callers, may, parseKeys, RIGHTS, type Right, type Role } from '../../engine/auth/callers.ts'
import { UserTokens } from '../../engine/auth/user-tokens.ts'
import { CREDENTIAL_BYTES_MAX, KEYS_MAX } from '../../engine/base/limits.ts'
import { HandClock } from '../support/hand-clock.ts'

const NO_TOKENS = new UserTokens({ secret: '', publicKey: '' }, new HandClock())
const KEYS = 'operator:operator-key,platform:platform-key,merchant:merchant-key,viewer:viewer-key,viewer:second-key'
const callers = (setting = KEYS) => new Callers(parseKeys(setting), NO_TOKENS)

test('each key is its role, under a name that does not tell the key', () => {
  for (const role of ['operator', 'platform', 'merchant', 'viewer']) {
    const caller = callers().of(`${role}-key`)
    expect(caller?.role).toBe(role)
    expect(caller?.id).toMatch(new RegExp(`^${role}:[0-9a-f]{16}$`))
  }
  expect(callers().of('second-key')?.role).toBe('viewer')
  expect(callers().of('second-key')?.id).not.toBe(callers().of('viewer-key')?.id)
  expect(callers().of('operator-key')).toEqual(callers('operator:operator-key').of('operator-key'))
})

test.each([
  'operator-ke',
  'operator-keyy',
  'Operator-key',
  'operator:operator-key',
  'x',
  'a.b.c',
  'k'.repeat(CREDENTIAL_BYTES_MAX + 1),
])('the credential %s is nobody of ours', credential => {
  expect(callers().of(credential)).toBeUndefined()
})

test('the header needs the scheme and one credential; none at all is anonymous', () => {
  expect(callers().ofHeader('')).toBe(ANONYMOUS)
  expect(callers().of('')).toBe(ANONYMOUS)
  for (const scheme of ['Bearer', 'bearer', 'BEARER'])
    expect(callers().ofHeader(`${scheme} viewer-key`)?.role).toBe('viewer')
  for (const header of [
    'Bearer',
    'Bearer  viewer-key',
    'Basic viewer-key',
    'viewer-key',
    'Bearer\tviewer-key',
    'Bearerviewer-key',
  ])
    expect(callers().ofHeader(header), header).toBeUndefined()
})

test('keys that are replaced are nobody’s, by their headers neither', () => {
  const all = callers()
  expect(all.ofHeader('Bearer viewer-key')?.role).toBe('viewer')
  all.replaceKeys(parseKeys('operator:operator-key,merchant:second-key'))
  expect([all.ofHeader('Bearer viewer-key'), all.of('viewer-key')]).toEqual([undefined, undefined])
  expect([all.ofHeader('Bearer second-key')?.role, all.of('operator-key')?.role]).toEqual(['merchant', 'operator'])
})

test('what each role may, as a table', () => {
  const rows: readonly [Role, readonly Right[]][] = [
    ['operator', ['operate', 'claim-any', 'redeem', 'reverse', 'look-up', 'measure', 'read', 'public']],
    ['platform', ['claim-any', 'redeem', 'look-up', 'read', 'public']],
    ['merchant', ['redeem', 'reverse', 'look-up', 'public']],
    ['viewer', ['look-up', 'measure', 'read', 'public']],
    ['user', ['claim-own', 'read-own', 'public']],
    ['anonymous', ['public']],
  ]
  const rights = new Set(Object.values(RIGHTS).flat())
  expect(rows.map(([role]) => role).sort()).toEqual(Object.keys(RIGHTS).sort())
  for (const [role, granted] of rows) {
    const held = [...rights].filter(right => may({ role, id: 'x' }, right))
    expect(held.sort(), role).toEqual([...granted].sort())
  }
})

test('a guess costs the same whether its first or its last character is wrong, or none', () => {
  const key = 'operator-key'
  const one = callers(`operator:${key}`)
  const looked = (guess: string): number => {
    const original = String.prototype.charCodeAt
    let calls = 0
    String.prototype.charCodeAt = function (place: number) {
      calls++
      return original.call(this, place)
    }
    try {
      one.of(guess)
    } finally {
      String.prototype.charCodeAt = original
    }
    return calls
  }
  const right = looked(key)
  expect(right).toBeGreaterThanOrEqual(key.length)
  expect(['Xperator-key', 'operator-keX', 'X'.repeat(12), 'X', 'X'.repeat(400)].map(looked)).toEqual(
    Array(5).fill(right),
  )
})

test("keys may stand among spaces, empty entries do not count, and a merchant's key may name its merchant", () => {
  const spaced = callers(' operator:abcdefgh , merchant:merchant-key:m-1.a , merchant:another-key ,')
  expect(spaced.of('abcdefgh')).toMatchObject({ role: 'operator' })
  expect(spaced.of('merchant-key')).toMatchObject({ role: 'merchant', merchant: 'm-1.a' })
  expect(spaced.of('merchant-key:m-1.a')).toBeUndefined()
  expect(spaced.of('another-key')).not.toHaveProperty('merchant')
  expect(spaced.of('another-key')).not.toHaveProperty('via')
  expect(parseKeys('')).toEqual([])
})

test('a key of any role may have a scope, which is no part of its name', () => {
  const scoped = callers('platform:platform-key:alipay,operator:operator-key:ada,merchant:merchant-key:m1')
  expect(scoped.of('platform-key')).toEqual({ ...callers().of('platform-key'), via: 'alipay' })
  expect(scoped.of('operator-key')).toEqual({ ...callers().of('operator-key'), via: 'ada' })
  expect(scoped.of('merchant-key')).toEqual({ ...callers().of('merchant-key'), via: 'm1', merchant: 'm1' })
  expect(scoped.of('platform-key:alipay')).toBeUndefined()
})

test.each([
  [
    'admin:some-long-key',
    'FAIRGRAB_KEYS: entry 1 has no role; write one of operator, platform, merchant, viewer, a colon and the key',
  ],
  ['operator:operator-key,Viewer:some-long-key', 'FAIRGRAB_KEYS: entry 2 has no role'],
  ['user:some-long-key', 'FAIRGRAB_KEYS: entry 1 has no role'],
  ['anonymous:some-long-key', 'FAIRGRAB_KEYS: entry 1 has no role'],
  ['some-long-key', 'FAIRGRAB_KEYS: entry 1 has no role'],
  [':some-long-key', 'FAIRGRAB_KEYS: entry 1 has no role'],
  ['operator:short', 'FAIRGRAB_KEYS: the key of entry 1 (operator) is shorter than 8 characters'],
  ['operator:', 'FAIRGRAB_KEYS: the key of entry 1 (operator) is shorter than 8 characters'],
  ['viewer:some-long-key,platform', 'FAIRGRAB_KEYS: the key of entry 2 (platform) is shorter than 8 characters'],
  ['operator:some-long-key:a b', 'FAIRGRAB_KEYS: entry 1 (operator) has a scope that is none, or a colon in its key'],
  ['merchant:some-long-key:', 'FAIRGRAB_KEYS: entry 1 (merchant) has a scope that is none, or a colon in its key'],
  ['platform:some-long-key:ali:cmp_1', 'FAIRGRAB_KEYS: entry 1 (platform) has something behind its scope that is no'],
  [
    'operator:ключ-some-long-key',
    'FAIRGRAB_KEYS: the key of entry 1 (operator) has a character that no header carries',
  ],
  ['viewer:some-long-key,operator:some-long-key', 'FAIRGRAB_KEYS: entries 1 and 2 have the same key'],
])('%s stops the start, and the message tells no key', (setting, message) => {
  let said = ''
  try {
    parseKeys(setting)
  } catch (cause) {
    said = (cause as Error).message
  }
  expect(said).toContain(message)
  for (const secret of ['some-long-key', 'short']) expect(said.replace('is shorter', '')).not.toContain(secret)
})

test('there is a most of keys', () => {
  const keys = (count: number) => Array.from({ length: count }, (_, i) => `viewer:some-long-key-${i}`).join(',')
  expect(parseKeys(keys(KEYS_MAX))).toHaveLength(KEYS_MAX)
  expect(() => parseKeys(keys(KEYS_MAX + 1))).toThrow(`there are ${KEYS_MAX + 1} keys, and ${KEYS_MAX} is the most`)
})

test('keys may stand one a line, as a file has them', () => {
  const keys = parseKeys(
    'operator:some-long-key\nplatform:other-long-key:ali\r\n\nviewer:third-long-key,merchant:last-long-key:m1\n',
  )
  expect(keys.map(({ caller: { role, via } }) => [role, via])).toEqual([
    ['operator', undefined],
    ['platform', 'ali'],
    ['viewer', undefined],
    ['merchant', 'm1'],
  ])
})
