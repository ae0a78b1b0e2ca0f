/**
 * What the matrix found: the report of vitest as counts and names, the table of passes, and the exit code.
 *
 * A part that gave no report, found no test or passed against the exit code is a failure of its own (the rule of
 * .ci/check.ts). A server that could not be had is in the table with its reason, so a table never looks whole that is not.
 */
import { countTests } from '../../.ci/check.ts'
import { FORMS, type Order } from './plan.ts'

export interface PartResult {
  readonly part: string
  readonly passed: number
  readonly failed: number
  readonly seconds: number
  /** `file > test`, of each that failed. */
  readonly failures: readonly string[]
}

export interface Row {
  readonly server: string
  readonly version: string
  readonly from: string
  readonly form: string
  readonly parts: readonly PartResult[]
}

export interface Skipped {
  readonly server: string
  readonly why: string
}

interface Report {
  readonly testResults?: readonly {
    readonly name: string
    readonly status: string
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[]
  }[]
}

/** Counts and names out of vitest's JSON; `root` is cut from the paths of files. */
export function readReport(report: string, exitCode: number, root: string): Omit<PartResult, 'part' | 'seconds'> {
  const { testResults = [] } = JSON.parse(report) as Report
  const failures = testResults.flatMap(({ name, status, assertionResults }) => {
    const file = name.replace(`${root}/`, '')
    const failed = assertionResults.filter(test => test.status === 'failed').map(test => `${file} > ${test.fullName}`)
    return failed.length === 0 && status === 'failed' ? [`${file} did not run to its end`] : failed
  })
  return { ...countTests(report, exitCode), failures }
}

const cellOf = ({ parts }: Row): string =>
  parts.map(({ part, passed, failed }) => `${part} ${passed}/${passed + failed}`).join(', ')

/** The table of passes, in the form of the pages in docs/results. */
export function tableOf(rows: readonly Row[], skipped: readonly Skipped[]): string {
  const forms = FORMS.filter(({ name }) => rows.some(({ form }) => form === name))
  const servers = [...new Set(rows.map(({ server }) => server))]
  const lines = servers.map(server => {
    const own = rows.filter(row => row.server === server)
    const cells = forms.map(({ name }) => {
      const row = own.find(({ form }) => form === name)
      return row ? cellOf(row) : 'not run'
    })
    return `| ${server.replace(/-.*/, '')} ${own[0]?.version} | ${cells.join(' | ')} |`
  })
  const head =
    forms.length === 0
      ? []
      : [`| server | ${forms.map(({ name }) => name).join(' | ')} |`, `|---|${forms.map(() => '---|').join('')}`]
  return [...head, ...lines, ...skipped.map(({ server, why }) => `skipped: ${server}, ${why}`)].join('\n')
}

/** 0 when all that ran passed, something ran, and nothing is missing that was asked for. */
export function exitOf(
  { strict, named }: Pick<Order, 'strict' | 'named'>,
  rows: readonly Row[],
  skipped: readonly Skipped[],
): number {
  const parts = rows.flatMap(row => row.parts)
  const lacking = skipped.some(({ server }) => strict || named.includes(server))
  return lacking || parts.length === 0 || parts.some(({ failed }) => failed > 0) ? 1 : 0
}
