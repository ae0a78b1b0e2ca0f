/** Status lines of HTTP, made once: the library wants number and reason as one text. */
import { STATUS_CODES } from 'node:http'

const LINES: string[] = []
for (const [status, reason] of Object.entries(STATUS_CODES)) LINES[Number(status)] = `${status} ${reason}`

export const statusLine = (status: number): string => LINES[status] ?? `${status} Unknown`
