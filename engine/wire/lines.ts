/**
 * Bodies of many lines (NDJSON): each line is a body of its own, read and validated like one, so that one that is wrong refuses
 * itself, by its number, and no other. Empty lines are none.
 */
import { decode, Malformed } from './encoding.ts'
import { complaint } from './schemas.ts'

export const LINES_TYPE = 'application/x-ndjson'

/** As much of a zod schema as a line needs. */
export interface LineSchema {
  safeParse(
    value: unknown,
  ): { success: true; data: unknown } | { success: false; error: Parameters<typeof complaint>[0] }
}

/** A line with its value, or with what is wrong with it. */
export type Line =
  | { readonly line: number; readonly value: unknown }
  | { readonly line: number; readonly code: 'malformed' | 'invalid'; readonly detail: string }

const NEWLINE = 0x0a

/** The lines of a body, at most one more than `most`, so that a longer body shows itself. */
export function linesIn(bytes: Buffer, schema: LineSchema, most: number): Line[] {
  const lines: Line[] = []
  for (let from = 0, line = 1; from < bytes.length && lines.length <= most; line++) {
    const found = bytes.indexOf(NEWLINE, from)
    const end = found < 0 ? bytes.length : found
    const text = bytes.subarray(from, end)
    from = end + 1
    if (text.toString('latin1').trim() !== '') lines.push(lineOf(line, text, schema))
  }
  return lines
}

function lineOf(line: number, bytes: Buffer, schema: LineSchema): Line {
  try {
    const parsed = schema.safeParse(decode(bytes, 'json'))
    return parsed.success ? { line, value: parsed.data } : { line, code: 'invalid', detail: complaint(parsed.error) }
  } catch (cause) {
    if (!(cause instanceof Malformed)) throw cause
    return { line, code: 'malformed', detail: cause.message }
  }
}

/** Whether a Content-Type names lines. */
export const isLines = (contentType: string): boolean =>
  contentType.split(';', 1)[0]?.trim().toLowerCase() === LINES_TYPE
