/**
 * Claims and live stock over one WebSocket, in MessagePack: a server that passes many people's claims on in one frame.
 *
 *   FAIRGRAB_KEY=your-operator-key node_modules/.bin/node examples/stream.ts
 *
 * FAIRGRAB_URL says where the engine is, else http://127.0.0.1:8080. The idea to take home: a `stock` frame is the whole
 * state and never a difference. Keep the newest by `epoch` and `version`, and a frame that was missed costs nothing.
 */
import { pack, unpack } from 'msgpackr'

const { FAIRGRAB_URL = 'http://127.0.0.1:8080', FAIRGRAB_KEY = '' } = process.env
const authorization = `Bearer ${FAIRGRAB_KEY}`
const STOCK = 300
const PEOPLE = Array.from({ length: 1000 }, (_, i) => `user-${i}`)

interface Stock {
  readonly op: 'stock'
  readonly state: string
  readonly remaining: number
  readonly epoch: string
  readonly version: number
}
interface Results {
  readonly op: 'results'
  readonly outcomes: readonly string[]
}
type Frame = Stock | Results | { readonly op: 'welcome' | 'subscribed' | 'error' }

async function post(path: string, body: object): Promise<{ readonly id: string }> {
  const headers = { authorization, 'content-type': 'application/json' }
  const answer = await fetch(FAIRGRAB_URL + path, { method: 'POST', headers, body: JSON.stringify(body) })
  if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`)
  return (await answer.json()) as { readonly id: string }
}

const discount = { type: 'amount_off', amount_off: 1000, minimum_amount: 4000 }
const campaign = await post('/v1/campaigns', {
  ...{ name: 'Example: stream', currency: 'CNY' },
  pack: [{ template: '40-10', valid_for_s: 604_800, discount }],
})
const round = await post(`/v1/campaigns/${campaign.id}/rounds`, { stock: STOCK })

const socket = new WebSocket(`${FAIRGRAB_URL.replace(/^http/, 'ws')}/v1/stream`, {
  protocols: ['fairgrab.msgpack.v1'],
  headers: { authorization },
})
socket.binaryType = 'arraybuffer'
const send = (frame: object) => socket.send(pack(frame))

/** The newest stock. Versions are counted within an epoch; another epoch replaces all that was known of the one before. */
let stock: Stock | undefined
let results: Results | undefined
const isOlder = (frame: Stock) => frame.epoch === stock?.epoch && frame.version < stock.version

socket.onopen = () => send({ op: 'subscribe', id: 1, topics: [`stock:${round.id}`] })
socket.onclose = ({ code }) => {
  if (!results) console.error(`the stream closed with ${code}; docs/errors.md says what each code means`)
  process.exitCode = results ? 0 : 1
}
socket.onmessage = async ({ data }) => {
  const frame = unpack(new Uint8Array(data as ArrayBuffer)) as Frame
  if (frame.op === 'error') socket.close()
  if (frame.op === 'subscribed') {
    await post(`/v1/rounds/${round.id}/open`, {})
    send({ op: 'claims', id: 2, round_id: round.id, user_ids: PEOPLE })
  }
  if (frame.op === 'stock' && !isOlder(frame)) {
    stock = frame
    console.log(`stock: ${frame.state}, ${frame.remaining} left (version ${frame.version})`)
  }
  if (frame.op === 'results') {
    results = frame
    const granted = frame.outcomes.filter(outcome => outcome === 'granted').length
    console.log(`results: ${granted} of ${PEOPLE.length} claims were granted`)
  }
  if (results && stock?.remaining === 0) socket.close()
}
