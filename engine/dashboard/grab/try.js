/**
 * Puts the page for people who grab together: the round's public state, its stream, the button, the answer, the receipt.
 *
 * To copy it, replace `signIn`: it gives the credential and what the claim says about its user. With a user's token the
 * body is empty, since the token names the person; a key, which must never reach a browser outside of a trial, needs the name. The countdown
 * runs by the engine's clock, which the stream has, because phones are minutes wrong. After a draw each browser computes
 * from one frame whether its receipt won, and only winners ask for their vouchers: a million losers cost nothing.
 */
import { claim as claimAt } from '../../client/claim.ts'
import { Stream } from '../../client/stream.ts'
import { Transport } from '../../client/transport.ts'
import { drawnFiles, keysOf, rulesOf } from '../base/draw-files.js'
import { ask, explain, streamAddress, succeeded } from '../base/engine-api.js'
import { RoundStock } from '../base/round-stock.js'
import { $, buttonNode, setText, stateWord, textNode } from '../base/screen-text.js'
import { checkProof, standingOf } from './draw-proof.js'
import { NOT_DRAWN, REFUSED, wordsFor } from './try-words.js'

const TICK_MS = 250
/** Winners ask for their vouchers within this time of the draw, spread evenly. */
const SPREAD_MS = 1000
const LOOPBACK = ['127.0.0.1', 'localhost', '[::1]']

const roundId = decodeURIComponent(location.pathname.split('/')[2] ?? '')
const round = new RoundStock(roundId)
const moments = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' })
let connection = { state: 'connecting' }
let receipt
let windowEnds
/** Whether the receipt's own draw was shown; a frame that came while nobody listened was not. */
let isDrawShown = false
let isAsking = false
/** Whether who is named below has their claim or entry on screen: then the button is not what they look for. */
let isIn = false
let isUnknown = false

const isToken = credential => credential.split('.').length === 3

/** Who claims: a credential, and what the body says of the user. A platform puts its own session here. */
/** @returns {{ credential: string, user?: string, pool?: string }} */
function signIn() {
  const credential = $('credential').value.trim()
  const pool = $('pool-field').hidden ? undefined : $('pool').value
  return isToken(credential) ? { credential } : { credential, user: $('user').value.trim(), pool }
}

const stream = new Stream({
  address: streamAddress(),
  received: frame => {
    if (frame.round_id === roundId) take(() => round.takeStock(frame, performance.now()))
  },
  drawn: frame => void tellDraw(frame),
  changed: next => {
    connection = next
    if (next.state === 'live') void readRound()
    tick()
  },
})

async function readRound() {
  const answer = await ask('GET', `/v1/rounds/${encodeURIComponent(roundId)}`)
  isUnknown = answer.status === 404
  if (!succeeded(answer)) {
    setText($('state'), isUnknown ? 'Unknown' : 'Not to be reached')
    setText($('note'), isUnknown ? 'There is no such round. Look at the address again.' : explain(answer))
    return
  }
  take(() => round.takeRound(answer.body, performance.now()))
  fillPools(answer.body.pools)
  $('kept').hidden = !round.isDrawn
  stream.watch([roundId])
  if (receipt && !isDrawShown) setTimeout(claim, Math.random() * SPREAD_MS)
}

function fillPools(pools) {
  /** @type {HTMLSelectElement} */
  const known = document.querySelector('select#pool')
  if (pools.length === known.options.length) return
  $('pool').replaceChildren(...pools.map(({ name }) => new Option(name, name)))
  $('pool-field').hidden = pools.length < 2
}

function take(news) {
  const before = round.stock?.state
  if (!news()) return
  const { state } = round.stock
  if (before && before !== state) setText($('announcement'), `The round: ${stateWord(state)}`)
  draw()
}

function draw() {
  if (!round.stock) return
  const { state, total, remaining } = round.stock
  const words = wordsFor(round, stream.clock.now(), { windowEnds })
  $('round').dataset.state = state
  setText($('state'), stateWord(state, round.isDrawn))
  setText($('big'), words.big[0])
  setText($('what'), words.big[1])
  setText($('note'), words.note)
  const share = total > 0 ? remaining / total : 0
  /** @type {HTMLProgressElement} */
  const bar = document.querySelector('#bar')
  if (bar.value !== share) bar.value = share
  $('bar').hidden = round.isDrawn
  setText($('button'), isAsking ? 'Asking…' : isIn ? words.again : words.button)
  $('button').classList.toggle('quiet', isIn)
  $('button').disabled = words.disabled
  $('grab').hidden = !LOOPBACK.includes(location.hostname) || isUnknown
}

function tick() {
  const { state, reason } = connection
  const age = stream.receivedAt > 0 ? Math.round((performance.now() - stream.receivedAt) / 1000) : 0
  const words = { connecting: 'Connecting', live: 'Live' }[state] ?? `Disconnected, data ${age} s old`
  $('connection').dataset.state = state
  setText($('connection'), state === 'refused' ? `Refused by the engine: ${reason}` : words)
  $('main').classList.toggle('stale', state !== 'live')
  draw()
}

async function claim() {
  if (isAsking) return
  isAsking = true
  $('button').setAttribute('aria-busy', 'true')
  draw()
  const waiting = ({ attempt, waitMs }) =>
    show(textNode('p', `No certain answer yet; asking again in ${Math.ceil(waitMs / 1000)} s (attempt ${attempt}).`))
  const { credential, user, pool } = signIn()
  const result = await claimAt(new Transport({ url: '', key: credential }), roundId, { user, pool, waiting })
  isAsking = false
  $('button').removeAttribute('aria-busy')
  draw()
  await showResult(result)
}

/** @param {import('../../client/claim.ts').ClaimResult} result */
async function showResult(result) {
  isIn = result.outcome === 'granted' || result.outcome === 'entered'
  draw()
  if (result.outcome === 'entered') return keepReceipt(result.receipt.fields)
  if (result.outcome === 'granted') {
    settle()
    return showVouchers(result)
  }
  const isLost = result.outcome === 'sold_out' && round.isDrawn
  if (isLost) settle()
  show(textNode('p', isLost ? NOT_DRAWN : refusalWords(result), 'refused'))
}

/** What a refusal means for the person; other codes are shown as the engine words them. */
function refusalWords(result) {
  const code = result.code ?? result.outcome
  return REFUSED[code] ?? explain({ body: result.body?.code ? result.body : { code, title: result.detail } })
}

function show(...nodes) {
  $('answer').replaceChildren(...nodes)
}

function showVouchers({ claim: held, vouchers }) {
  const list = document.createElement('ul')
  list.className = 'vouchers'
  for (const { code, template, expires_at: expires } of vouchers) {
    const row = document.createElement('li')
    row.append(textNode('code', code), textNode('span', `${template}, until ${moments.format(new Date(expires))}`))
    row.append(buttonNode('Copy', `Copy ${code}`, button => void copy(code, button)))
    list.append(row)
  }
  const place = `Yours, number ${held.sequence.toLocaleString()} of this round.`
  show(textNode('p', place), list)
  $('answer').focus()
}

/** Puts a text on the clipboard; where the browser forbids that the button says so, and the text can be marked. */
async function copy(text, button) {
  const isDone = await navigator.clipboard?.writeText(text).then(
    () => true,
    () => false,
  )
  const word = isDone ? 'Copied' : 'Mark it to copy'
  setText(button, word)
  if (button.hasAttribute('aria-label')) button.setAttribute('aria-label', `${word}: ${text}`)
}

async function keepReceipt(given) {
  receipt = given
  show(textNode('p', 'You are in. The result comes here by itself; you need not stay or tap again.'))
  $('proof').hidden = false
  const rules = await rulesOf(roundId, receipt.window)
  windowEnds = rules && Date.parse(rules.closes_at)
  showChecks('checks', await checkProof(await evidenceOf(receipt)))
  draw()
}

/** The receipt's owner is known where a key named them, and in a token. */
async function evidenceOf(given) {
  const { credential, user } = signIn()
  const claims = isToken(credential)
    ? JSON.parse(atob(credential.split('.')[1].replace(/-/g, '+').replace(/_/g, '/')))
    : {}
  return { receipt: given, userId: given.user_id ?? user ?? claims.sub, keys: await keysOf(roundId) }
}

function showChecks(id, rows) {
  const items = rows.map(({ name, verdict, words }) => {
    const item = textNode('li', verdict === 'holds' ? `${name}: ${words}` : `${name} ${verdict}: ${words}`)
    item.dataset.verdict = verdict
    return item
  })
  $(id).replaceChildren(...items)
}

/** The receipt's draw is over and shown, and can be checked. */
function settle() {
  isDrawShown = true
  $('check-draw').hidden = false
}

/** A draw was made: this browser computes how its own receipt stands, and asks only when there is something to get. */
async function tellDraw(frame) {
  if (frame.round_id !== roundId || frame.window !== receipt?.window) return
  settle()
  const standing = await standingOf(receipt, frame, await rulesOf(roundId, receipt.window))
  if (standing === undefined) return show(textNode('p', NOT_DRAWN))
  if (standing === 'waitlist')
    return show(textNode('p', 'You are on the waitlist: if a seat lapses, it may become yours.'))
  show(textNode('p', 'You won. Fetching your vouchers…'))
  setTimeout(claim, Math.random() * SPREAD_MS)
}

/** Checks a receipt with the draw's files where they are there, else by itself. */
async function checkAll(given, list, answer) {
  setText($(answer), 'Checking…')
  const evidence = { ...(await evidenceOf(given)), ...(await drawnFiles(given)) }
  const rows = await checkProof(evidence)
  showChecks(list, rows)
  const fails = rows.filter(({ verdict }) => verdict === 'fails').length
  const what = evidence.files ? 'The draw' : 'The receipt, whose draw is not over,'
  setText($(answer), fails > 0 ? `${fails} of ${rows.length} checks fail.` : `${what} was checked in this browser.`)
}

function checkKept() {
  let given
  try {
    given = JSON.parse($('kept-receipt').value)
  } catch {
    return setText($('kept-answer'), 'This is no receipt: it should begin with a brace.')
  }
  const inner = given.receipt ?? given
  if (!/^[0-9a-f]{32}$/.test(inner?.tag) || inner.round_id !== roundId || !Array.isArray(inner.path))
    return setText($('kept-answer'), 'This is no receipt of this round.')
  void checkAll(inner, 'kept-checks', 'kept-answer')
}

function onSubmit(id, act) {
  $(id).addEventListener('submit', event => {
    event.preventDefault()
    void act()
  })
}

function start() {
  const isTrial = LOOPBACK.includes(location.hostname)
  $('who').hidden = !isTrial
  $('elsewhere').hidden = isTrial
  setText($('title'), `Round ${roundId.slice(4, 12)}`)
  $('user').value = `guest-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`
  $('credential').addEventListener('input', () => {
    $('user-field').hidden = isToken($('credential').value.trim())
  })
  $('identity').addEventListener('input', () => {
    isIn = false
    draw()
  })
  onSubmit('grab', claim)
  onSubmit('identity', () => {})
  onSubmit('kept-form', checkKept)
  $('copy-receipt').addEventListener('click', () => {
    const { user } = signIn()
    void copy(JSON.stringify(user ? { ...receipt, user_id: user } : receipt), $('copy-receipt'))
  })
  $('check-draw').addEventListener('click', () => void checkAll(receipt, 'checks', 'proof-answer'))
  addEventListener('online', () => connection.state === 'lost' && stream.connect())
  setInterval(tick, TICK_MS)
  stream.connect()
}

start()
