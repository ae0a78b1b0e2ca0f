/**
 * The JSON files of a bundle: read against a schema, with errors that name file, field and what it has to be.
 *
 * A JSON text may say a thing twice (`{"n":1,"n":2}`); one reader takes the first, another the last, and both would
 * call the same file sound. So a file has to say each thing once and plainly: what was read, written again, must have
 * the same characters but for spaces. Rejected: asking for one exact form; who writes bundles by other means may space
 * their JSON as they like.
 */
import { z } from 'zod'
import { isHex } from './digest.ts'

/** The schema of so many bytes. */
export const hex = (bytes: number) =>
  z.string().refine(text => isHex(text, bytes), `must be ${bytes * 2} lower case hexadecimal digits`)

/** What is wrong with a file of a bundle or with a receipt; the message says where and what was expected. */
export class BundleError extends Error {
  readonly file: string

  constructor(file: string, detail: string) {
    super(`${file}: ${detail}`)
    this.name = 'BundleError'
    this.file = file
  }
}

/** How many bytes of a text are not JSON's white space. */
function countInk(text: Uint8Array): number {
  let ink = 0
  for (let i = 0; i < text.length; i++) {
    const byte = text[i] as number
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) ink++
  }
  return ink
}

/** Reads a file's JSON, whatever its shape. Throws BundleError. */
export function parsePlain(file: string, bytes: Uint8Array): unknown {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new BundleError(file, `is not JSON: ${(cause as Error).message}`)
  }
  if (countInk(Buffer.from(JSON.stringify(value))) !== countInk(bytes))
    throw new BundleError(
      file,
      'says a field twice, or writes a number or text in a form that readers may take otherwise',
    )
  return value
}

/** The first complaint of a schema, as "field: what it has to be". */
function firstComplaint({ issues }: z.ZodError): string {
  const [issue] = issues
  const place = (issue?.path ?? []).map(part => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('')
  return `${place.replace(/^\./, '') || 'the file'}: ${issue?.message ?? 'is wrong'}`
}

/** A value by a schema. Throws BundleError. */
export function checkShape<Shape>(file: string, value: unknown, schema: z.ZodType<Shape>): Shape {
  const read = schema.safeParse(value)
  if (!read.success) throw new BundleError(file, firstComplaint(read.error))
  return read.data
}

/** Reads a file of the bundle by its schema. Throws BundleError. */
export function parseJson<Shape>(file: string, bytes: Uint8Array, schema: z.ZodType<Shape>): Shape {
  return checkShape(file, parsePlain(file, bytes), schema)
}
