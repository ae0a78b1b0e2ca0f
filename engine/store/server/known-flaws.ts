/**
 * Published flaws of Redis and Valkey that reach an engine's server, and the release of each line that fixes them.
 *
 * The newest advisory in it is of FLAWS_AS_OF, and the doctor says so: no finding means none in this table. It has what
 * a client of the server can reach (the Lua engine, the protocol before and after AUTH, TLS) and leaves modules out.
 * Sources, compared in November 2026: the CVE records (CVEProject/cvelistV5, `published` is theirs), the release notes
 * of redis/redis, of Redis in redis/docs and of valkey-io/valkey. A release that none of them names is left out of a
 * row; the newest row of each server has all lines that are kept, so an older line that is not in it is a finding of
 * its own: upstream fixes it no more, distributions patch such lines under their old number, and the operator has to know.
 *
 * Rejected: asking a service. A doctor that needs the network is not there on the evening it is needed.
 */
export const FLAWS_AS_OF = '2026-08-27'

interface Flaw {
  readonly cve: string
  readonly published: string
  readonly what: string
  /** The first sound release of a line, by `<server> <line>`. */
  readonly fixedIn: readonly string[]
}

/** Newest first. */
export const FLAWS: readonly Flaw[] = [
  {
    cve: 'CVE-2026-81934',
    published: '2026-08-27',
    what: 'use after free in connections with TLS, without a password',
    fixedIn: [
      'redis 6.2.24',
      'redis 7.2.16',
      'redis 7.4.11',
      'redis 8.2.9',
      'redis 8.4.6',
      'redis 8.6.6',
      'redis 8.8.2',
      'redis 8.10.1',
    ],
  },
  {
    cve: 'CVE-2026-56684',
    published: '2026-07-21',
    what: 'use after free in connections with TLS',
    fixedIn: ['valkey 7.2.14', 'valkey 8.0.10', 'valkey 8.1.9', 'valkey 9.0.5', 'valkey 9.1.1'],
  },
  {
    cve: 'CVE-2026-23631',
    published: '2026-05-05',
    what: 'use after free in the Lua engine of a replica that may be written to',
    fixedIn: [
      'redis 7.4.9',
      'redis 8.2.6',
      'redis 8.4.3',
      'redis 8.6.3',
      'valkey 7.2.13',
      'valkey 8.0.8',
      'valkey 8.1.7',
      'valkey 9.0.4',
    ],
  },
  {
    cve: 'CVE-2025-67733',
    published: '2026-02-23',
    what: 'a script can forge replies by what it puts into an error',
    fixedIn: ['valkey 7.2.12', 'valkey 8.0.7', 'valkey 8.1.6', 'valkey 9.0.3'],
  },
  {
    cve: 'CVE-2025-49844',
    published: '2025-10-03',
    what: 'use after free in the Lua engine',
    fixedIn: [
      'redis 6.2.20',
      'redis 7.2.11',
      'redis 7.4.6',
      'redis 8.0.4',
      'redis 8.2.2',
      'valkey 7.2.11',
      'valkey 8.0.6',
      'valkey 8.1.4',
    ],
  },
  {
    cve: 'CVE-2025-48367',
    published: '2025-07-07',
    what: 'a client without a password can starve the others',
    fixedIn: ['redis 6.2.19', 'redis 7.2.10', 'redis 7.4.5', 'redis 8.0.3', 'valkey 8.0.4', 'valkey 8.1.3'],
  },
  {
    cve: 'CVE-2025-21605',
    published: '2025-04-23',
    what: 'a client without a password can use up the memory',
    fixedIn: ['redis 6.2.18', 'redis 7.2.8', 'redis 7.4.3', 'valkey 7.2.9', 'valkey 8.0.3', 'valkey 8.1.1'],
  },
  {
    cve: 'CVE-2024-46981',
    published: '2025-01-06',
    what: 'use after free in the garbage collector of the Lua engine',
    fixedIn: ['redis 6.2.17', 'redis 7.2.7', 'redis 7.4.2', 'valkey 8.0.2'],
  },
  {
    cve: 'CVE-2024-31449',
    published: '2024-10-07',
    what: 'stack overflow in the bit library of the Lua engine',
    fixedIn: ['redis 6.2.16', 'redis 7.2.6', 'redis 7.4.1', 'valkey 8.0.1'],
  },
]

const numbers = (version: string): number[] => version.split('.').map(Number)

/** Whether version `a` is older than `b`, by as many numbers as `b` has. */
function older(a: string, b: string): boolean {
  const [x, y] = [numbers(a), numbers(b)]
  for (const [i, of] of y.entries()) if ((x[i] ?? 0) !== of) return (x[i] ?? 0) < of
  return false
}

const lineOf = (version: string): string => version.split('.').slice(0, 2).join('.')

const releasesOf = ({ fixedIn }: Flaw, server: string): string[] =>
  fixedIn.flatMap(row => (row.startsWith(`${server} `) ? [row.slice(server.length + 1)] : []))

/** The release of a version's line that fixes a flaw; empty when the line got none though younger ones did. */
function fixOf(flaw: Flaw, server: string, version: string): string | undefined {
  const releases = releasesOf(flaw, server)
  const own = releases.find(release => lineOf(release) === lineOf(version))
  if (own !== undefined) return older(version, own) ? own : undefined
  return releases.some(release => older(version, lineOf(release))) ? '' : undefined
}

/** What is known of a version, with what to do. `server` is `redis` or `valkey`, `version` its own number. */
export function flawsOf(server: string, version: string): { readonly what: string; readonly mend: string }[] {
  const found = FLAWS.flatMap(flaw => {
    const fix = fixOf(flaw, server, version)
    return fix === undefined ? [] : [{ flaw, fix }]
  })
  const newest = FLAWS.find(flaw => releasesOf(flaw, server).length > 0)
  // A line that the newest row leaves out is kept no more; a gap in an older row is one of the sources.
  if (found.some(({ flaw, fix }) => flaw === newest && fix === '')) {
    const what = `${server} ${version}: ${found.map(({ flaw }) => flaw.cve).join(', ')} are fixed by distributions only`
    return [{ what, mend: 'keep its security updates on, or move to a line that is kept' }]
  }
  return found.flatMap(({ flaw: { cve, published, what }, fix }) =>
    fix === ''
      ? []
      : [{ what: `${server} ${version} has ${cve} (${published}): ${what}`, mend: `upgrade to ${fix} or later` }],
  )
}
