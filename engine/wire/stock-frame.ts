/**
 * A round's stock on the stream: absolute values with (epoch, version), so a receiver that lost frames lost nothing.
 * Each change is encoded once for each encoding, whatever the number of viewers.
 */
import { encode } from './encoding.ts'

export interface EncodedFrame {
  readonly json: string
  readonly msgpack: Buffer
}

export const encodeFrame = (words: object): EncodedFrame => ({
  json: JSON.stringify(words),
  msgpack: Buffer.from(encode(words, 'msgpack')),
})
