/**
 * Words on screen, and the few nodes they stand in, for every page here: texts are written only where they differ, durations are shown as a countdown, a
 * state by its word. Texts become nodes by textContent and never by HTML, since names and codes come from outside.
 * Rejected: a library of templates; a page of this size changes a few dozen nodes.
 */
const STATES = {
  scheduled: 'Scheduled',
  open: 'Open',
  paused: 'Paused',
  sold_out: 'Sold out',
  fenced: 'Fenced',
  closed: 'Closed',
  drawing: 'Drawing',
  drawn: 'Drawn',
}

/** The word of a state; an open round of a draw takes entries, which is another thing than serving. */
export const stateWord = (state, isDrawn = false) =>
  isDrawn && state === 'open' ? 'Entering' : (STATES[state] ?? state.replaceAll('_', ' '))

/** Control, format, half and line-separating characters but the joiners: engine/base/shown-text.ts says why. */
const HIDDEN = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu
const escaped = char =>
  Array.from({ length: char.length }, (_, i) => `\\u${char.charCodeAt(i).toString(16).padStart(4, '0')}`).join('')

/** A text from outside as it may stand beside others: it neither turns them nor hides itself. */
export const shownText = text => String(text).replace(HIDDEN, escaped)

/** Writes a text only where it differs. */
export function setText(element, text) {
  const shown = shownText(text)
  if (element.textContent !== shown) element.textContent = shown
}

/** Shows one of the page's symbols. */
export function setIcon(element, name) {
  const href = `#icon-${name}`
  const use = element.querySelector('use')
  if (use.getAttribute('href') !== href) use.setAttribute('href', href)
}

/** @type {(id: string) => HTMLInputElement} Most are fields, and what all elements have a field has, too. */
export const $ = id => /** @type {HTMLInputElement} */ (document.getElementById(id))

/** A button that does something; what it is about is said to whoever cannot see what it stands beside. */
export function buttonNode(word, about, act, className = 'quiet') {
  const button = textNode('button', word, className)
  button.type = 'button'
  button.setAttribute('aria-label', about)
  button.addEventListener('click', () => act(button))
  return button
}

export function textNode(name, text, className = '') {
  const node = document.createElement(name)
  node.textContent = shownText(text)
  node.className = className
  return node
}

/** Seconds as a person reads a countdown: 1:05, 2:00:00, 3 d 04:00:00. */
export function countdown(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000))
  const two = number => String(number).padStart(2, '0')
  const [days, hours, minutes] = [86_400, 3600, 60].map(unit => Math.floor(seconds / unit))
  const clock = `${two(minutes % 60)}:${two(seconds % 60)}`
  if (days > 0) return `${days} d ${two(hours % 24)}:${clock}`
  return hours > 0 ? `${hours}:${clock}` : `${minutes}:${two(seconds % 60)}`
}
