/**
 * The result of a draw on the stream: what everybody needs to find out how they stand. Who knows their tag computes
 * its score under the seed (one AES block) and compares it with their pool's cutoff, so one frame of some 400 bytes serves
 * any number of people; the lists are in the proof bundle.
 */
import { type EncodedFrame, encodeFrame } from './stock-frame.ts'

type Files = Readonly<Record<string, Uint8Array>>

const read = (files: Files, name: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(files[name] ?? Buffer.from('{}')).toString()) as Record<string, unknown>

/** `files` are those of the window's bundle, by name. */
export function drawnFrame(roundId: string, window: number, files: Files): EncodedFrame {
  const { seed, cutoffs } = read(files, 'result.json')
  const { root } = read(files, 'commit.json').commit as { root: string }
  return encodeFrame({
    op: 'drawn',
    round_id: roundId,
    window,
    seed,
    cutoffs,
    beacon: read(files, 'beacon.json'),
    root,
  })
}
