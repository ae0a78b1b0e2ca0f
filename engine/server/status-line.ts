/**
 * The first lines of an answer, made once: the library takes number and reason as one text, and writes that text as it
 * is, so the content type rides along and saves a call into the library an answer. Only our own constants come here.
 */
import { STATUS_CODES } from 'node:http'

const LINES = new Map<string, string[]>()

/** `201 Created` and the header line of the content type. */
export function statusLine(status: number, type: string): string {
  const lines = LINES.get(type) ?? []
  LINES.set(type, lines)
  lines[status] ??= `${status} ${STATUS_CODES[status]}\r\ncontent-type: ${type}`
  return lines[status]
}
