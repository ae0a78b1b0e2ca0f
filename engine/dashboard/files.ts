/** The page at `/`: plain files, read once at start, served with a policy that lets nothing in from elsewhere. */
import { readFileSync } from 'node:fs'

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const HEADERS = [
  ['Content-Security-Policy', POLICY],
  ['X-Content-Type-Options', 'nosniff'],
  ['Referrer-Policy', 'no-referrer'],
  ['Cache-Control', 'no-cache'],
] as const

const file = (path: string, name: string, type: string) => ({
  path,
  type: `${type}; charset=utf-8`,
  content: readFileSync(new URL(name, import.meta.url)),
  headers: HEADERS,
})

export const DASHBOARD = [
  file('/', 'page.html', 'text/html'),
  file('/page.css', 'page.css', 'text/css'),
  file('/page.js', 'page.js', 'text/javascript'),
]
