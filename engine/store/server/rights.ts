/**
 * What the engine's user of Redis has to be allowed, tried and not read: each row sends a command as the engine does, to a small
 * key of the server's own that holds a text, so most of them change nothing (WRONGTYPE) and all of them show whether they are
 * allowed (NOPERM), or not there at all: a managed server may have taken a command away.
 *
 * Without SCRIPTS nothing can be granted, and nothing of it shows before somebody asks: each check of the server tries
 * them. All others are the doctor's. Rejected: parsing ACL rules, a language with its own order and exceptions; ACL DRYRUN,
 * for which a limited user has no right.
 */
import type { Redis } from 'ioredis'
import type { Finding } from '../../base/finding.ts'
import { allChannels, everything, nodeChannel } from '../connection/keys.ts'
import type { Link } from '../connection/link.ts'
import { ONE_SERVER } from '../connection/marks.ts'

interface Need {
  readonly right: string
  /** Each command is sent; what the server refuses with is thrown. */
  readonly send: (client: Redis) => Promise<unknown>
}

const need = (words: readonly string[], right = `+${words[0]?.toLowerCase()}`): Need => ({
  right,
  send: client => client.call(...(words as [string])),
})

/** What every script needs. `mark` is a key, and a channel, that the server has. */
const scriptsOn = ({ marks }: Link, mark: string): readonly Need[] => [
  need(['EVAL', 'return 1', '0']),
  need(['EVALSHA', '0'.repeat(40), '0']),
  marks === ONE_SERVER
    ? need(['PUBLISH', nodeChannel('doctor'), ''], `+publish &${everything()}`)
    : need(['SPUBLISH', mark, ''], `+spublish &${everything()}`),
]

/** A transaction: where its begin is refused its end is, too, and where its end is refused it is over. */
const MULTI: Need = { right: '+multi +exec', send: client => client.multi().exec() }

/** A subscription takes the whole connection, so it has one of its own. */
const subscription = (right: string, subscribe: (client: Redis) => Promise<unknown>): Need => ({
  right,
  send: async client => {
    const own = client.duplicate().on('error', () => {})
    try {
      await own.connect()
      await subscribe(own)
    } finally {
      own.disconnect()
    }
  },
})

const subscriptionsOn = ({ marks }: Link, mark: string): readonly Need[] =>
  marks === ONE_SERVER
    ? [
        // A pattern is compared to the letter with what is allowed.
        subscription(`+psubscribe &${allChannels()}`, client => client.psubscribe(allChannels())),
        subscription(`+subscribe &${everything()}`, client => client.subscribe(nodeChannel('doctor'))),
      ]
    : [subscription(`+ssubscribe &${everything()}`, client => client.ssubscribe(mark))]

const ON_KEYS = [
  'exists ttl get incr getrange:0:0 setrange:0: setnx:1 mget smembers hgetall hlen xlen',
  'sadd:m srem:m hset:f:v hsetnx:f:v hget:f hmget:f hdel:f hexists:f hscan:0 hincrby:f:1',
  'xadd:*:f:v xrange:-:+ xrevrange:+:- zadd:1:m zrem:m zcount:0:1 zrange:0:1 zrevrange:0:1 zrangebyscore:0:1',
  'zremrangebyrank:0:1 expire:31536000',
].flatMap(row => row.split(' ').map(command => command.split(':')))

/** Where no server allows them, a node that runs keeps the table of slots that it has. */
const OF_TABLE: readonly Need[] = [
  need(['CLUSTER', 'SLOTS'], '+cluster|slots'),
  need(['CLUSTER', 'NODES'], '+cluster|nodes'),
]

const ON_CLUSTER: readonly Need[] = [
  need(['ASKING']),
  ...OF_TABLE,
  need(['CLUSTER', 'INFO'], '+cluster|info'),
  need(['PUBSUB', 'SHARDCHANNELS', 'none'], '+pubsub|shardchannels'),
]

const restOn = ({ marks }: Link, mark: string): readonly Need[] => [
  ...[need(['ROLE']), need(['TIME']), need(['WAIT', '0', '1']), MULTI],
  need(['SET', mark, '1'], `+set ~${everything()}`),
  ...ON_KEYS.map(([name = '', ...args]) => need([name, mark, ...args])),
  ...(marks === ONE_SERVER ? [] : ON_CLUSTER),
]

const othersOn = (link: Link, mark: string) => [...restOn(link, mark), ...subscriptionsOn(link, mark)]

/** How a server says that a command is not for this user, or is not there. */
const DENIED = /NOPERM|EXEC without MULTI/
const ABSENT = /unknown (?:command|subcommand)/i

/** What the server refused with; empty where the command was taken, whatever it made of it. Throws what is no reply. */
const refusal = (asked: Promise<unknown>): Promise<string> =>
  asked.then(
    () => '',
    (cause: unknown) => {
      if (cause instanceof Error && cause.name === 'ReplyError') return cause.message
      throw cause
    },
  )

/** A word of a shell's line: `|`, `~`, `&` and `*` mean something else there. */
const quoted = (word: string): string => (/^[\w+@:./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)

function findingOf(right: string, refused: string, user: string): Finding[] {
  if (DENIED.test(refused)) {
    const line = ['redis-cli ACL SETUSER', quoted(user), ...right.split(' ').map(quoted)].join(' ')
    return [{ what: `the engine's user lacks ${right}`, mend: line }]
  }
  if (!ABSENT.test(refused)) return []
  const name = right.replace(/^\+(\S+).*/, '$1').toUpperCase()
  return [
    {
      what: `the server has no ${name}: it was renamed or taken away`,
      mend: 'give it its name back, or use another server',
    },
  ]
}

async function lacking(link: Link, needs: readonly Need[]): Promise<Finding[]> {
  const replies = await link.request(client => Promise.all(needs.map(({ send }) => refusal(send(client)))))
  return needs.flatMap(({ right }, i) => findingOf(right, replies[i] as string, link.user))
}

/** What keeps scripts from running. Throws Fault when the server cannot be asked. */
export const findScriptRights = (link: Link): Promise<Finding[]> =>
  lacking(link, scriptsOn(link, link.marks.replication()))

/** What keeps the table of a cluster's slots from being read. Throws Fault when the server cannot be asked. */
export const findTableRights = (link: Link): Promise<Finding[]> => lacking(link, OF_TABLE)

/** All else that the engine's user lacks. Throws Fault when the server cannot be asked. */
export const findOtherRights = (link: Link): Promise<Finding[]> =>
  lacking(link, othersOn(link, link.marks.replication()))
