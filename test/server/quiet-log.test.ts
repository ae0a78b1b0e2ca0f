/**
 * What a node logs while Redis refuses every write: a line for the cause and not one for each claim, and for each change that the
 * audit log lacks who changed what.
 */
import { expect, test } from 'vitest'
import { auditLog } from '../../engine/store/connection/keys.ts'
import { Api, makeRound } from '../support/api.ts'
import { KEYS } from '../support/engine.ts'
import { startNodeProcess } from '../support/node-process.ts'
import { rawRedis } from '../support/redis.ts'

const CLAIMS = 40

interface Line {
  readonly msg: string
  readonly cause?: string
  readonly lacking?: Readonly<Record<string, string>>
}

test('Redis refuses writes: the log says why, once, and who made the changes that the audit log lacks', async () => {
  await using node = await startNodeProcess()
  const api = new Api(node.url, KEYS.operator)
  const { id } = await makeRound(api)
  const redis = rawRedis(`unix://${node.dataDir}/redis.sock`)
  const lines = () =>
    node.words
      .split('\n')
      .filter(line => line.startsWith('{'))
      .map(line => JSON.parse(line) as Line)
  await redis.config('SET', 'maxmemory', '1')
  for (let i = 0; i < CLAIMS; i++)
    expect((await api.post(`/v1/rounds/${id}/claims`, { user_id: `u${i}` })).status).toBe(503)
  const causes = lines().filter(({ msg }) => msg === 'redis did not decide')
  expect(causes.map(({ cause }) => cause)).toEqual([expect.stringContaining('OOM')])
  await redis.config('SET', 'maxmemory', '0')
  await redis.set(auditLog(), 'not a stream')
  expect((await api.post(`/v1/rounds/${id}/pause`)).status).toBe(200)
  redis.disconnect()
  await node.says(/lacks an entry.*\n.*lacks an entry/s)
  const lacking = lines().flatMap(({ lacking: entry }) => (entry ? [entry] : []))
  const target = `/v1/rounds/${id}/pause`
  expect(lacking.map(entry => [entry.action, entry.target, entry.outcome])).toEqual([
    ['POST /v1/rounds/{id}/pause', target, 'asked'],
    ['POST /v1/rounds/{id}/pause', target, '200'],
  ])
  expect(lacking[0]).toMatchObject({
    who: expect.stringMatching(/^operator:/),
    request: expect.stringMatching(/^req_/),
  })
})
