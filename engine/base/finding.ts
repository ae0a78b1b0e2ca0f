/**
 * Something that is wrong, or may become so, in words for an operator: what it is, and what to do about it. Health shows
 * findings in `/readyz?verbose`, on the desk and in the log, where the second field is called `mend`.
 */
export interface Finding {
  readonly what: string
  readonly mend: string
}

/** Problems stop every grant, warnings stop nothing. */
export interface Findings {
  readonly problems: readonly Finding[]
  readonly warnings: readonly Finding[]
}

/** What is wrong with a Redis that cannot be asked, by its own words or the connection's, and what helps. */
const TROUBLES: readonly (readonly [words: RegExp, mend: (word: string) => string])[] = [
  [
    /NOPERM.*'([a-z|]+)'/,
    right => `allow +${right} to the engine's user of Redis; deploy/redis-users.conf has all rights that it needs`,
  ],
  [
    /unknown command .([a-zA-Z]+)/,
    name => `give ${name.toUpperCase()} back to the server, which renamed it or has it no more, or use another one`,
  ],
  [
    /cluster support disabled/,
    () => 'it is a single server and no cluster: write redis:// in place of redis+cluster:// in REDIS_URL',
  ],
  [/has no slots yet/, () => 'make the cluster: redis-cli --cluster create, as deploy/cluster/make.sh does'],
  [
    /not a primary/,
    () =>
      'write the address of its primary in REDIS_URL; redis+sentinel:// and redis+cluster:// find it by themselves, also after a fail-over',
  ],
  [
    /before secure TLS|wrong version number/,
    () => 'the port takes no TLS: name the one that does, or write the address without the s of rediss',
  ],
  [/MOVED \d+/, () => 'it is a server of a cluster: write redis+cluster:// in place of redis:// in REDIS_URL'],
  [/\bOOM\b/, () => 'raise maxmemory or add memory; redis-cli INFO memory has used_memory and maxmemory'],
  [/WRONGPASS|NOAUTH/, () => 'correct the name and the password in REDIS_URL'],
  [
    /certificate|SSL routines|altnames/i,
    () =>
      'look at FAIRGRAB_REDIS_CA, FAIRGRAB_REDIS_CERT and FAIRGRAB_REDIS_KEY, and at the names in its certificate: of a cluster they are those that its servers announce (cluster-announce-hostname, cluster-preferred-endpoint-type hostname)',
  ],
]

/** What helps against the words of a Redis that cannot be asked; undefined where they say no more than that it is away. */
export function helpAgainst(what: string): string | undefined {
  const [words, mend] = TROUBLES.find(([words]) => words.test(what)) ?? []
  return mend?.(words?.exec(what)?.[1] ?? '')
}
