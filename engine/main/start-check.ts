/**
 * What a start checks of its settings beyond their form, in the process that the person at the terminal sees: keys, the
 * address of Redis, the key of user tokens. `fairgrab up` and `fairgrab config check` ask here both, so that what one
 * calls sound the other does not refuse. Rejected: leaving it to the workers, which find it after Redis was started.
 */
import { Networks } from '../auth/addresses.ts'
import { parseKeys } from '../auth/callers.ts'
import { UserTokens } from '../auth/user-tokens.ts'
import { realClock } from '../base/clock.ts'
import { type Config, ConfigError } from '../config.ts'
import { checkAddress } from '../store/connection/address.ts'
import { checkTlsFiles } from '../store/connection/tls-files.ts'
import { checkKeySource } from './key-source.ts'

/** The first and the last address of each family: a network with both is everybody. */
const ENDS = [
  ['0.0.0.0', '255.255.255.255'],
  ['::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
] as const

function checkProxies(entries: readonly string[]): void {
  try {
    void new Networks(entries)
  } catch (cause) {
    throw new Error(
      `FAIRGRAB_TRUSTED_PROXIES: "${(cause as Error).message}" (from the environment) is neither an address nor a network; write them like 10.0.0.7, 10.0.0.0/8 or fd00::/8`,
    )
  }
  const everybody = entries.find(entry => {
    const network = new Networks([entry])
    return ENDS.some(([first, last]) => network.has(first) && network.has(last))
  })
  if (everybody !== undefined)
    throw new Error(
      `FAIRGRAB_TRUSTED_PROXIES: "${everybody}" (from the environment) is everybody, and whoever is trusted may write any address; name your proxies, never a network that clients are in`,
    )
}

/** Throws ConfigError with a message for people. */
export function checkStart(config: Config): void {
  const { keys, redisUrl, redisTls, jwtSecret: secret, jwtPublicKey: publicKey } = config
  try {
    parseKeys(keys)
    if (redisUrl !== '') checkAddress(redisUrl)
    checkTlsFiles(redisUrl, redisTls)
    new UserTokens({ secret, publicKey }, realClock)
    checkKeySource(config.jwks)
    checkProxies(config.trustedProxies)
  } catch (cause) {
    throw new ConfigError((cause as Error).message)
  }
}
