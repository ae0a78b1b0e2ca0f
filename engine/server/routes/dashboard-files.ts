/**
 * The pages, the operator's at `/` and the one for people who grab at `/try/{round}`: plain files, read once at start, served
 * with a policy that lets nothing in from elsewhere. There is no build step: the modules that the browser runs are the files of engine/dashboard,
 * and those of engine/client that they import, without their types; each has a route by its name.
 * Rejected: a folder that is served whole. What is public is written down here.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { strippedSource } from '../http/stripped-source.mjs'

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const HEADERS = [
  ['Content-Security-Policy', POLICY],
  ['X-Content-Type-Options', 'nosniff'],
  ['Referrer-Policy', 'no-referrer'],
  ['Cache-Control', 'no-cache'],
] as const

const TYPES: Readonly<Record<string, string>> = { html: 'text/html', css: 'text/css', js: 'text/javascript' }

const file = (name: string, path = `/${name}`) => ({
  path,
  type: `${TYPES[name.slice(name.lastIndexOf('.') + 1)]}; charset=utf-8`,
  content: readFileSync(new URL(`../../dashboard/${name}`, import.meta.url)),
  headers: HEADERS,
})

/** A file of the client, under the name by which the others import it. */
const clientFile = (name: string) => ({
  path: `/client/${name}`,
  type: `${TYPES.js}; charset=utf-8`,
  content: Buffer.from(strippedSource(fileURLToPath(new URL(`../../client/${name}`, import.meta.url)))),
  headers: HEADERS,
})

/** What the pages use of the client. */
const CLIENT = [
  'claim.ts',
  'ending.ts',
  'engine-clock.ts',
  'patience.ts',
  'receipt.ts',
  'receipt-check.ts',
  'stream.ts',
  'transport.ts',
] as const

/** The operator's desk, the page for people, and what both use. */
const FILES = {
  desk: [
    'page.js',
    'desk.css',
    'levers.css',
    'case-lookup.js',
    'desk-levers.js',
    'draw-facts.js',
    'lever-dialog.js',
    'levers.js',
    'node-pulse.js',
    'pulse-board.js',
    'release-form.js',
    'release-rules.js',
    'round-card.js',
    'time-chart.js',
    'trial.js',
  ],
  grab: ['try.js', 'try.css', 'draw-proof.js', 'try-words.js'],
  base: ['tokens.css', 'page.css', 'currency.js', 'draw-files.js', 'engine-api.js', 'round-stock.js', 'screen-text.js'],
} as const

export const DASHBOARD = [
  file('desk/page.html', '/'),
  file('grab/try.html', '/try/{round}'),
  ...CLIENT.map(clientFile),
  ...Object.entries(FILES).flatMap(([folder, names]) => names.map(name => file(`${folder}/${name}`))),
]
