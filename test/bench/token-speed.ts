/**
 * What a user token costs a worker: seen for the first time, by its algorithm, and remembered. One process, no sockets.
 *
 *   node test/bench/token-speed.ts
 *
 * Each round verifies tokens that were never seen, then the same ones again, the algorithms in turn; the fastest round
 * counts, since neighbours on a machine only ever make it slower.
 */
import { PublishedKeys } from '../../engine/auth/published-keys.ts'
import { UserTokens } from '../../engine/auth/user-tokens.ts'
import { realClock } from '../../engine/base/clock.ts'
import { ALGORITHMS, keySet, PlatformKey } from '../support/platform-keys.ts'
import { userToken } from '../support/user-token.ts'

const [ROUNDS, TOKENS] = [60, 100]
const SECRET = 'a secret of a measurement, 32 bytes or more'

const keys = ALGORITHMS.map(algorithm => new PlatformKey(algorithm, algorithm))
const makers: Readonly<Record<string, (sub: string) => string>> = {
  HS256: sub => userToken(sub, { secret: SECRET }),
  ...Object.fromEntries(keys.map(key => [key.algorithm, (sub: string) => key.token(sub)])),
}

const published = new PublishedKeys({
  read: async () => keySet(...keys.map(key => key.jwk())),
  clock: realClock,
  loaded: () => {},
  failed: why => {
    throw new Error(why)
  },
})
await published.start()
published.close()
const verifier = new UserTokens({ secret: SECRET, publicKey: '', published }, realClock)

/** Microseconds a token. */
function took(tokens: readonly string[]): number {
  const from = performance.now()
  for (const token of tokens) if (!verifier.verify(token)) throw new Error('a good token is refused')
  return ((performance.now() - from) * 1000) / tokens.length
}

const measured = new Map(Object.keys(makers).map(name => [name, { first: [] as number[], again: [] as number[] }]))
for (let round = 0; round < ROUNDS; round++)
  for (const [name, make] of Object.entries(makers)) {
    const tokens = Array.from({ length: TOKENS }, (_, i) => make(`u${round}-${i}`))
    measured.get(name)?.first.push(took(tokens))
    measured.get(name)?.again.push(took(tokens))
  }
for (const [name, { first, again }] of measured)
  console.log(
    `${name}: first sight ${Math.min(...first).toFixed(1)} µs, remembered ${Math.min(...again).toFixed(1)} µs`,
  )
