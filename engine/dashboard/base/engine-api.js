/**
 * The public API over HTTP as these pages need it: one function that asks, one that puts an answer into words.
 *
 * What is public is asked without the key, so that a wrong key never hides the stock. A connection that broke off is asked once
 * more, because a page that slept finds its own closing: a change is under an Idempotency-Key, so it is made once. An answer that did
 * not come is an answer too, with the code `unknown`. Rejected: waiting for an engine that is busy or stopped (client/patience.ts). Its
 * words are for the person in front of the page, who decides.
 */
import { isDone, Transport } from '../../client/transport.ts'

const ANSWER_MS = 10_000

const NO_ANSWER = {
  code: 'unknown',
  title: 'No answer came',
  detail: 'It may have been executed. Ask again: it is done once.',
}

/** What names one change: asked for again under it, it is done once. Any page may draw it; randomUUID is for secure ones only. */
export const newOnce = () =>
  `page-${[...crypto.getRandomValues(new Uint8Array(16))].map(byte => byte.toString(16).padStart(2, '0')).join('')}`

/**
 * Asks, and gives `{ status, body, bytes }`; status 0 when no answer came. A change has an Idempotency-Key: `once`, or a new one.
 * @param {'GET' | 'POST' | 'PUT'} method
 * @param {string} path
 * @param {{ key?: string, body?: unknown, once?: string, ms?: number }} [more]
 * @returns {Promise<{ status: number, body: any, bytes: Uint8Array }>}
 */
export async function ask(method, path, { key, body, once = newOnce(), ms = ANSWER_MS } = {}) {
  const transport = new Transport({ url: '', key })
  const asked = { method, path, body, ...(method === 'GET' ? {} : { key: once }) }
  const from = performance.now()
  const first = await transport.attempt(asked, ms)
  const left = ms - (performance.now() - from)
  const { message } = /** @type {Error} */ (first.cause ?? {})
  if (first.unsent) return { ...first, body: { code: 'invalid', title: `Not sent: ${message}` } }
  const answer = first.status === 0 && left > 0 ? await transport.attempt(asked, left) : first
  return answer.status === 0 ? { ...answer, body: NO_ANSWER } : answer
}

/** The stream of the engine that served this page. */
export const streamAddress = () => `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/v1/stream`

export const succeeded = isDone

/** A refusal in words: what it means, what is wrong here, when to ask again, and the code to look up. */
export function explain({ body }) {
  const { code, title, detail, retry_after_s: wait, opens_at: opens } = body
  const parts = [title, detail === title ? '' : detail]
  if (opens) parts.push(`It opens ${new Date(opens).toLocaleString()}`)
  if (wait) parts.push(`Ask again in ${wait} s`)
  const sentences = parts.filter(Boolean).map(part => part[0].toUpperCase() + part.slice(1).replace(/\.$/, ''))
  return `${sentences.join('. ')} (${code}).`
}
