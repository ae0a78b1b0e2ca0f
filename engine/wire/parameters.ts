/**
 * What may stand behind a `?`: the parameters of all routes in one table, each with the form that its values must have, the words of
 * the refusal, and its type for /openapi.json. A route names those that it knows.
 */
import { USER_ID_FORM } from '../base/holder.ts'
import { LIST_ROWS_DEFAULT, LIST_ROWS_MAX, SLOTS_MAX } from '../base/limits.ts'

interface Parameter {
  readonly form: RegExp
  readonly says: string
  readonly description: string
  /** As JSON Schema; text of `form` where it is left out. */
  readonly schema?: Readonly<Record<string, unknown>>
}

/** Plain numbers from 1, as a body may have them. */
const numberTo = (most: number) => new RegExp(`^(?:${Array.from({ length: most }, (_, i) => i + 1).join('|')})$`)

const flag = (description: string): Parameter => ({
  form: /^(true|false)$/,
  says: 'must be true or false',
  description,
  schema: { type: 'boolean', default: false },
})

export const PARAMETERS = {
  dry_run: flag('Shows what would change, or the refusal that would come, and changes nothing'),
  durability: flag('Adds the level at which the answer is kept'),
  vouchers: flag('Adds the claim and its vouchers to each grant'),
  limit: {
    form: /^\d{1,4}$/,
    says: `must be 1..${LIST_ROWS_MAX}`,
    description: 'Rows of the page',
    schema: { type: 'integer', minimum: 1, maximum: LIST_ROWS_MAX, default: LIST_ROWS_DEFAULT },
  },
  cursor: {
    form: /^[\w:.@-]{1,128}$/,
    says: 'take it from next_cursor',
    description: 'Where to go on: next_cursor of the page before',
  },
  slot: {
    form: numberTo(SLOTS_MAX),
    says: `must be 1..${SLOTS_MAX}`,
    description: 'Which of the packs of a user',
    schema: { type: 'integer', minimum: 1, maximum: SLOTS_MAX, default: 1 },
  },
  window: {
    form: /^\d{1,9}$/,
    says: 'must be a number from 0',
    description: 'A window of the draw; the newest whose list is final where it is left out',
    schema: { type: 'integer', minimum: 0, maximum: 999_999_999 },
  },
  tag: {
    form: /^[0-9a-f]{32}$/,
    says: 'must be 32 lower case hexadecimal digits',
    description: 'The tag of an entry',
  },
  access_token: { form: /^/, says: 'is a credential', description: 'The credential, for browsers on the stream' },
  order_id: { form: /^[\s\S]{1,128}$/, says: 'must be 1..128 characters', description: 'The id of an order' },
  merchant_id: {
    form: /^[\w.@-]{1,64}$/,
    says: 'must be 1..64 of A-Z a-z 0-9 . _ @ -',
    description: 'The id of a merchant; a key that is bound to one may leave it out',
  },
  user_id: {
    form: /^[\w.:@|+-]{1,64}$/,
    says: USER_ID_FORM,
    description: 'The id of a user',
  },
  verbose: { form: /^/, says: 'is a flag', description: 'Also what is wrong, and what to do about it' },
} as const satisfies Readonly<Record<string, Parameter>>

export type ParameterName = keyof typeof PARAMETERS

/** A parameter's type as JSON Schema. */
export function parameterSchema(name: ParameterName): Readonly<Record<string, unknown>> {
  const { form, schema }: Parameter = PARAMETERS[name]
  return schema ?? { type: 'string', ...(form.source === '^' ? {} : { pattern: form.source }) }
}
