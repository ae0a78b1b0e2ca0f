/**
 * The two long computations of a draw: the root of a list, and the result of drawing it. Both are functions of bytes. A
 * list of ten million takes 3 s, and a worker that stands still for so long answers nobody; so a long list is worked on
 * in a thread of its own (draw-thread.ts), which gets the list as shared memory and no secret. A short one is not worth
 * the 0.1 s that a thread takes to start.
 */
import { Worker } from 'node:worker_threads'
import { RecordTree } from '../../draw/merkle.ts'
import { draw } from '../../draw/result.ts'
import { parseRules } from '../../draw/rules.ts'

export interface DrawWork {
  /** n times 17 bytes. */
  readonly records: Uint8Array
  /** Where it is the result that is wanted: seed and rules.json; else it is the root. */
  readonly drawn?: { readonly seed: Uint8Array; readonly rules: Uint8Array } | undefined
}

/** Lists from this size on get a thread: some 60,000 entries, 20 ms of work. */
const LONG_BYTES = 1 << 20

/** The root (32 bytes) or the result (result.json) of a list. */
export function doWork({ records, drawn }: DrawWork): Uint8Array {
  const list = Buffer.from(records.buffer, records.byteOffset, records.length)
  if (drawn) return draw(drawn.seed, list, parseRules(drawn.rules)).result
  const tree = new RecordTree()
  tree.append(list)
  return tree.root()
}

/** The same, without standing still for a long list. Rejects with what the thread died of. */
export async function workOn(work: DrawWork): Promise<Buffer> {
  const done = work.records.length < LONG_BYTES ? doWork(work) : await inThread(work)
  return Buffer.from(done.buffer, done.byteOffset, done.length)
}

function inThread({ records, drawn }: DrawWork): Promise<Uint8Array> {
  const shared = new Uint8Array(new SharedArrayBuffer(records.length))
  shared.set(records)
  const thread = new Worker(new URL('./draw-thread.ts', import.meta.url), { workerData: { records: shared, drawn } })
  return new Promise((resolve, reject) => {
    thread.once('message', resolve)
    thread.once('error', reject)
    thread.once('exit', code => reject(new Error(`the thread of a draw ended with ${code} and no answer`)))
  })
}
