/**
 * Who is shed, and what is derived for a person: functions without a world around them.
 *
 * Shedding is by person: under one load everybody has one verdict however often he asks, a higher load sheds those whom a
 * lower one shed and more, and the share of people that is shed is the one that was asked for. So fifty requests
 * are worth as much as one, which the last test counts against dropping requests by chance.
 */
import { expect, test } from 'vitest'
import { RoundSecrets, signingSeed } from '../../engine/auth/draw-secrets.ts'
import { shedLevel } from '../../engine/campaign/claim/entries.ts'
import { beaconSecret } from '../../engine/campaign/drawing/window-rules.ts'
import { sha256 } from '../../engine/draw/digest.ts'
import { random } from '../support/seed.ts'

const SECRET = Buffer.alloc(32, 7)
const secrets = new RoundSecrets(SECRET, 'rnd_a')

test('nobody is shed up to half of the load, everybody at all of it, and the level never falls between', () => {
  expect([0, 0.25, 0.5].map(shedLevel)).toEqual([0, 0, 0])
  expect([0.51, 0.75, 1, 2].map(shedLevel)).toEqual([6, 128, 256, 256])
  const levels = Array.from({ length: 101 }, (_, i) => shedLevel(i / 100))
  expect(levels).toEqual([...levels].sort((a, b) => a - b))
})

test('a person is the same in every worker, another one in every round, and his bucket has 15 bits', () => {
  const person = secrets.personOf('u1')
  expect(new RoundSecrets(SECRET, 'rnd_a').personOf('u1')).toEqual(person)
  expect(new RoundSecrets(SECRET, 'rnd_b').personOf('u1')).not.toEqual(person)
  expect(new RoundSecrets(Buffer.alloc(32, 8), 'rnd_a').personOf('u1').user).not.toEqual(person.user)
  expect([person.user, person.nonce, person.salt].map(({ length }) => length)).toEqual([8, 16, 16])
  const buckets = Array.from({ length: 2000 }, (_, i) => secrets.personOf(`u${i}`).user.readUInt16BE(0))
  expect(Math.max(...buckets)).toBeLessThan(32_768)
  expect(Math.max(...buckets)).toBeGreaterThan(32_000)
})

test('the secret of a window opens the hash of its own rules and is the hash of the next one’s', () => {
  expect(sha256(beaconSecret(secrets, 1))).toEqual(beaconSecret(secrets, 0))
  expect(beaconSecret(secrets, 0)).not.toEqual(beaconSecret(new RoundSecrets(SECRET, 'rnd_b'), 0))
  expect(signingSeed(SECRET)).toHaveLength(32)
})

test('shedding by person leaves fifty requests the chance of one; dropping requests does not', () => {
  const level = shedLevel(0.525)
  const people = 20_000
  const shed = Array.from({ length: people }, (_, i) => secrets.personOf(`p${i}`).shed < level).filter(Boolean).length
  expect(level).toBe(13)
  expect(Math.abs(shed / people - level / 256)).toBeLessThan(
    5 * Math.sqrt(((level / 256) * (1 - level / 256)) / people),
  )
  const next = random(3)
  const dropped = Array.from({ length: 2000 }, () => Array.from({ length: 50 }, () => next() < level / 256))
  const bots = dropped.filter(requests => requests.includes(false)).length
  expect(bots, 'each of fifty requests dropped by itself lets every bot through').toBe(2000)
})
