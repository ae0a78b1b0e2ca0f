/**
 * `fairgrab config change SETTING`: an operator's word that nodes shall have another secret or another level than the one
 * they agreed on (engine/main/agreement.ts). It reads the environment that the nodes are going to have and talks to Redis
 * itself, since no node with that environment runs yet.
 *
 * A secret is replaced at once. A level is first allowed beside the old one, so that nodes are restarted one by one while
 * the others grant, and alone with --finish. Rejected: a change that the first restarted node makes by itself; that is
 * what a mistake looks like.
 */
import { realClock } from '../base/clock.ts'
import { realRandom } from '../base/random.ts'
import { type Config, ConfigError, nearest } from '../config.ts'
import { AGREED, ownOf, secretsOf } from '../main/agreement.ts'
import { embeddedUrl } from '../store/server/embedded.ts'
import { openStore } from '../store/store.ts'

interface Wanted {
  readonly name: string | undefined
  readonly finish: boolean
  readonly dryRun: boolean
}

interface Step {
  /** What Redis is to have; undefined when it has that already. */
  readonly next: string | undefined
  readonly words: string
}

function levelStep(own: string, kept: string, finish: boolean): Step {
  const [from = '', to] = kept.split(' ')
  if (to !== undefined && to !== own && from !== own)
    throw new ConfigError(
      `the level is being changed from ${from} to ${to}; set FAIRGRAB_DURABILITY to one of them and finish that first`,
    )
  if (finish && to === undefined && from !== own)
    throw new ConfigError(`no change of the level is under way; leave --finish out to begin one from ${from} to ${own}`)
  if (finish)
    return {
      next: kept === own ? undefined : own,
      words: `all nodes have ${own}; one that has another level grants nothing from its next check on`,
    }
  if (kept.split(' ').includes(own))
    return { next: undefined, words: `nodes may have ${kept.replace(' ', ' or ')} already` }
  return {
    next: `${from} ${own}`,
    words: `nodes may have ${from} or ${own}: restart them with ${own} one by one, then add --finish`,
  }
}

function secretStep(name: string, own: string | undefined, kept: string): Step {
  if (own === undefined) throw new ConfigError(`${name} is unset, and Redis keeps none; set it to what it shall be`)
  if (own === kept) return { next: undefined, words: `${name} is what the nodes agreed on already` }
  return {
    next: own,
    words: `${name} is another one now: nodes with the old one grant nothing from their next check on; restart each with the new one at once, since until then they still answer and redeem the old codes. What was derived from the old one is void`,
  }
}

/** Gives what was changed as words and as an answer. Throws ConfigError for what cannot be, Fault when Redis is away. */
export async function changeAgreement(config: Config, { name = '', finish, dryRun }: Wanted) {
  if (!AGREED.some(known => known === name))
    throw new ConfigError(
      `"${name}" (from the command line) is nothing that nodes agree on; did you mean ${nearest(name, AGREED)}? There are ${AGREED.join(', ')}`,
    )
  const { redisUrl, redisTls: tls, dataDir, durability, replicas } = config
  const url = redisUrl === '' ? embeddedUrl(dataDir) : redisUrl
  const store = openStore({ url, tls, durability, replicas, clock: realClock, random: realRandom })
  try {
    const { [name]: kept } = await store.agreement.read()
    if (kept === undefined)
      throw new ConfigError(`this Redis has no ${name} that nodes agreed on; the first node that starts decides`)
    const own = ownOf(config, secretsOf(config, await store.agreement.secrets()))[name]
    const isLevel = name === 'FAIRGRAB_DURABILITY'
    if (finish && !isLevel) throw new ConfigError(`--finish is for FAIRGRAB_DURABILITY; ${name} is changed in one step`)
    const { next, words } = isLevel ? levelStep(durability, kept, finish) : secretStep(name, own, kept)
    const isNews = next !== undefined
    if (!dryRun) {
      if (isNews) await store.agreement.set(name, next)
      return { answer: { setting: name, changed: isNews, says: words }, words }
    }
    const says = `nothing was changed; without --dry-run: ${isNews ? words : `nothing either, ${words}`}`
    return { answer: { setting: name, changed: false, would_change: isNews, says }, words: says }
  } finally {
    await store.close()
  }
}
