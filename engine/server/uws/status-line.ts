/**
 * The first lines of an answer, made once: the library takes number and reason as one text, and writes that text as it
 * is, so the content type rides along and saves a call into the library an answer, and so does for how long a client may
 * keep an idle connection: the library closes one after 10 s, and who sends at that moment has to ask again. Only our own
 * constants come here.
 */
import { STATUS_CODES } from 'node:http'

/** Less than the library's own 10 s, so that the client lets go first. */
const KEEP_ALIVE_S = 8

const LINES = new Map<string, string[]>()

/** `201 Created` and the header line of the content type, which an answer without a body has not. */
export function statusLine(status: number, type: string): string {
  const lines = LINES.get(type) ?? []
  LINES.set(type, lines)
  const content = type === '' ? '' : `content-type: ${type}\r\n`
  lines[status] ??= `${status} ${STATUS_CODES[status]}\r\n${content}keep-alive: timeout=${KEEP_ALIVE_S}`
  return lines[status]
}
