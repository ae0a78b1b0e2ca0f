/**
 * User tokens: two kinds are good, everything else proves nothing.
 *
 * BAD is a table of attacks and accidents (RFC 8725 names most of them). Each row signs with the real keys unless it
 * is about the signature, so that it is refused for its own reason and not for a wrong key: the row above the table
 * checks that the same way of making tokens gives a good one.
 */
import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { expect, test } from 'vitest'
import { type TokenKeys, UserTokens } from '../../engine/auth/user-tokens.ts'
import { CREDENTIAL_BYTES_MAX } from '../../engine/base/limits.ts'
import { HandClock } from '../support/hand-clock.ts'

const SECRET = 'a secret of more than 32 bytes, for tests'
const { publicKey, privateKey } = generateKeyPairSync('ed25519')
const other = generateKeyPairSync('ed25519')
const PEM = publicKey.export({ type: 'spki', format: 'pem' }).toString()
const clock = new HandClock()
const NOW_S = clock.wallMs() / 1000
const LEEWAY_S = 60

const part = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
const GOOD = { sub: 'u1', exp: NOW_S + 600 }
type Signer = (text: string) => Buffer
const hs =
  (key: string | Buffer, hash = 'sha256'): Signer =>
  text =>
    createHmac(hash, key).update(text).digest()
const ed =
  (key: KeyObject): Signer =>
  text =>
    sign(null, Buffer.from(text), key)

interface Parts {
  readonly header?: unknown
  readonly body?: unknown
  readonly signer?: Signer
}

function token({ header = { alg: 'HS256' }, body = GOOD, signer = hs(SECRET) }: Parts = {}): string {
  const text = `${part(header)}.${part(body)}`
  return `${text}.${signer(text).toString('base64url')}`
}
/** A token whose claims have other bytes in the place of two characters. */
function spoilt(body: object, bytes: string): string {
  const claims = Buffer.from(JSON.stringify(body).replace('~~', bytes), 'latin1').toString('base64url')
  const text = `${part({ alg: 'HS256' })}.${claims}`
  return `${text}.${hs(SECRET)(text).toString('base64url')}`
}
const both = (): UserTokens => new UserTokens({ secret: SECRET, publicKey: PEM }, clock)
const dot = (text: string, place: number): [string, string] => {
  const parts = text.split('.')
  return [parts.slice(0, place).join('.'), parts.slice(place).join('.')]
}

test.each([
  ['HS256', token()],
  ['HS256 with its type', token({ header: { typ: 'JWT', alg: 'HS256', kid: 'k1' } })],
  ['HS256 as an access token', token({ header: { typ: 'at+jwt', alg: 'HS256' } })],
  ['HS256 with its type in small letters', token({ header: { typ: 'jwt', alg: 'HS256' } })],
  ['HS256 with its type in full', token({ header: { typ: 'Application/AT+JWT', alg: 'HS256' } })],
  ['EdDSA', token({ header: { alg: 'EdDSA' }, signer: ed(privateKey) })],
  ['times at the edge of the leeway', token({ body: { ...GOOD, exp: NOW_S - LEEWAY_S + 1, nbf: NOW_S + LEEWAY_S } })],
  [
    'names that look alike in texts and in other objects',
    token({ body: { ...GOOD, a: '"sub":"u2",', b: [{ sub: 'x' }] } }),
  ],
  ['claims that nobody asked for', token({ body: { ...GOOD, aud: 'x', iss: ['y'], admin: true, role: 'operator' } })],
])('good: %s', (_, text) => {
  for (let i = 0; i < 2; i++) expect(both().verify(text)?.userId).toBe('u1')
})

test('what a token proves is its user, his region and cohort, its end, and nothing else', () => {
  const body = { ...GOOD, region: 'hz', cohort: 'assisted', role: 'operator', expiresAt: 1 }
  expect(both().verify(token({ body }))).toEqual({
    userId: 'u1',
    region: 'hz',
    cohort: 'assisted',
    expiresAt: GOOD.exp * 1000,
  })
  expect(both().verify(token())).toEqual({ userId: 'u1', expiresAt: GOOD.exp * 1000 })
})

const good = token()
const [head, rest] = dot(good, 1)
const [body64, signature] = dot(rest, 1)
const spki = publicKey.export({ type: 'spki', format: 'der' })
const empty: Signer = () => Buffer.alloc(0)
const withBody = (more: object): string => token({ body: { ...GOOD, ...more } })
const withHeader = (more: object): string => token({ header: { alg: 'HS256', ...more } })

const BAD: readonly (readonly [string, string])[] = [
  ['alg none without a signature', token({ header: { alg: 'none' }, signer: empty })],
  ['alg none with a signature', token({ header: { alg: 'none' } })],
  ['alg None', token({ header: { alg: 'None' } })],
  ['alg nOnE, empty signature', token({ header: { alg: 'nOnE' }, signer: empty })],
  ['no alg', token({ header: { typ: 'JWT' } })],
  ['alg null', token({ header: { alg: null } })],
  ['alg as a list', token({ header: { alg: ['HS256'] } })],
  ['alg hs256', token({ header: { alg: 'hs256' } })],
  ['HS384', token({ header: { alg: 'HS384' }, signer: hs(SECRET, 'sha384') })],
  ['HS512', token({ header: { alg: 'HS512' }, signer: hs(SECRET, 'sha512') })],
  ['RS256 signed with the secret', token({ header: { alg: 'RS256' } })],
  ['ES256 signed with the secret', token({ header: { alg: 'ES256' } })],
  ['Ed25519 as an algorithm name', token({ header: { alg: 'Ed25519' }, signer: ed(privateKey) })],
  ['HS256 keyed with the public PEM', token({ signer: hs(PEM) })],
  ['HS256 keyed with the public PEM, trimmed', token({ signer: hs(PEM.trim()) })],
  ['HS256 keyed with the public key bytes', token({ signer: hs(spki.subarray(-32)) })],
  ['HS256 keyed with nothing', token({ signer: hs('') })],
  ['HS256 with another secret', token({ signer: hs(`${SECRET}.`) })],
  ['EdDSA signed with the secret', token({ header: { alg: 'EdDSA' } })],
  ['EdDSA with another key', token({ header: { alg: 'EdDSA' }, signer: ed(other.privateKey) })],
  ['EdDSA with zeros', token({ header: { alg: 'EdDSA' }, signer: () => Buffer.alloc(64) })],
  ['EdDSA claiming HS256', token({ signer: ed(privateKey) })],
  [
    'a key in its header',
    token({ header: { alg: 'EdDSA', jwk: other.publicKey.export({ format: 'jwk' }) }, signer: ed(other.privateKey) }),
  ],
  ['a critical extension', withHeader({ crit: ['exp'] })],
  ['an empty list of critical extensions', withHeader({ crit: [] })],
  ['unencoded payload', withHeader({ b64: false, crit: ['b64'] })],
  ['another type', withHeader({ typ: 'secevent+jwt' })],
  ['a type that is a number', withHeader({ typ: 1 })],
  ['a type that only ends like one', withHeader({ typ: 'text/jwt' })],
  ['no signature', `${head}.${body64}.`],
  ['no third part', `${head}.${body64}`],
  ['four parts', `${good}.x`],
  ['five parts, as an encrypted one', `${good}.x.y`],
  ['a dot in front', `.${good}`],
  ['two dots', '..'],
  ['dots only in the middle', `${head}..${signature}`],
  ['nothing', ''],
  ['a truncated signature', good.slice(0, -2)],
  ['a signature that goes on', `${good}AA`],
  ['a changed signature', good.slice(0, -3) + (good.at(-3) === 'A' ? 'B' : 'A') + good.slice(-2)],
  ['a padded signature', `${good}=`],
  ['a signature in standard base64', `${head}.${body64}.++//${signature.slice(4)}`],
  ['spaces around', ` ${good} `],
  ['a new line at the end', `${good}\n`],
  ['a header that is not base64', `!!!!.${rest}`],
  ['a header that is not JSON', token({ header: '{alg:HS256}' })],
  ['a header that is a list', token({ header: ['HS256'] })],
  ['a header that is null', token({ header: 'null' })],
  ['a header that is a number', token({ header: '1' })],
  ['an alg by prototype', token({ header: '{"__proto__":{"alg":"HS256"}}' })],
  ['another body under the same signature', `${head}.${part({ ...GOOD, sub: 'u2' })}.${signature}`],
  ['another header under the same signature', `${part({ alg: 'HS256', kid: 'x' })}.${rest}`],
  ['a body that is not JSON', token({ body: '{"sub":' })],
  ['a body that is a list', token({ body: [GOOD] })],
  ['a body that is a text', token({ body: '"u1"' })],
  ['a body that is null', token({ body: 'null' })],
  ['a cohort in GBK', spoilt({ ...GOOD, cohort: '~~' }, '\xc4\xe3')],
  ['a cohort that is half of a pair', token({ body: `{"sub":"u1","exp":${GOOD.exp},"cohort":"\\ud83d"}` })],
  ['a sub by prototype', token({ body: `{"__proto__":{"sub":"u1"},"exp":${GOOD.exp}}` })],
  ['no sub', token({ body: { exp: GOOD.exp } })],
  ['an empty sub', withBody({ sub: '' })],
  ['a sub that is a number', withBody({ sub: 7 })],
  ['a sub that is a list', withBody({ sub: ['u1'] })],
  ['a sub with a slash', withBody({ sub: 'u1/2' })],
  ['a sub with a brace', withBody({ sub: 'u{1}' })],
  ['a sub with a line end', withBody({ sub: 'u1\r\nx' })],
  ['a sub beyond ASCII', withBody({ sub: 'ü1' })],
  ['a sub of 65 characters', withBody({ sub: 'u'.repeat(65) })],
  ['no exp', token({ body: { sub: 'u1' } })],
  ['an exp that is a text', withBody({ exp: String(GOOD.exp) })],
  ['an exp that is null', withBody({ exp: null })],
  ['an endless exp', token({ body: '{"sub":"u1","exp":1e999}' })],
  ['an exp in milliseconds', withBody({ exp: GOOD.exp * 1000 })],
  ['expired', withBody({ exp: NOW_S - LEEWAY_S })],
  ['expired long ago', withBody({ exp: 1 })],
  ['a negative exp', withBody({ exp: -1 })],
  ['not valid yet', withBody({ nbf: NOW_S + LEEWAY_S + 1 })],
  ['an nbf that is a text', withBody({ nbf: '1' })],
  ['an nbf that is null', withBody({ nbf: null })],
  ['a region that is a number', withBody({ region: 1 })],
  ['a region that is too long', withBody({ region: 'x'.repeat(65) })],
  ['a cohort that is a list', withBody({ cohort: ['assisted'] })],
  ['a sub that is said twice', token({ body: `{"sub":"u2","sub":"u1","exp":${GOOD.exp}}` })],
  ['a sub that is said twice, once in disguise', token({ body: `{"sub":"u2","s\\u0075b":"u1","exp":${GOOD.exp}}` })],
  ['an alg that is said twice', token({ header: '{"alg":"none","alg":"HS256"}' })],
  ['a name said twice deep inside', token({ body: `{"sub":"u1","exp":${GOOD.exp},"x":[{"y":1,"y":1}]}` })],
  ['an unknown alg beside a kid', token({ header: { alg: 'PS256', kid: 'k1' } })],
  ['too long', withBody({ more: 'x'.repeat(CREDENTIAL_BYTES_MAX) })],
]

test('the table of bad tokens is long enough', () => {
  expect(BAD.length).toBeGreaterThanOrEqual(40)
  expect(new Set(BAD.map(([, text]) => text)).size).toBe(BAD.length)
})

test.each(BAD)('bad: %s', (_, text) => {
  const tokens = both()
  for (let i = 0; i < 2; i++) expect(tokens.verify(text)).toBeUndefined()
})

test('each key verifies its own algorithm only, and none verifies nothing', () => {
  const eddsa = token({ header: { alg: 'EdDSA' }, signer: ed(privateKey) })
  const cases: [TokenKeys, boolean, boolean][] = [
    [{ secret: SECRET, publicKey: '' }, true, false],
    [{ secret: '', publicKey: PEM }, false, true],
    [{ secret: '', publicKey: '' }, false, false],
  ]
  for (const [keys, hmac, ed25519] of cases) {
    const tokens = new UserTokens(keys, clock)
    expect([tokens.verify(good) !== undefined, tokens.verify(eddsa) !== undefined]).toEqual([hmac, ed25519])
  }
  expect(new UserTokens({ secret: '', publicKey: '' }, clock).verify(token({ signer: hs('') }))).toBeUndefined()
})

test('a token that was verified before still ends at its time', () => {
  const moving = new HandClock()
  const tokens = new UserTokens({ secret: SECRET, publicKey: '' }, moving)
  const text = token()
  expect(tokens.verify(text)?.userId).toBe('u1')
  moving.advance((600 + LEEWAY_S) * 1000 - 1)
  expect(tokens.verify(text)?.userId).toBe('u1')
  moving.advance(1)
  expect(tokens.verify(text)).toBeUndefined()
  expect(tokens.verify(`${text.slice(0, -1)}${text.endsWith('A') ? 'E' : 'A'}`)).toBeUndefined()
})

test('a key that is no Ed25519 key stops the start, and says how to make one', () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
    .publicKey.export({ type: 'spki', format: 'pem' })
    .toString()
  const mend = 'FAIRGRAB_JWT_PUBLIC_KEY is not an Ed25519 key; make one with: openssl genpkey -algorithm ed25519'
  expect(() => new UserTokens({ secret: '', publicKey: rsa }, clock)).toThrow(mend)
  expect(() => new UserTokens({ secret: '', publicKey: 'not a key' }, clock)).toThrow(mend)
})

test.each([
  [
    'a private key',
    privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    'is a private key; set what openssl',
  ],
  [
    'a private key behind the public one',
    `${PEM}${privateKey.export({ type: 'pkcs8', format: 'pem' })}`,
    'is a private',
  ],
  [
    'a private key of another kind',
    '-----BEGIN RSA PRIVATE KEY-----\nAA==\n-----END RSA PRIVATE KEY-----',
    'is a private',
  ],
  [
    'two keys',
    `${PEM}${other.publicKey.export({ type: 'spki', format: 'pem' })}`,
    'has more behind its first PEM; set one',
  ],
  [
    'words behind the key',
    `${PEM}\nand more`,
    'has more behind its first PEM; set one key here, and several with FAIRGRAB_JWKS',
  ],
])('FAIRGRAB_JWT_PUBLIC_KEY with %s stops the start', (_, publicKey, message) => {
  expect(() => new UserTokens({ secret: '', publicKey }, clock)).toThrow(`FAIRGRAB_JWT_PUBLIC_KEY ${message}`)
})

test('white space around the one key changes nothing', () => {
  const eddsa = token({ header: { alg: 'EdDSA' }, signer: ed(privateKey) })
  expect(new UserTokens({ secret: '', publicKey: `\n${PEM} \n\n` }, clock).verify(eddsa)?.userId).toBe('u1')
})

test('a region or a cohort that is null is absent', () => {
  const claims = both().verify(withBody({ region: null, cohort: null }))
  expect(claims).toEqual({ userId: 'u1', expiresAt: GOOD.exp * 1000 })
})

test.each([
  ['sub is no user id', withBody({ sub: 'u1/2' })],
  ['exp is no number', token({ body: { sub: 'u1' } })],
  ['exp is in seconds, and this one is not', withBody({ exp: GOOD.exp * 1000 })],
  ['exp is over', withBody({ iss: 'https://id.example', aud: 'shop', exp: NOW_S - LEEWAY_S })],
  ['nbf is no number', withBody({ nbf: '1' })],
  ['nbf is still to come', withBody({ nbf: NOW_S + LEEWAY_S + 1 })],
  ['iss is another one than FAIRGRAB_JWT_ISSUER', withBody({ iss: 'https://evil.example', aud: 'shop' })],
  ['aud lacks FAIRGRAB_JWT_AUDIENCE', withBody({ iss: 'https://id.example', aud: ['other'] })],
  ['region is no text of up to 64 characters', withBody({ iss: 'https://id.example', aud: 'shop', region: 1 })],
  ['cohort is no text of up to 64 characters', withBody({ iss: 'https://id.example', aud: 'shop', cohort: [] })],
  [undefined, withBody({ iss: 'https://id.example', aud: 'shop' })],
  [undefined, withBody({ sub: 'u1/2' }).slice(0, -3)],
  [undefined, token({ body: { sub: 'u1' }, signer: hs('another secret of more than 32 bytes, too') })],
  [undefined, 'a key'],
])('what is wrong is said only of a token whose signature is good: %s', (complaint, text) => {
  const tokens = new UserTokens({ ...strict, secret: SECRET }, clock)
  expect(tokens.complaint(text)).toBe(complaint)
})

test('who asks why a token proved nothing has it verified once', () => {
  let looks = 0
  const watched = Object.assign(new HandClock(), { wallMs: () => clock.wallMs() + 0 * looks++ })
  const tokens = new UserTokens({ secret: SECRET, publicKey: '' }, watched)
  const early = withBody({ nbf: NOW_S + LEEWAY_S + 1 })
  expect(tokens.verify(early)).toBeUndefined()
  expect([tokens.complaint(early), looks]).toEqual(['nbf is still to come', 1])
  const other = withBody({ nbf: NOW_S + LEEWAY_S + 2 })
  expect([tokens.complaint(other), looks]).toEqual(['nbf is still to come', 2])
  expect([tokens.verify(token())?.userId, tokens.complaint(token())]).toEqual(['u1', undefined])
})

const strict = { publicKey: '', issuer: 'https://id.example', audience: 'shop' }

test.each([
  [{ iss: 'https://id.example', aud: 'shop' }, true],
  [{ iss: 'https://id.example', aud: ['other', 'shop'] }, true],
  [{ iss: 'https://id.example/', aud: 'shop' }, false],
  [{ iss: ['https://id.example'], aud: 'shop' }, false],
  [{ iss: 'https://id.example', aud: [['shop']] }, false],
  [{ iss: 'https://id.example', aud: { shop: 1 } }, false],
  [{ iss: 'https://id.example' }, false],
  [{ aud: 'shop' }, false],
])('with an issuer and an audience %o is good: %s', (claims, good) => {
  const tokens = new UserTokens({ ...strict, secret: SECRET }, clock)
  expect(tokens.verify(withBody(claims)) !== undefined).toBe(good)
  expect(both().verify(withBody(claims))).toBeDefined()
})

test('while a secret is changed tokens of both are good, and of no third one', () => {
  const [older, oldest] = ['a secret of before, of 32 bytes or more', 'a secret of long before, 32 bytes or more']
  const tokens = new UserTokens({ secret: SECRET, secretPrevious: older, publicKey: '' }, clock)
  const signed = (secret: string) => tokens.verify(token({ signer: hs(secret) })) !== undefined
  expect([SECRET, older, oldest, ''].map(signed)).toEqual([true, true, false, false])
})
