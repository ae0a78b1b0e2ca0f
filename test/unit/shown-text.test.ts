/**
 * What strangers wrote, where a person or a spreadsheet reads it: no character that acts comes through a medium's function,
 * whatever the text is, and what is only a word comes through unchanged. Held for any text by properties, and for a table of
 * texts from the books of those who try.
 */
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { csvCell, htmlText, shownJson, shownLines, shownText } from '../../engine/base/shown-text.ts'
import { lineForPeople } from '../../engine/ops/log.ts'
import { seed } from '../support/seed.ts'

const PAGE = join(import.meta.dirname, '../../engine/dashboard/base/screen-text.js')
const page = (await import(PAGE)) as { readonly shownText: (text: string) => string }

/** Any text, with the units that act far more often than chance would have them. */
const ACTING = [
  '\u001b',
  '\u009b',
  '\u0007',
  '\r',
  '\n',
  '\t',
  '\u007f',
  '\u0085',
  '\u202e',
  '\u2066',
  '\u2028',
  '\ud800',
]
const text = fc
  .array(fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom(...ACTING, ...'=+-@<>&"\',')), { maxLength: 12 })
  .map(parts => parts.join(''))
const runs = { seed, numRuns: 2000 }

/** What moves a cursor, ends a line, turns or hides what stands beside it; written as numbers and not as the engine does. */
const acts = (shown: string): boolean =>
  [...shown].some(char => {
    const code = char.codePointAt(0) as number
    if (code < 0x20 || (code >= 0x7f && code <= 0x9f)) return true
    if ((code >= 0x200e && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e)) return true
    if ((code >= 0x2060 && code <= 0x206f && code !== 0x2065) || code === 0x61c || code === 0xfeff || code === 0x200b)
      return true
    return (code >= 0xd800 && code <= 0xdfff) || code === 0xe0001 || (code >= 0xe0020 && code <= 0xe007f)
  })

test.each([
  ['\u001b[2J\u001b]0;owned\u0007', '\\u001b[2J\\u001b]0;owned\\u0007'],
  ['\u009b2J', '\\u009b2J'],
  ['paid\r\n✓ sound', 'paid\\u000d\\u000a✓ sound'],
  ['\u202egnp.exe', '\\u202egnp.exe'],
  ['half \ud800', 'half \\ud800'],
  ['tag \u{e0041}', 'tag \\udb40\\udc41'],
  ['杭州 ä 👩\u200d👩\u200d👧 می\u200cخواهم', '杭州 ä 👩\u200d👩\u200d👧 می\u200cخواهم'],
])('shown: %j', (given, shown) => {
  expect([shownText(given), page.shownText(given)]).toEqual([shown, shown])
})

test('nothing that acts comes through, on a page as in a terminal, and what is shown is shown again as it is', () => {
  fc.assert(
    fc.property(text, given => {
      const shown = shownText(given)
      return !acts(shown) && shownText(shown) === shown && page.shownText(given) === shown && !acts(htmlText(given))
    }),
    runs,
  )
  fc.assert(
    fc.property(text, given => !acts(shownLines(given).replaceAll('\n', ''))),
    runs,
  )
})

test('JSON that is shown is the same JSON on one line', () => {
  fc.assert(
    fc.property(text, given => {
      const line = shownJson({ [given]: [given] })
      expect(JSON.parse(line)).toEqual({ [given]: [given] })
      return !acts(line)
    }),
    runs,
  )
})

test('HTML has no tag, no quote and no entity of a stranger’s, in a text and in an attribute', () => {
  expect(htmlText(`<img src=x onerror='a("b")'>&lt;`)).toBe(
    '&lt;img src=x onerror=&#39;a(&quot;b&quot;)&#39;&gt;&amp;lt;',
  )
  fc.assert(
    fc.property(text, given => !/[<>"']|&(?!(amp|lt|gt|quot|#39);)/.test(htmlText(given))),
    runs,
  )
})

/** The cells of one line, as a reader of RFC 4180 finds them, a character at a time. */
function cellsIn(line: string): readonly string[] {
  const cells: string[] = []
  let cell = ''
  let quoted = false
  for (let i = 0; i < line.length; i++) {
    const char = line[i] as string
    if (char === '"' && quoted && line[i + 1] === '"') cell += line[++i]
    else if (char === '"') quoted = !quoted
    else if (char === ',' && !quoted) {
      cells.push(cell)
      cell = ''
    } else cell += char
  }
  return [...cells, cell]
}

test.each([
  ['=1+1', "'=1+1"],
  ['+1', "'+1"],
  ['-1-1', "'-1-1"],
  ['@SUM(A1)', "'@SUM(A1)"],
  ['\t=1', "'\t=1"],
  ['\r=1', '"\'\r=1"'],
  ['a,b "c"', '"a,b ""c"""'],
  ['m-1', 'm-1'],
  [-1, '-1'],
])('a cell: %j', (value, cell) => {
  expect(csvCell(value)).toBe(cell)
})

test('any text is one cell of CSV, which no spreadsheet takes for a formula and a program can read', () => {
  fc.assert(
    fc.property(text, text, (first, second) => {
      const read = cellsIn(`${csvCell(first)},${csvCell(second)}`)
      expect(read.map(cell => cell.replace(/^'(?='*[=+\-@\t\r\n])/, ''))).toEqual([first, second])
      return read.every(cell => !/^[=+\-@\t\r\n]/.test(cell))
    }),
    runs,
  )
})

test('a line of the log for people is one line, whatever an error says; its stack has no more than its own ends', () => {
  fc.assert(
    fc.property(text, given => {
      const line = { level: 40, time: 't', part: 'p', msg: given, round: given, err: { stack: `${given}\n    at x` } }
      const [head = '', ...stack] = lineForPeople(JSON.stringify(line)).split('\n')
      return !acts(head) && stack.every(each => !acts(each))
    }),
    runs,
  )
})
