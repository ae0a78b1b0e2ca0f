/**
 * What may stand behind a `?`: the parameters of all routes in one table, each with the form of its values. A route names
 * those that it knows; any other, one that is given twice and a value of another form are refused by name. What was
 * ignored here acted: `close?dry_run=1` closed a round. Pages and probes outside of /v1 go on ignoring what strangers append.
 */
import { Refusal } from '../../base/assert.ts'
import { SLOTS_MAX } from '../../base/limits.ts'

interface Parameter {
  readonly form: RegExp
  readonly says: string
}

/** Plain numbers from 1, as a body may have them. */
const numberTo = (most: number) => new RegExp(`^(?:${Array.from({ length: most }, (_, i) => i + 1).join('|')})$`)

const FLAG: Parameter = { form: /^(true|false)$/, says: 'must be true or false' }

const PARAMETERS = {
  dry_run: FLAG,
  durability: FLAG,
  vouchers: FLAG,
  limit: { form: /^\d{1,4}$/, says: 'must be 1..1000' },
  cursor: { form: /^[\w:.-]{1,128}$/, says: 'take it from next_cursor' },
  slot: { form: numberTo(SLOTS_MAX), says: `must be 1..${SLOTS_MAX}` },
  window: { form: /^\d{1,9}$/, says: 'must be a number from 0' },
  tag: { form: /^[0-9a-f]{32}$/, says: 'must be 32 lower case hexadecimal digits' },
  access_token: { form: /^/, says: 'is a credential' },
  order_id: { form: /^[\s\S]{1,128}$/, says: 'must be 1..128 characters' },
  merchant_id: { form: /^[\w.@-]{1,64}$/, says: 'must be 1..64 of A-Z a-z 0-9 . _ @ -' },
  user_id: { form: /^[\w.:@-]{1,64}$/, says: 'must be 1..64 of A-Z a-z 0-9 . _ : @ -' },
} as const satisfies Readonly<Record<string, Parameter>>

export type ParameterName = keyof typeof PARAMETERS

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    throw new Refusal('malformed', 'the query is not percent-encoded UTF-8')
  }
}

const NOTHING = new URLSearchParams()

/** The parameters of a query by their names. Throws Refusal for what the route does not know. */
export function readQuery(query: string, known: readonly ParameterName[]): URLSearchParams {
  if (query === '') return NOTHING
  const values = new URLSearchParams()
  for (const pair of query.split('&')) {
    const [name = '', ...rest] = pair.split('=')
    const [parameter, value] = [decoded(name), decoded(rest.join('='))]
    const row = known.find(each => each === parameter)
    if (row === undefined) {
      const takes = known.length === 0 ? 'this route takes no query parameters' : `this route takes ${known.join(', ')}`
      throw new Refusal('invalid', `${parameter.slice(0, 64)}: is not known; ${takes}`)
    }
    if (values.has(row)) throw new Refusal('invalid', `${row}: is given twice`)
    if (!PARAMETERS[row].form.test(value)) throw new Refusal('invalid', `${row}: ${PARAMETERS[row].says}`)
    values.set(row, value)
  }
  return values
}
