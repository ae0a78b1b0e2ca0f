/**
 * Prometheus's text format, read strictly: a line that is neither a comment of the format nor a sample is an error.
 *
 * Samples keep their labels, so a test adds up what it wants. HELP and TYPE have to come before their samples, once,
 * and each family has both, as the format asks. A library was not taken: those that parse are forgiving on purpose.
 */

export interface Family {
  readonly name: string
  readonly type: string
  readonly help: string
}

interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface Metrics {
  readonly families: readonly Family[]
  readonly samples: readonly Sample[]
}

const COMMENT = /^# (HELP|TYPE) ([a-zA-Z_:][\w:]*) (.+)$/
const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{([^}]*)\})? (-?[\d.]+(?:e[+-]?\d+)?|[+-]?Inf|Nan)$/i
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g

export function readMetrics(text: string): Metrics {
  const families = new Map<string, { type: string; help: string }>()
  const samples: Sample[] = []
  for (const line of text.split('\n').filter(each => each !== '')) {
    const [, kind, family = '', rest = ''] = COMMENT.exec(line) ?? []
    if (kind !== undefined) {
      const known = families.get(family) ?? { type: '', help: '' }
      if (known[kind === 'HELP' ? 'help' : 'type'] !== '') throw new Error(`${family} has two lines of ${kind}`)
      families.set(family, { ...known, [kind === 'HELP' ? 'help' : 'type']: rest })
      continue
    }
    const [, name, labels = '', value] = SAMPLE.exec(line) ?? []
    if (name === undefined || value === undefined) throw new Error(`not a line of the format: ${line}`)
    const of = name.replace(/_(bucket|sum|count)$/, '')
    if (!families.has(name) && families.get(of)?.type !== 'histogram') throw new Error(`${name} has no HELP and TYPE`)
    samples.push({
      name,
      labels: Object.fromEntries([...labels.matchAll(LABEL)].map(match => [match[1], match[2]])),
      value: Number(value),
    })
  }
  return { families: [...families].map(([name, rest]) => ({ name, ...rest })), samples }
}

/** The sum of all samples of a name that have these labels. */
export function sumOf({ samples }: Metrics, name: string, labels: Readonly<Record<string, string>> = {}): number {
  const wanted = Object.entries(labels)
  return samples
    .filter(sample => sample.name === name && wanted.every(([label, value]) => sample.labels[label] === value))
    .reduce((sum, { value }) => sum + value, 0)
}
