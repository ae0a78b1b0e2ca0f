/**
 * Texts of people who want more than to be read: they clear a terminal, forge a line, turn the words beside them, leave a tag
 * of HTML, begin like a formula, end a label of a metric. `hostileIn` finds in what was shown what must not be there.
 */
export const HOSTILE = [
  '\u001b[2J\u001b[H\u001b]0;owned\u0007',
  '\u009b31mred\u009b0m',
  'refund\r\n✓ all is sound\nfairgrab: paid',
  '\u202edeepaid\u2066',
  '<img src=x onerror="alert(1)">&\'',
  '=cmd|"/c calc"!A1',
  '"} 1\nfairgrab_oversold 1\n#',
  '\u0000\b\u007f\u2028\ufeff',
] as const

/** Controls but the line feed, C1 controls, marks of direction, line separators and invisible characters, by their numbers. */
const ACTS = new RegExp(
  `[${[
    [0x00, 0x09],
    [0x0b, 0x1f],
    [0x7f, 0x9f],
    [0x200e, 0x200f],
    [0x2028, 0x202e],
    [0x2060, 0x206f],
    [0xfeff, 0xfeff],
  ]
    .map(([from = 0, to = 0]) => `\\u${from.toString(16).padStart(4, '0')}-\\u${to.toString(16).padStart(4, '0')}`)
    .join('')}]`,
)

/** The lines in which something acts, or that a text of a stranger began; empty where all is well. */
export const hostileIn = (shown: string): readonly string[] =>
  shown.split('\n').filter(line => ACTS.test(line) || /^(✓ all|fairgrab: paid|fairgrab_oversold 1)/.test(line))
