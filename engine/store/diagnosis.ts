/**
 * What `fairgrab doctor` asks of the server beyond its health: whether the engine's user may do what the engine does,
 * whether it may do what nobody should, and how far the two clocks are apart.
 *
 * A right is tried, not read: each row of NEEDED sends the command as the engine does, and NOPERM is the finding. What
 * must not be allowed cannot be tried, so for that Redis is asked (ACL DRYRUN), and where it will not say, the user is
 * already a limited one. Rejected: parsing ACL rules, a language with its own order and exceptions.
 */
import type { Redis } from 'ioredis'
import { Fault } from '../base/assert.ts'
import { type Clock, realClock } from '../base/clock.ts'
import type { Finding } from './health.ts'
import { everything, nodeChannel, replicationMark } from './keys.ts'
import type { Link } from './link.ts'

interface Need {
  readonly right: string
  readonly send: (client: Redis) => Promise<unknown>
}

const NEEDED: readonly Need[] = [
  { right: '+role', send: client => client.role() },
  { right: '+time', send: client => client.time() },
  { right: '+eval', send: client => client.call('EVAL', 'return 1', '0') },
  { right: '+evalsha', send: client => client.call('SCRIPT', 'EXISTS', '0'.repeat(40)) },
  { right: `+set ~${everything()}`, send: client => client.set(replicationMark(), '1') },
  { right: '+wait', send: client => client.wait(0, 1) },
  { right: `+publish &${everything()}`, send: client => client.publish(nodeChannel('doctor'), '') },
]

const DANGEROUS = [
  ['FLUSHALL'],
  ['KEYS', '*'],
  ['CONFIG', 'SET', 'appendonly', 'no'],
  ['DEBUG', 'SLEEP', '0'],
  ['SHUTDOWN'],
]

/** Clocks further apart than this mislead people about openings and ends, milliseconds. */
const CLOCK_MS_MAX = 2000

const isDenied = (cause: unknown): boolean => cause instanceof Fault && cause.message.includes('NOPERM')

/** The reply, or undefined when the user may not. */
const allowed = <T>(asked: Promise<T>): Promise<T | undefined> =>
  asked.catch(cause => {
    if (!isDenied(cause)) throw cause
    return undefined
  })

async function missingRights(link: Link): Promise<Finding[]> {
  const findings: Finding[] = []
  for (const { right, send } of NEEDED) {
    if ((await allowed(link.request(client => send(client).then(() => true)))) === undefined)
      findings.push({ what: `the engine's user lacks ${right}`, mend: `redis-cli ACL SETUSER <user> ${right}` })
  }
  return findings
}

async function dangerousRights(link: Link): Promise<Finding[]> {
  const user = await allowed(link.request(client => client.call('ACL', 'WHOAMI') as Promise<string>))
  const mend = 'give the engine a user of its own: deploy/redis-users.conf'
  if (user === 'default') return [{ what: 'the engine is the default user, who may do everything', mend }]
  if (user === undefined) return []
  const may: string[] = []
  for (const command of DANGEROUS) {
    const says = await allowed(
      link.request(client => client.call('ACL', 'DRYRUN', user, ...command) as Promise<string>),
    )
    if (says === 'OK') may.push(command.slice(0, 2).join(' '))
  }
  return may.length > 0 ? [{ what: `the user ${user} may ${may.join(', ')}`, mend }] : []
}

async function clockDrift(link: Link, clock: Clock): Promise<Finding[]> {
  const before = clock.wallMs()
  const time = await allowed(link.request(client => client.time()))
  if (time === undefined) return []
  const after = clock.wallMs()
  const here = (before + after) / 2
  const ahead = Math.round(Number(time[0]) * 1000 + Number(time[1]) / 1000 - here)
  // Somewhere between the two moments Redis looked at its clock; a slow answer is no drift.
  if (Math.abs(ahead) <= CLOCK_MS_MAX + (after - before) / 2) return []
  const what = `Redis's clock is ${Math.abs(ahead)} ms ${ahead > 0 ? 'ahead of' : 'behind'} this machine's`
  return [{ what, mend: 'run a time service (chrony) on both; Redis decides when a round opens' }]
}

/** Rights and clock, of the server behind a link. Throws Fault when it cannot be asked. */
export async function diagnose(link: Link, clock: Clock = realClock) {
  return {
    problems: [...(await missingRights(link)), ...(await clockDrift(link, clock))],
    warnings: await dangerousRights(link),
  }
}
