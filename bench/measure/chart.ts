/**
 * Line charts as inline SVG: what a report needs to be read offline, without a script and without a library.
 *
 * A chart takes series of points and draws axes with round steps. Series longer than a thousand points are thinned
 * by keeping the largest of each group, so a peak is never drawn away and a report stays under 300 kB. Colours come from the page's variables, so the chart follows the reader's
 * light or dark setting.
 */

export interface Series {
  readonly name: string
  readonly points: readonly (readonly [number, number])[]
}

export interface Chart {
  readonly title: string
  readonly x: string
  readonly y: string
  readonly series: readonly Series[]
  /** Marks of the x axis in place of round numbers, as for percentiles. */
  readonly marks?: readonly (readonly [number, string])[]
}

const WIDTH = 760
const HEIGHT = 260
const LEFT = 70
const BOTTOM = 36
const TOP = 12
const POINTS_MAX = 1000
const STEPS = 5

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, letter => `&#${letter.charCodeAt(0)};`)
}

/** A step of 1, 2 or 5 times a power of ten that cuts `span` into about five. */
export function roundStep(span: number): number {
  const rough = Math.max(span, 1e-9) / STEPS
  const power = 10 ** Math.floor(Math.log10(rough))
  return ([1, 2, 5, 10].find(factor => factor * power >= rough) ?? 10) * power
}

function shortNumber(value: number): string {
  if (value >= 1e6) return `${Number((value / 1e6).toPrecision(3))} M`
  if (value >= 1e3) return `${Number((value / 1e3).toPrecision(3))} k`
  return String(Number(value.toPrecision(3)))
}

/** At most `POINTS_MAX` points: the highest of each group of neighbours. */
export function thinned(points: Series['points']): Series['points'] {
  const group = Math.ceil(points.length / POINTS_MAX)
  if (group <= 1) return points
  return Array.from({ length: Math.ceil(points.length / group) }, (_, index) => {
    const neighbours = points.slice(index * group, (index + 1) * group)
    return neighbours.reduce((highest, point) => (point[1] > highest[1] ? point : highest))
  })
}

interface Scale {
  readonly x: (value: number) => string
  readonly y: (value: number) => string
}

function gridOf(chart: Chart, scale: Scale, [xMin, xMax, yMax]: readonly [number, number, number]): string {
  const step = roundStep(xMax - xMin)
  const first = Math.ceil(xMin / step) * step
  const plain = Array.from({ length: Math.floor((xMax - first) / step) + 1 }, (_, index) => first + index * step)
  const marks = chart.marks ?? plain.map(value => [value, shortNumber(value)] as const)
  const yStep = roundStep(yMax)
  const rows = Array.from({ length: Math.floor(yMax / yStep) + 1 }, (_, index) => index * yStep)
  return [
    ...rows.map(
      value =>
        `<path class="grid" d="M${LEFT} ${scale.y(value)}H${WIDTH}"/><text x="${LEFT - 6}" y="${scale.y(value)}" dy="4" text-anchor="end">${shortNumber(value)}</text>`,
    ),
    ...marks.map(
      ([value, label]) =>
        `<text x="${scale.x(value)}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${escapeHtml(label)}</text>`,
    ),
    `<text x="${WIDTH}" y="${HEIGHT - 4}" text-anchor="end">${escapeHtml(chart.x)}</text>`,
  ].join('')
}

/** A figure element with its caption, the drawing and the names of its lines. */
export function drawChart(chart: Chart): string {
  const series = chart.series.map(one => ({ ...one, points: thinned(one.points) })).filter(one => one.points.length > 0)
  const xs = series.flatMap(one => one.points.map(point => point[0]))
  const ys = series.flatMap(one => one.points.map(point => point[1]))
  if (xs.length === 0) return ''
  const xMin = Math.min(...xs)
  const xMax = Math.max(...xs, xMin + 1e-9)
  const yMax = Math.max(...ys, 1e-9)
  const scale: Scale = {
    x: value => (LEFT + ((value - xMin) / (xMax - xMin)) * (WIDTH - LEFT - 10)).toFixed(1),
    y: value => (HEIGHT - BOTTOM - (value / yMax) * (HEIGHT - BOTTOM - TOP)).toFixed(1),
  }
  const lines = series.map((one, index) => {
    const path = one.points.map(([x, y], place) => `${place === 0 ? 'M' : 'L'}${scale.x(x)} ${scale.y(y)}`).join('')
    return `<path class="line c${index}" d="${path}"/>`
  })
  const legend = series.map((one, index) => `<span class="k${index}">${escapeHtml(one.name)}</span>`).join('')
  const drawing = `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(chart.title)}">${gridOf(chart, scale, [xMin, xMax, yMax])}${lines.join('')}</svg>`
  return `<figure><figcaption>${escapeHtml(chart.title)} <small>${escapeHtml(chart.y)}</small></figcaption>${drawing}<p class="legend">${legend}</p></figure>`
}
