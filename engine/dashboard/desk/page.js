/**
 * Puts the page together: the list of rounds, the stream, the key and the claims.
 *
 * Stock comes by the stream only; the list is read when the stream is there (again), and every three seconds the newest
 * round is asked for, because no topic has new rounds. Frames change what is known at once and the screen at most
 * once a frame of it; a slow clock of four ticks a second moves countdowns, ages and rates, and once a second the charts
 * move. Screen readers speak of the connection and of changes of state, never of a number. The key is kept in this page's
 * memory only: a reload forgets it, so a screen on a wall cannot be left with one.
 */
import { Stream } from '../../client/stream.ts'
import { ask, explain, streamAddress, succeeded } from '../base/engine-api.js'
import { RoundStock } from '../base/round-stock.js'
import { $, countdown, setIcon, setText, stateWord, textNode } from '../base/screen-text.js'
import { CaseLookup } from './case-lookup.js'
import { DeskLevers } from './desk-levers.js'
import { readDrawFacts } from './draw-facts.js'
import { LeverDialog } from './lever-dialog.js'
import { Levers } from './levers.js'
import { PulseBoard } from './pulse-board.js'
import { ReleaseForm } from './release-form.js'
import { RoundCard } from './round-card.js'
import { DEMO_CAMPAIGN, DEMO_ROUND, grantNodes } from './trial.js'

const LIST_MS = 3000
const TICK_MS = 250
const SECOND_MS = 1000
/** A drawn round's states in which its draw moves on. */
const BETWEEN = ['closed', 'drawing']
const ROUNDS_STEP = 20
/** The engine lets a socket watch 64 topics. */
const ROUNDS_MAX = 60

const rounds = new Map()
const campaigns = new Map()
let limit = ROUNDS_STEP
let newestId
let connection = { state: 'connecting' }
let isListed = false
let drawing = false
let key = ''
const board = new PulseBoard(() => key)
const dialog = new LeverDialog(() => key)
const levers = new Levers(dialog)
const deskLevers = new DeskLevers(dialog, () => key)

const stream = new Stream({
  address: streamAddress(),
  received: frame => {
    const entry = rounds.get(frame.round_id)
    if (entry) take(entry, () => entry.round.takeStock(frame, performance.now()))
  },
  drawn: ({ round_id: id }) => {
    const entry = rounds.get(id)
    if (entry) void readDraw(entry)
  },
  changed: next => {
    if (next.state === 'live') {
      isListed = false
      void readRounds()
    }
    if (next.state !== connection.state && next.state !== 'connecting') announce(CONNECTION[next.state])
    // An attempt after a loss is still a loss until it succeeds: the words and the button stay where they are.
    const isAgain = next.state === 'connecting' && connection.state !== 'connecting'
    connection = isAgain ? { ...connection, reason: 'trying now', retryAt: undefined } : next
    if (connection.state === 'lost') for (const { round } of rounds.values()) round.lose(performance.now())
    tick()
  },
})

const isCurrent = () => connection.state === 'live' && isListed

const screenTimes = () => ({
  now: performance.now(),
  serverNow: stream.clock.now(),
  isCurrent: isCurrent(),
  isFenced: isCurrent() && board.health?.problems?.length > 0,
})

const CONNECTION = {
  connecting: 'Connecting',
  live: 'Live',
  lost: 'Disconnected',
  refused: 'Refused by the engine',
}

function announce(words) {
  $('announcement').textContent = words
}

function drawConnection() {
  const { state, reason, retryAt } = connection
  const now = performance.now()
  const age = stream.receivedAt > 0 ? Math.round((now - stream.receivedAt) / 1000) : undefined
  const old = age === undefined ? '' : `data ${age} s old`
  const retry = retryAt > now ? `trying again in ${countdown(retryAt - now)}` : ''
  $('connection').dataset.state = state
  setIcon($('connection'), state === 'refused' ? 'lost' : state)
  setText($('connection-words'), CONNECTION[state])
  setText($('connection-age'), [old, state === 'live' ? '' : reason, retry].filter(Boolean).join(', '))
  $('reconnect').hidden = state === 'live' || state === 'connecting'
  $('main').classList.toggle('stale', !isCurrent())
}

/** Takes news of a round in, announces a change of its state, and has it drawn. */
function take(entry, news) {
  const before = entry.round.stock?.state
  if (!news()) return
  const { state } = entry.round.stock
  if (before && before !== state) announce(`${titleOf(entry.round)}: ${stateWord(state, entry.round.isDrawn)}`)
  if (before !== state && entry.round.isDrawn && state !== 'scheduled') void readDraw(entry)
  redraw(entry)
}

/** Where the draws of a round stand, read when its state changed or a result came, and by the second between the two: no frame has a phase. */
async function readDraw(entry) {
  entry.asked = (entry.asked ?? 0) + 1
  const { asked } = entry
  const facts = await readDrawFacts(entry.round.id)
  if (asked !== entry.asked) return
  entry.round.facts = facts
  redraw(entry)
}

function redraw(entry) {
  entry.dirty = true
  if (drawing) return
  drawing = true
  requestAnimationFrame(draw)
}

function draw() {
  drawing = false
  const times = screenTimes()
  for (const entry of rounds.values()) {
    if (!entry.dirty) continue
    entry.dirty = false
    entry.card.draw(entry.round, times)
    levers.fill(entry.card.levers, entry.round, titleOf(entry.round))
  }
}

function tick() {
  drawConnection()
  const times = screenTimes()
  for (const { card, round } of rounds.values()) {
    card.drawMoment(round, times)
    if (round.opensAt || round.closesAt) card.draw(round, times)
  }
}

/** Once a second: what the node does, and the charts of the rounds. */
async function second() {
  if (!document.hidden) await board.read(isCurrent())
  const { now } = screenTimes()
  for (const entry of rounds.values()) {
    const { card, round } = entry
    if (round.isDrawn && isCurrent() && BETWEEN.includes(round.stock.state)) void readDraw(entry)
    round.sample(now, isCurrent())
    card.drawSecond(round, isCurrent() ? board.viewers(round.id) : undefined)
  }
}

const titleOf = ({ id, campaignId }) => campaigns.get(campaignId) ?? `Round ${id.slice(4, 12)}`

async function readRounds() {
  const answer = await ask('GET', `/v1/rounds?limit=${limit}`)
  setText($('list-answer'), succeeded(answer) ? '' : `The rounds could not be read. ${explain(answer)}`)
  if (!succeeded(answer)) return
  const { data, has_more: more } = answer.body
  const known = new Map(rounds)
  rounds.clear()
  newestId = data[0]?.id
  const readable = data.filter(({ problem }) => problem === undefined)
  for (const round of readable) {
    const entry = known.get(round.id) ?? newEntry(round.id)
    rounds.set(round.id, entry)
    take(entry, () => entry.round.takeRound(round, performance.now()))
    entry.round.recover(performance.now())
  }
  arrange()
  drawDamaged(data.filter(({ problem }) => problem !== undefined))
  stream.watch(rounds.keys())
  isListed = true
  drawConnection()
  $('nothing').hidden = data.length > 0
  $('older-row').hidden = !more || limit >= ROUNDS_MAX
  $('oldest').hidden = !more || limit < ROUNDS_MAX
  if (readable.some(({ campaign_id: id }) => !campaigns.has(id))) await readCampaigns()
}

/** Rounds that cannot be read have no stock to show, so they are lines and no cards. */
function drawDamaged(damaged) {
  $('damaged').hidden = damaged.length === 0
  $('damaged').replaceChildren(...damaged.map(({ id, problem }) => textNode('li', `${id}: fenced. ${problem}`)))
}

function newEntry(id) {
  return { round: new RoundStock(id), card: new RoundCard($('card'), id, claim), dirty: true }
}

/** Where a card stands: what moves before what waits before what is over, and the newest first. */
const PLACES = ['open', 'fenced', 'paused', 'drawing', 'sold_out', 'scheduled', 'drawn', 'closed']
const placeOf = ({ round }) => PLACES.indexOf(round.stock.state)

/** Cards in their order, which changes only with the list: none may jump away under a finger. One that stands where it belongs is not moved: moving it would lose the focus. */
function arrange() {
  const entries = [...rounds.values()].sort((a, b) => placeOf(a) - placeOf(b))
  const elements = entries.map(({ card, round }) => {
    card.setTitle(titleOf(round))
    card.setKey(key !== '')
    levers.fill(card.levers, round, titleOf(round))
    return card.element
  })
  for (const element of [...$('cards').children]) if (!elements.includes(element)) element.remove()
  elements.forEach((element, place) => {
    const there = $('cards').children[place]
    if (there !== element) $('cards').insertBefore(element, there ?? null)
  })
}

/** The names of the campaigns, for a key that may read them. Says what is wrong with the key. */
async function readCampaigns() {
  $('demo-row').hidden = key === ''
  $('demo-key').hidden = key !== ''
  for (const { card } of rounds.values()) card.setKey(key !== '')
  $('release-section').hidden = key === ''
  for (const id of ['lookup-section', 'controls']) $(id).hidden = true
  setText($('who'), key === '' ? 'Read only: give a key' : 'With a key')
  if (key === '') return
  const answer = await ask('GET', '/v1/campaigns?limit=1000', { key })
  // 403 is a key that may do other things: a merchant's, or a user's token, which can claim.
  const isKey = succeeded(answer) || answer.status === 403
  setText($('key-answer'), isKey ? 'The key is used in this tab.' : `The key is of no use. ${explain(answer)}`)
  if (!succeeded(answer)) return
  $('lookup-section').hidden = false
  void deskLevers.read()
  for (const { id, name } of answer.body.data) campaigns.set(id, name)
  arrange()
}

async function claim(pool, card) {
  const user = $('user').value.trim()
  card.setBusy(true)
  const body = { ...(pool && { pool }), ...(user && { user_id: user }) }
  const answer = await ask('POST', `/v1/rounds/${card.element.dataset.round}/claims`, { key, body })
  card.setBusy(false)
  if (succeeded(answer)) card.showResult(...grantNodes(answer.body))
  else card.showResult(textNode('p', `Not granted. ${explain(answer)}`, 'refused'))
}

async function makeDemo() {
  const made = await ask('POST', '/v1/campaigns', { key, body: DEMO_CAMPAIGN })
  const path = `/v1/campaigns/${made.body.id}/rounds`
  const round = succeeded(made) ? await ask('POST', path, { key, body: DEMO_ROUND }) : made
  setText($('demo-answer'), succeeded(round) ? '' : `Nothing was made. ${explain(round)}`)
  await readRounds()
}

function curl(path, body) {
  const lines = [
    `curl -X POST ${location.origin}${path}`,
    '-H "Authorization: Bearer $KEY" -H "Content-Type: application/json"',
    `-d '${JSON.stringify(body)}'`,
  ]
  return lines.join(' \\\n  ')
}

function start() {
  new ReleaseForm(() => key, readRounds)
  const deactivate = (code, done) => deskLevers.openDeactivation(code, done)
  new CaseLookup({ key: () => key, titleOf, deactivate })
  $('user').value = `guest-${Math.random().toString(36).slice(2, 8)}`
  $('curl-campaign').textContent = curl('/v1/campaigns', DEMO_CAMPAIGN)
  $('curl-round').textContent = curl('/v1/campaigns/CAMPAIGN_ID/rounds', DEMO_ROUND)
  $('try').addEventListener('submit', event => {
    event.preventDefault()
    key = $('key').value.trim()
    setText($('key-answer'), key === '' ? 'There is no key now.' : '')
    void readCampaigns()
  })
  $('demo').addEventListener('click', makeDemo)
  $('reconnect').addEventListener('click', () => stream.connect())
  $('older').addEventListener('click', () => {
    limit = Math.min(ROUNDS_MAX, limit + ROUNDS_STEP)
    void readRounds()
  })
  setInterval(tick, TICK_MS)
  setInterval(second, SECOND_MS)
  setInterval(async () => {
    if (connection.state !== 'live' || document.hidden) return
    const answer = await ask('GET', '/v1/rounds?limit=1')
    if (!succeeded(answer)) return setText($('list-answer'), `The rounds could not be read. ${explain(answer)}`)
    const [newest] = answer.body.data
    if (!isListed || newest?.id !== newestId || !$('damaged').hidden) await readRounds()
  }, LIST_MS)
  addEventListener('online', () => connection.state === 'lost' && stream.connect())
  void readCampaigns()
  stream.connect()
}

start()
