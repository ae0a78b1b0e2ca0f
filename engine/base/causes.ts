/**
 * An error in the words of everything behind it: its own sentence, then each cause, down to the system's.
 *
 * Libraries wrap what happened: "fetch failed" has the reset connection as its cause, and several addresses that were
 * tried have one error each and no sentence in common. Whoever reads a terminal needs the last of them. What a message
 * says already is not said twice, and a chain that bites its tail ends.
 */
const DEPTH_MAX = 8

function sentenceOf(error: Error): string {
  const { code } = error as NodeJS.ErrnoException
  const said = error.message || error.name
  return typeof code !== 'string' || said.includes(code) ? said : `${said} (${code})`
}

function sentencesOf(error: unknown, depth: number): readonly string[] {
  if (!(error instanceof Error)) return [String(error)]
  if (depth === DEPTH_MAX) return []
  const below = error instanceof AggregateError ? error.errors : error.cause === undefined ? [] : [error.cause]
  const own = error instanceof AggregateError && error.message === '' ? [] : [sentenceOf(error)]
  return [...own, ...below.flatMap(cause => sentencesOf(cause, depth + 1))]
}

/** All of an error's sentences in one line, the outermost first. */
export function causesText(error: unknown): string {
  const sentences = sentencesOf(error, 0)
  const fresh = sentences.filter((sentence, place) => !sentences.slice(0, place).some(said => said.includes(sentence)))
  return fresh.join(': ')
}
