/**
 * The public API over HTTP as this page needs it: one function that asks, one that puts an answer into words.
 *
 * What is public is asked without the key, so that a wrong key never hides the stock. An answer that did not come is an
 * answer too, with the code `unknown`: the request may have been executed, and asking again is safe. Rejected: throwing
 * on a refusal. It is an expected answer, and its words are for the person in front of the page.
 */
const ANSWER_MS = 10_000

const NO_ANSWER = {
  code: 'unknown',
  title: 'No answer came',
  detail: 'It may have been executed. Ask again: it is done once.',
}

/**
 * `fetch` for what may be asked twice: when the connection closed it asks once more. The engine closes idle connections, and a
 * page that slept for a while finds its own closing.
 */
export function fetchAgain(path, options = {}) {
  return fetch(path, options).catch(cause => {
    // Whoever gave up waiting does not want to wait again.
    if (!(cause instanceof TypeError) || options.signal?.aborted) throw cause
    return fetch(path, options)
  })
}

/** What names one change: asked for again under it, it is done once. Any page may draw it; randomUUID is for secure ones only. */
export const newOnce = () =>
  `page-${[...crypto.getRandomValues(new Uint8Array(16))].map(byte => byte.toString(16).padStart(2, '0')).join('')}`

/**
 * Asks, and gives `{ status, body }`; status 0 when no answer came. A change has an Idempotency-Key: `once`, or a new one.
 * @param {string} method
 * @param {string} path
 * @param {{ key?: string, body?: unknown, once?: string }} [more]
 */
export async function ask(method, path, { key, body, once = newOnce() } = {}) {
  const headers = { Accept: 'application/json' }
  if (key) headers.Authorization = `Bearer ${key}`
  if (body) headers['Content-Type'] = 'application/json'
  if (method !== 'GET') headers['Idempotency-Key'] = once
  try {
    const response = await fetchAgain(path, {
      method,
      headers,
      signal: AbortSignal.timeout(ANSWER_MS),
      ...(body && { body: JSON.stringify(body) }),
    })
    return { status: response.status, body: await response.json() }
  } catch {
    return { status: 0, body: NO_ANSWER }
  }
}

export const succeeded = ({ status }) => status >= 200 && status < 300

/** A refusal in words: what it means, what is wrong here, when to ask again, and the code to look up. */
export function explain({ body }) {
  const { code, title, detail, retry_after_s: wait, opens_at: opens } = body
  const parts = [title, detail === title ? '' : detail]
  if (opens) parts.push(`It opens ${new Date(opens).toLocaleString()}`)
  if (wait) parts.push(`Ask again in ${wait} s`)
  const sentences = parts.filter(Boolean).map(part => part[0].toUpperCase() + part.slice(1).replace(/\.$/, ''))
  return `${sentences.join('. ')} (${code}).`
}
