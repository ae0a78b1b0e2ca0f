/**
 * Published flaws of Redis and Valkey that reach an engine's server, and the release of each line that mends them.
 *
 * The newest advisory in it is of FLAWS_AS_OF, and the doctor says so: no finding means none in this table. It has what a client of the server can reach (the Lua engine, the protocol before and after AUTH) and
 * leaves modules out. Source: the advisories of both projects. A line without a release in a row got none upstream;
 * distributions patch old lines under their old number, so there the question goes to the operator.
 *
 * Rejected: asking a service. A doctor that needs the network is not there on the evening it is needed.
 */
export const FLAWS_AS_OF = '2025-10-03'

interface Flaw {
  readonly cve: string
  readonly published: string
  readonly what: string
  /** The first sound release of a line, by `<server> <line>`. */
  readonly mended: readonly string[]
}

export const FLAWS: readonly Flaw[] = [
  {
    cve: 'CVE-2025-49844',
    published: '2025-10-03',
    what: 'use after free in the Lua engine',
    mended: [
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
    published: '2025-07-06',
    what: 'a client without a password can starve the others',
    mended: ['redis 6.2.19', 'redis 7.2.10', 'redis 7.4.5', 'redis 8.0.3'],
  },
  {
    cve: 'CVE-2025-21605',
    published: '2025-04-23',
    what: 'a client without a password can use up the memory',
    mended: ['redis 6.2.18', 'redis 7.2.8', 'redis 7.4.3'],
  },
  {
    cve: 'CVE-2024-46981',
    published: '2025-01-06',
    what: 'use after free in the garbage collector of the Lua engine',
    mended: ['redis 6.2.17', 'redis 7.2.7', 'redis 7.4.2'],
  },
  {
    cve: 'CVE-2024-31449',
    published: '2024-10-02',
    what: 'stack overflow in the bit library of the Lua engine',
    mended: ['redis 6.2.16', 'redis 7.2.6', 'redis 7.4.1'],
  },
]

/** Lines that no row of the table mends and that are older than those it does. */
const UNKEPT = /^(redis ([1-5]\.|6\.0|7\.0))/

const older = (a: string, b: string): boolean => {
  const [x, y] = [a.split('.').map(Number), b.split('.').map(Number)]
  for (let i = 0; i < 3; i++) if ((x[i] ?? 0) !== (y[i] ?? 0)) return (x[i] ?? 0) < (y[i] ?? 0)
  return false
}

const lineOf = (version: string): string => version.split('.').slice(0, 2).join('.')

/** What is known of a version, with its mend. `server` is `redis` or `valkey`, `version` its own number. */
export function flawsOf(server: string, version: string): { readonly what: string; readonly mend: string }[] {
  if (UNKEPT.test(`${server} ${version}`)) {
    const what = `${server} ${version}: ${FLAWS.map(({ cve }) => cve).join(', ')} are fixed by distributions only`
    return [{ what, mend: 'keep its security updates on, or move to a line that is kept' }]
  }
  return FLAWS.flatMap(({ cve, published, what, mended }) => {
    const safe = mended.find(row => row.startsWith(`${server} ${lineOf(version)}.`))?.split(' ')[1]
    if (safe === undefined || !older(version, safe)) return []
    return [{ what: `${server} ${version} has ${cve} (${published}): ${what}`, mend: `upgrade to ${safe} or later` }]
  })
}
