/**
 * report.html: one page that shows a run offline, the verdict first, then how it drained, then every figure.
 *
 * There is no script and nothing is loaded; the page holds its style and its drawings. What it says comes from the same
 * summary that programs read, so the two cannot differ. A charting library was rejected: three lines an axis do not
 * need one, and a report must still open in ten years.
 */

import { type Chart, drawChart, escapeHtml } from './chart.ts'
import { runFairnessLines } from './fairness/run-text.ts'
import { isSound, type PartResult, type Summary } from './result.ts'
import { figureLine, runLines } from './result-text.ts'

const STYLE = `:root{color-scheme:light dark;--page:#fff;--ink:#1c1e21;--c0:#1664c0;--c1:#b3541e;--c2:#2e7d32}
@media(prefers-color-scheme:dark){:root{--page:#14171c;--ink:#e6e8eb;--c0:#7db4ff;--c1:#ffb07a;--c2:#8fd694}}
body{background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}
pre{white-space:pre-wrap;overflow-wrap:anywhere;font:13px/1.45 ui-monospace,monospace}figure{margin:1.5rem 0}svg{width:100%;height:auto}
svg text{font:11px system-ui,sans-serif;fill:currentColor}.grid{stroke:currentColor;opacity:.15}.line{fill:none;stroke-width:1.5}
.c0{stroke:var(--c0)}.c1{stroke:var(--c1)}.c2{stroke:var(--c2)}.k0{color:var(--c0)}.k1{color:var(--c1)}.k2{color:var(--c2)}
.legend{margin:0}.legend span{margin-right:1.5em}figcaption{font-weight:600}small{font-weight:400}
.verdict{font-size:1.25rem;font-weight:600}`

const PERCENTILES = [
  ['p50', 'p50_us'],
  ['p90', 'p90_us'],
  ['p99', 'p99_us'],
  ['p99.9', 'p999_us'],
  ['max', 'max_us'],
] as const

function timelineCharts({ timeline }: PartResult): Chart[] {
  if (timeline.length === 0) return []
  const series = (name: string, value: (row: PartResult['timeline'][number]) => number) => ({
    name,
    points: timeline.map(row => [row.second, value(row)] as const),
  })
  return [
    { title: 'Drain', x: 'seconds', y: 'packs left', series: [series('remaining', row => row.remaining)] },
    {
      title: 'Rates',
      x: 'seconds',
      y: 'per second, in tenths of a second',
      series: [
        series('sent', row => row.sent * 10),
        series('refused', row => row.refused * 10),
        series('granted', row => row.granted * 10),
      ],
    },
    {
      title: 'Claims in flight',
      x: 'seconds',
      y: 'the most in each tenth of a second',
      series: [series('in flight', row => row.in_flight)],
    },
  ]
}

function latencyChart({ latencies }: PartResult): Chart[] {
  if (Object.keys(latencies).length === 0) return []
  const series = Object.entries(latencies).map(([name, summary]) => ({
    name,
    points: PERCENTILES.map(([, key], place) => [place, summary[key] / 1000] as const),
  }))
  return [
    {
      title: 'Latency',
      x: 'percentile',
      y: 'milliseconds',
      series,
      marks: PERCENTILES.map(([label], place) => [place, label] as const),
    },
  ]
}

function partSection(part: PartResult): string {
  const lines = [
    ...part.problems.map(problem => `✗ ${problem}`),
    ...(part.audit?.lines ?? []),
    ...part.notes.map(note => `! ${note}`),
  ]
  const settings = Object.entries(part.settings).map(([name, value]) => `${name} ${value}`)
  const outcomes = Object.entries(part.outcomes).map(([code, count]) => `${code} ${count}`)
  return `<section><h2>${escapeHtml(part.name)}</h2>
<p class="verdict">${isSound(part) ? '✓ sound' : part.audit?.ok === false ? '✗ VOID' : '✗ a promise was broken'}</p><pre>${escapeHtml(lines.join('\n'))}</pre>
${[...timelineCharts(part), ...latencyChart(part)].map(drawChart).join('\n')}
<pre>${escapeHtml(part.figures.map(figureLine).join('\n'))}</pre>
${part.fairness === undefined ? '' : `<h3>Fairness</h3><pre>${escapeHtml(runFairnessLines(part.fairness).join('\n'))}</pre>`}
<p>${escapeHtml(outcomes.join(', '))}</p><p>${escapeHtml(settings.join(', '))}</p></section>`
}

export function reportPage(summary: Summary): string {
  const sound = summary.parts.every(isSound)
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>fairgrab bench</title>
<style>${STYLE}</style></head><body><main><h1>fairgrab bench</h1>
<p class="verdict">${sound ? '✓ every part is sound' : '✗ a part is void or broke a promise'}</p>
<pre>${escapeHtml([...runLines(summary), `taken at ${summary.machine.taken_at}`].join('\n'))}</pre>
${summary.parts.map(partSection).join('\n')}
</main></body></html>
`
}
