/**
 * The live stream: one socket, the topics that are watched, and coming back after it was lost.
 *
 * It asks for stock only, which is public, so no key is ever part of an address. A ping every two seconds brings the
 * server's time and proves that the data on screen are current; a ping without any answer for six seconds is a lost
 * connection, which a network that died in silence would not show. Whether and when to come back says the range of the
 * close code; the delay is random so that all viewers do not return together, and grows until a pong came.
 */
const PING_MS = 2000
const SILENCE_MS = 6000
const RETRY_MS = 500
const RETRY_MS_MAX = 15_000

/** The stream of the engine that served this page. */
export const streamAddress = () => `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/v1/stream`

/** Milliseconds until the next attempt, or undefined when trying again without a change is of no use. */
export function reconnectAfter(code, attempt, random = Math.random()) {
  if (code >= 4400 && code < 4500) return undefined
  const least = code >= 4500 && code < 4600 ? 1000 : 0
  return least + random * Math.min(RETRY_MS_MAX, RETRY_MS * 2 ** attempt)
}

export class StockStream {
  #address
  #received
  #drawn
  #changed
  #socket
  #topics = new Set()
  #attempt = 0
  #frames = 0
  #receivedAt = 0
  #pingedAt = 0
  #pingTimer
  #retryTimer
  #serverTime = { ms: Date.now(), at: performance.now() }

  /** `received` is given stock frames, `drawn` the results of draws, `changed` the connection: { state, reason, retryAt }. */
  constructor({ address, received, drawn, changed }) {
    this.#address = address
    this.#received = received
    this.#drawn = drawn
    this.#changed = changed
  }

  /** When the last message came, in monotonic milliseconds; 0 for never. */
  get receivedAt() {
    return this.#receivedAt
  }

  serverNow() {
    return this.#serverTime.ms + performance.now() - this.#serverTime.at
  }

  connect() {
    clearTimeout(this.#retryTimer)
    this.#leave()
    this.#changed({ state: 'connecting' })
    const socket = new WebSocket(this.#address, 'fairgrab.json.v1')
    this.#socket = socket
    socket.onmessage = ({ data }) => this.#take(JSON.parse(data))
    socket.onclose = ({ code, reason }) => this.#lost(code, reason)
    this.#pingTimer = setInterval(() => this.#ping(), PING_MS)
    this.#pingedAt = 0
  }

  /** Watches exactly these rounds, on this connection: whoever receives `live` has to say again what to watch. */
  watch(roundIds) {
    const wanted = new Set(roundIds)
    const gone = [...this.#topics].filter(id => !wanted.has(id))
    const added = [...wanted].filter(id => !this.#topics.has(id))
    this.#topics = wanted
    this.#turn('unsubscribe', gone)
    this.#turn('subscribe', added)
  }

  #turn(op, roundIds) {
    if (roundIds.length > 0) this.#send({ op, topics: roundIds.map(id => `stock:${id}`) })
  }

  #send(frame) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return
    this.#frames += 1
    this.#socket.send(JSON.stringify({ id: this.#frames, ...frame }))
  }

  #take(frame) {
    this.#receivedAt = performance.now()
    if (frame.server_time) this.#serverTime = { ms: Date.parse(frame.server_time), at: this.#receivedAt }
    if (frame.op === 'stock') this.#received(frame)
    if (frame.op === 'drawn') this.#drawn(frame)
    if (frame.op === 'pong') this.#attempt = 0
    if (frame.op !== 'welcome') return
    this.#topics = new Set()
    this.#changed({ state: 'live' })
  }

  /** A ping is unanswered while nothing at all came since. Timers of a hidden page are late; its answers are not. */
  #ping() {
    const now = performance.now()
    if (this.#pingedAt > this.#receivedAt) {
      if (now - this.#pingedAt > SILENCE_MS) this.#lost(1006, 'nothing came for six seconds')
      return
    }
    this.#pingedAt = now
    this.#send({ op: 'ping' })
  }

  #lost(code, reason) {
    this.#leave()
    const wait = reconnectAfter(code, this.#attempt)
    this.#attempt += 1
    if (wait === undefined) return this.#changed({ state: 'refused', reason: reason || `close code ${code}` })
    this.#retryTimer = setTimeout(() => this.connect(), wait)
    this.#changed({ state: 'lost', reason, retryAt: performance.now() + wait })
  }

  /** Drops the socket without hearing of its end. */
  #leave() {
    clearInterval(this.#pingTimer)
    const socket = this.#socket
    this.#socket = undefined
    if (!socket) return
    socket.onmessage = null
    socket.onclose = null
    socket.close()
  }
}
