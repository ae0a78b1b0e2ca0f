/**
 * A name that an object in a JSON text has twice. JSON.parse takes the last, other readers the first, so two parties would
 * read the same bytes as two things: who claims, what is ordered. For texts that are small, and for the word of a refusal.
 * Rejected: a reviver of JSON.parse, which sees an object only when the first one is gone.
 */
export function repeatedName(json: string): string | undefined {
  const names: Set<string>[] = []
  let text = ''
  for (const [token] of json.matchAll(/"(?:[^"\\]|\\.)*"|[{}:]/g)) {
    if (token === '{') names.push(new Set())
    else if (token === '}') names.pop()
    else if (token !== ':') text = JSON.parse(token)
    else if (names.at(-1)?.has(text)) return text
    else names.at(-1)?.add(text)
  }
  return undefined
}
