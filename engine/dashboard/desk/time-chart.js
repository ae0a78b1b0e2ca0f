/**
 * A chart of the last two minutes, drawn by hand in SVG: stacked areas, or lines. One point a second; a second without
 * data is a gap and not a zero, so what was not seen is not claimed.
 *
 * The drawing is 120 units wide and 40 high and stretched to its place; strokes keep their width. Scales begin at zero
 * and end at the highest point of the window, rounded up to 1, 2 or 5 times a power of ten, so that the picture jumps
 * seldom. Areas are set apart by their order and an edge in the ink of the ground, lines by dashes, and both by words
 * beside them, never by colour alone. Rejected: a library (uPlot is 22 kB) for two kinds of shape.
 */
const SPACE = 'http://www.w3.org/2000/svg'
export const CHART_POINTS = 120
const HEIGHT = 40

/** The next of 1, 2, 5, 10, 20, … that is not below a value. */
export function roundUp(value) {
  if (value <= 0) return 1
  const power = 10 ** Math.floor(Math.log10(value))
  return [1, 2, 5, 10].map(step => step * power).find(edge => edge >= value)
}

/** Runs of seconds that have data, as [first, last]. */
function runsOf(points) {
  const runs = []
  points.forEach((point, i) => {
    if (point === undefined) return
    if (i > 0 && points[i - 1] !== undefined) runs.at(-1)[1] = i
    else runs.push([i, i])
  })
  return runs
}

const places = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

export class TimeChart {
  #svg
  #paths
  #isStacked

  /** `series` are names; each becomes a path of the class `series-<name>`. */
  constructor(svg, series, isStacked) {
    this.#svg = svg
    this.#isStacked = isStacked
    svg.setAttribute('viewBox', `0 0 ${CHART_POINTS - 1} ${HEIGHT}`)
    svg.setAttribute('preserveAspectRatio', 'none')
    this.#paths = series.map(name => {
      const path = document.createElementNS(SPACE, 'path')
      path.setAttribute('class', `series-${name}`)
      path.setAttribute('vector-effect', 'non-scaling-stroke')
      svg.append(path)
      return path
    })
  }

  /** Draws points, oldest first: each an array with a number a series, or undefined for a gap. Gives the scale's end. */
  draw(points) {
    const shift = CHART_POINTS - points.length
    const sums = points.map(point => (point && this.#isStacked ? [point.reduce((sum, part) => sum + part, 0)] : point))
    const top = roundUp(Math.max(0, ...sums.flatMap(values => values ?? [])))
    const y = value => (HEIGHT - (value / top) * HEIGHT).toFixed(2)
    const runs = runsOf(points)
    const floor = points.map(() => 0)
    this.#paths.forEach((path, place) => {
      const value = i => (this.#isStacked ? floor[i] : 0) + points[i][place]
      const line = ([from, to]) =>
        places(from, to)
          .map(i => `${i + shift} ${y(value(i))}`)
          .join('L')
      const back = ([from, to]) =>
        places(from, to)
          .reverse()
          .map(i => `${i + shift} ${y(floor[i])}`)
          .join('L')
      path.setAttribute('d', runs.map(run => `M${line(run)}${this.#isStacked ? `L${back(run)}Z` : ''}`).join(''))
      if (this.#isStacked) for (const [from, to] of runs) for (const i of places(from, to)) floor[i] += points[i][place]
    })
    return top
  }

  describe(words) {
    if (this.#svg.getAttribute('aria-label') !== words) this.#svg.setAttribute('aria-label', words)
  }
}
