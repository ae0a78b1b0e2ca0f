/**
 * Reads what stands behind a `?`. A route names the parameters that it knows (wire/parameters.ts); any other, one that is given
 * twice and a value of another form are refused by name. What was ignored here acted: `close?dry_run=1` closed a round. Pages
 * and probes outside of /v1 go on ignoring what strangers append.
 */
import { Refusal } from '../../base/assert.ts'
import { PARAMETERS, type ParameterName } from '../../wire/parameters.ts'

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
