/**
 * The pages, the operator's at `/` and the one for people who grab at `/try/{round}`: plain files, read once at start, served with a policy that lets nothing in from elsewhere. There is
 * no build step: the modules that the browser runs are the files of engine/dashboard, and each has a route by its name.
 * Rejected: a folder that is served whole. What is public is written down here.
 */
import { readFileSync } from 'node:fs'

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const HEADERS = [
  ['Content-Security-Policy', POLICY],
  ['X-Content-Type-Options', 'nosniff'],
  ['Referrer-Policy', 'no-referrer'],
  ['Cache-Control', 'no-cache'],
] as const

const file = (name: string, type: string, path = `/${name}`) => ({
  path,
  type: `${type}; charset=utf-8`,
  content: readFileSync(new URL(`../dashboard/${name}`, import.meta.url)),
  headers: HEADERS,
})

const STYLES = ['tokens.css', 'page.css', 'desk.css', 'levers.css', 'try.css']
const MODULES = [
  'page.js',
  'try.js',
  'case-lookup.js',
  'claim-asking.js',
  'currency.js',
  'desk-levers.js',
  'draw-facts.js',
  'draw-files.js',
  'draw-proof.js',
  'engine-api.js',
  'lever-dialog.js',
  'levers.js',
  'node-pulse.js',
  'pulse-board.js',
  'release-form.js',
  'release-rules.js',
  'round-card.js',
  'round-stock.js',
  'screen-text.js',
  'stock-stream.js',
  'time-chart.js',
  'trial.js',
  'try-words.js',
]

export const DASHBOARD = [
  file('page.html', 'text/html', '/'),
  file('try.html', 'text/html', '/try/{round}'),
  ...STYLES.map(name => file(name, 'text/css')),
  ...MODULES.map(name => file(name, 'text/javascript')),
]
