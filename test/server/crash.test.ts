/**
 * A worker that meets a bug nobody caught: it says so, takes no more work and ends, its supervisor replaces it, and no
 * grant is lost or given twice.
 *
 * The bugs are thrown into the real worker of a real node while people claim (test/support/throw-on-signal.ts). Whoever
 * got no answer asks again, as a client would, and the grants are then exactly those that were promised.
 */
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { treeOf } from '../../bench/measure/process-cost.ts'
import { Api, type Granted, makeRound } from '../support/api.ts'
import { KEYS } from '../support/engine.ts'
import { startNodeProcess } from '../support/node-process.ts'

const PLANT = fileURLToPath(new URL('../support/throw-on-signal.ts', import.meta.url))
const PEOPLE = 20

test('an uncaught bug, thrown or rejected, ends the worker with a word and exit 1, and the next one goes on', async () => {
  await using node = await startNodeProcess({ NODE_OPTIONS: `--import=${PLANT}`, LOG_LEVEL: 'warn' })
  const worker = () => treeOf(node.pid).find(({ name }) => name.startsWith('worker'))?.pid as number
  const api = new Api(node.url, KEYS.operator)
  const round = await makeRound(api, { stock: 2 * PEOPLE })
  const told = new Map<string, number>()
  const claim = async (user_id: string): Promise<void> => {
    for (;;) {
      const reply = await api.post<Granted>(`/v1/rounds/${round.id}/claims`, { user_id }).catch(() => undefined)
      if (reply && reply.status < 300) {
        const { sequence } = reply.body.claim
        expect(told.get(user_id) ?? sequence).toBe(sequence)
        told.set(user_id, sequence)
        return
      }
      await new Promise(done => setTimeout(done, 100))
    }
  }
  for (const [signal, word] of [
    ['SIGUSR2', 'thrown'],
    ['SIGHUP', 'rejected'],
  ] as const) {
    node.forgetWords()
    const before = worker()
    const people = Array.from({ length: PEOPLE }, (_, i) => claim(`${word}-${i}`))
    process.kill(before, signal)
    await node.says(/a worker ended \(1\); it is replaced/)
    expect(node.words).toMatch(new RegExp(`a planted bug was ${word}[\\s\\S]*this worker ends because of a bug`))
    await Promise.all(people)
    expect(worker()).not.toBe(before)
  }
  for (const user of told.keys()) await claim(user)
  expect([...told.values()].sort((a, b) => a - b)).toEqual(Array.from({ length: 2 * PEOPLE }, (_, i) => i + 1))
})
