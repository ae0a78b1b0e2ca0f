/**
 * A round's stock on the stream: absolute values with (epoch, version), so a receiver that lost frames lost nothing.
 * Each change is encoded once for each encoding, whatever the number of viewers.
 */
import { encode } from './encoding.ts'

export interface StockFields {
  readonly op: 'stock'
  readonly round_id: string
  readonly state: string
  readonly total: number
  readonly granted: number
  readonly remaining: number
  readonly epoch: string
  readonly version: number
  readonly at: string
  readonly pools?: readonly {
    readonly name: string
    readonly total: number
    readonly granted: number
    readonly remaining: number
  }[]
}

export interface EncodedFrame {
  readonly json: string
  readonly msgpack: Buffer
}

export const encodeFrame = (words: object): EncodedFrame => ({
  json: JSON.stringify(words),
  msgpack: Buffer.from(encode(words, 'msgpack')),
})
