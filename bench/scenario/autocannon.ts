/**
 * The familiar cross-check: autocannon, closed loop, one claim a request, each of another user.
 *
 * It rounds latency to milliseconds and is bound by its own CPU, so its rate is a floor that readers can reproduce with
 * a tool they know, not a figure of the engine. No rate is set: its correction for coordinated omission, which is wrong
 * at any rate, then does not apply. The check afterwards is coarse: every 2xx it counted must be a grant of the round.
 */

import autocannon from 'autocannon'
import { userIdOf } from '../load/user-id.ts'
import { costBetween, useOf } from '../measure/process-cost.ts'
import { figure, type MeasuredPart } from '../measure/result.ts'
import { engineFigures } from './cost-figures.ts'
import type { Stage } from './stage.ts'

const CONNECTIONS_DEFAULT = 64
const STOCK = 10_000_000

export async function* playAutocannon(stage: Stage): AsyncGenerator<MeasuredPart> {
  const { engine, operator, options } = stage
  const connections = options.connections ?? CONNECTIONS_DEFAULT
  const round = await operator.createRound({ name: 'autocannon', stock: STOCK, opensAt: new Date(Date.now() - 1000) })
  let user = 0
  const setupRequest = (request: autocannon.Request): autocannon.Request => {
    return { ...request, body: `{"user_id":"${userIdOf(user++)}"}` }
  }
  const before = useOf(engine)
  const cpuBefore = process.cpuUsage()
  const { promise, resolve, reject } = Promise.withResolvers<autocannon.Result>()
  const running = autocannon(
    {
      url: `${engine.url}/v1/rounds/${round.id}/claims`,
      method: 'POST',
      headers: { authorization: `Bearer ${engine.key}`, 'content-type': 'application/json' },
      connections,
      duration: options.seconds,
      requests: [{ setupRequest }],
    },
    (error: unknown, done) => (error ? reject(error) : resolve(done)),
  )
  const stop = () => running.stop()
  stage.interrupted.addEventListener('abort', stop)
  const result = await promise
  stage.interrupted.removeEventListener('abort', stop)
  const cpu = process.cpuUsage(cpuBefore)
  const use = costBetween(before, useOf(engine))
  const { granted, total } = (await operator.round(round.id)).stock
  const answered = result['2xx'] + result.non2xx
  const problems = [
    ...(total === STOCK ? [] : [`the engine shows a stock of ${total}, ordered were ${STOCK}`]),
    ...(granted < result['2xx'] ? [`autocannon was told of ${result['2xx']} grants, the round has ${granted}`] : []),
    ...(result.non2xx > 0 ? [`${result.non2xx} answers were not 2xx, though the stock could not run out`] : []),
  ]
  yield {
    name: 'autocannon, closed loop',
    settings: { scenario: 'autocannon', connections, seconds: options.seconds },
    audit: undefined,
    figures: [
      figure('answers', answered / result.duration, 'answers/s', 'higher'),
      figure('latency p50, whole ms', result.latency.p50, 'ms', 'lower'),
      figure('latency p99, whole ms', result.latency.p99, 'ms', 'lower'),
      ...engineFigures(use, answered),
      figure('autocannon cpu', (cpu.user + cpu.system) / Math.max(1, answered), 'µs a claim'),
      figure('autocannon busy', (cpu.user + cpu.system) / 1e4 / result.duration, '% of a core'),
    ],
    latencies: {},
    hgrm: {},
    recordFolder: undefined,
    outcomes: { '2xx': result['2xx'], other: result.non2xx, errors: result.errors },
    timeline: [],
    notes: ['autocannon is bound by its own CPU: a floor for the rate, and the check is of counts only'],
    problems,
  }
}
