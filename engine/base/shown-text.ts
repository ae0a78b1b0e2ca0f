/**
 * Texts of strangers where a person or a spreadsheet reads them. Names, reasons, orders and ids are kept and answered as they
 * came; what is shown goes through the one function of its medium here.
 *
 *   a terminal, a log, a page   `shownText`: controls (C0, DEL, C1), line ends, marks of direction, invisible and half
 *                               characters as \uXXXX: nothing moves the cursor, forges a line or turns the words beside it
 *   HTML                        `htmlText`: the same, and & < > " ' as entities; fit for text and quoted attributes
 *   a cell of CSV               `csvCell`: a text that a spreadsheet would take for a formula has ' in front, and so has one that
 *                               would read like that then: a program takes one ' away before any number of them and = + - @
 *
 * The escapes are JSON's own, so a line of JSON that went through is the same JSON. The joiners of Persian, Indic scripts
 * and emoji (U+200C, U+200D) stay. Metrics need none: their labels are this engine's words and ids only. engine/dashboard
 * has the first as its own lines (screen-text.js), since a page can load none of these; a test compares the two.
 */

/** Control, format, half and line-separating characters, by their Unicode categories. */
const HIDDEN = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

const escaped = (char: string): string =>
  Array.from({ length: char.length }, (_, i) => `\\u${char.charCodeAt(i).toString(16).padStart(4, '0')}`).join('')

/** One line, whatever is in it. */
export const shownText = (text: string): string => text.replace(HIDDEN, escaped)

/** Lines of our own making: only their ends stay. */
export const shownLines = (text: string): string => text.split('\n').map(shownText).join('\n')

/** A value as JSON for programs and terminals alike. */
export const shownJson = (value: unknown): string => shownText(JSON.stringify(value))

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

export const htmlText = (text: unknown): string =>
  shownText(String(text)).replace(/[&<>"']/g, char => ENTITIES[char] as string)

/** A number stays a number, below zero too; a text with a comma, a quotation mark or a line end is quoted (RFC 4180). */
export function csvCell(value: string | number): string {
  if (typeof value === 'number') return String(value)
  const text = /^'*[=+\-@\t\r\n]/.test(value) ? `'${value}` : value
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
