/**
 * A streamed answer ends whatever its reader does. The response here plays what the library was seen to do over a real
 * socket (one list of 600,000 rows in twenty hung): it says that a part met backpressure, and never calls onWritable.
 */

import { expect, test } from 'vitest'
import { realClock } from '../../engine/base/clock.ts'
import { Exchange } from '../../engine/server/uws/exchange.ts'

const REQUEST = {
  getMethod: () => 'get',
  getUrl: () => '/',
  getQuery: () => '',
  getParameter: () => '',
  getHeader: () => '',
  forEach: () => {},
}

async function* parts(count: number): AsyncGenerator<string> {
  for (let i = 0; i < count; i++) yield `part ${i}`
}

/** An exchange over a response whose writes say what `says` says, and what it wrote. */
function exchangeOf(says: (part: number) => boolean) {
  const written: string[] = []
  const heard = { aborted: () => {}, ended: false, broken: false }
  const response = {
    onAborted: (run: () => void) => {
      heard.aborted = run
      return response
    },
    onWritable: () => response,
    cork: (run: () => void) => {
      run()
      return response
    },
    writeStatus: () => response,
    write: (part: string) => {
      written.push(part)
      return says(written.length)
    },
    end: () => {
      heard.ended = true
      return response
    },
    close: () => {
      heard.broken = true
      return response
    },
  }
  type Arguments = ConstructorParameters<typeof Exchange>
  const exchange = new Exchange(response as unknown as Arguments[0], REQUEST as unknown as Arguments[1], undefined, [
    0,
    false,
  ])
  return { exchange, written, heard }
}

test('a reader who is never said to be writable again still gets the whole list', async () => {
  const { exchange, written, heard } = exchangeOf(part => part % 2 === 0)
  await exchange.stream('text/plain', parts(8), realClock)
  expect(written).toEqual(Array.from({ length: 8 }, (_, i) => `part ${i}`))
  expect(heard.ended).toBe(true)
})

test('a reader who leaves while the answer waits for him ends it, and nothing more is written', async () => {
  const { exchange, written, heard } = exchangeOf(part => {
    if (part === 3) setImmediate(() => heard.aborted())
    return part !== 3
  })
  await exchange.stream('text/plain', parts(8), realClock)
  expect(written).toHaveLength(3)
  expect([heard.ended, exchange.open]).toEqual([false, false])
})

test('a list that fails in the middle is broken off; one that fails before its first part can still be answered', async () => {
  async function* failing(count: number): AsyncGenerator<string> {
    yield* parts(count)
    throw new Error('Redis went away')
  }
  const middle = exchangeOf(() => true)
  await expect(middle.exchange.stream('text/plain', failing(2), realClock)).rejects.toThrow('went away')
  expect(middle.written).toHaveLength(2)
  expect([middle.heard.broken, middle.heard.ended, middle.exchange.open]).toEqual([true, false, false])
  const first = exchangeOf(() => true)
  await expect(first.exchange.stream('text/plain', failing(0), realClock)).rejects.toThrow('went away')
  expect([first.heard.broken, first.exchange.open]).toEqual([false, true])
})
