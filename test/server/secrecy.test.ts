/**
 * What a node says, at its most talkative: no key, token, voucher code, secret or password is in its log, its metrics,
 * its health, its contracts, the arguments of its processes, or in what the command line prints about it.
 *
 * Every secret is long and stands nowhere else, so that searching for it is enough, in parts of 12 characters too: half
 * a key in a log is a key. The node loses its Redis on the way, since the words about trouble are written by others.
 */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import { expect, test } from 'vitest'
import { treeOf } from '../../bench/measure/process-cost.ts'
import { checkAddress, shownUrl } from '../../engine/store/connection/address.ts'
import { ROOT } from '../repo/tree.ts'
import { Api, type Granted, PACK, type Round } from '../support/api.ts'
import { freePort, startNodeProcess } from '../support/node-process.ts'
import { startLocalRedis } from '../support/redis.ts'
import { openStream, upgradeStatus } from '../support/stream-client.ts'
import { userToken } from '../support/user-token.ts'

const run = promisify(execFile)
const PASSWORD = 'Wq7-redis-password-Wq7'
const KEYS = {
  operator: 'Op4-operator-secret-Op4x',
  platform: 'Pl5-platform-secret-Pl5x',
  merchant: 'Me6-merchant-secret',
}
const JWT = 'Jw8-secret-of-user-tokens-32-bytes-Jw8'
const SECRETS = { FAIRGRAB_VOUCHER_SECRET: 'a1b2c3d4'.repeat(8), FAIRGRAB_DRAW_SECRET: '4d3c2b1a'.repeat(8) }
const PART = 12

/** Where a secret, or a part of it that is long enough to matter, stands in a text. */
function leaks(text: string, secrets: Readonly<Record<string, string>>): string[] {
  return Object.entries(secrets).flatMap(([name, secret]) => {
    for (let at = 0; at + PART <= secret.length; at++) {
      const place = text.indexOf(secret.slice(at, at + PART))
      if (place >= 0) return [`${name}: ${text.slice(Math.max(0, place - 60), place + 60)}`]
    }
    return []
  })
}

test('the search finds half a secret', () => {
  expect(leaks('the key Op4-operator-s… is wrong', KEYS)).toHaveLength(1)
  expect(leaks('nothing of it', KEYS)).toEqual([])
})

/** All that a day brings: good and bad credentials and codes, on every way in. Returns what must not be seen. */
async function useEverything(url: string): Promise<Record<string, string>> {
  const token = userToken('me', { secret: JWT })
  const expired = userToken('me', { secret: JWT, claims: { exp: 1 } })
  const operator = new Api(url, KEYS.operator)
  const merchant = new Api(url, KEYS.merchant)
  const campaign = await operator.post<{ id: string }>('/v1/campaigns', { name: 'secret', currency: 'CNY', pack: PACK })
  const asked = { stock: 10, opens_at: '2020-01-01T00:00:00.000Z' }
  const { body: round } = await operator.post<Round>(`/v1/campaigns/${campaign.body.id}/rounds`, asked)
  const { body } = await operator.as(token).post<Granted>(`/v1/rounds/${round.id}/claims`, {})
  const [code, spare] = body.vouchers.map(voucher => voucher.code) as [string, string]
  for (const wrong of [expired, `${token}x`, `${KEYS.operator}x`, KEYS.operator.slice(1), 'Bearer'])
    expect((await operator.as(wrong).get('/v1/campaigns')).status).toBe(401)
  for (const credential of [KEYS.platform, token, expired, `${KEYS.platform}x`])
    await upgradeStatus(url, { query: `?access_token=${credential}` })
  const stream = await openStream(url, { query: `?access_token=${token}` })
  await stream.ask({ op: 'claim', id: 1, round_id: round.id })
  stream.send('{"op":')
  await stream.next('error')
  await stream.close()
  const order = { id: 'o', amount: 5000, currency: 'CNY' }
  const forged = `${code.slice(0, -1)}${code.endsWith('Z') ? 'Y' : 'Z'}`
  for (const each of [code, forged]) {
    await merchant.get(`/v1/vouchers/${each}`)
    await merchant.post(`/v1/vouchers/${each}/lock`, { order_id: 'o', ttl_s: 5 })
    await merchant.post('/v1/redemptions', { code: each, order, merchant_id: 'm' }, { 'idempotency-key': 'k1' })
    await merchant.post('/v1/redemptions', Buffer.from(`{"code":"${each}"`), { 'idempotency-key': 'k2' })
  }
  await operator.post(`/v1/vouchers/${spare}/deactivate`, { reason: 'lost' })
  await operator.get(`/v1/rounds/${round.id}/nothing/${code}`)
  return { token, expired, code, spare, forged, ...KEYS, JWT, PASSWORD, ...SECRETS }
}

test('no secret in log, metrics, health, contracts, audit, arguments of processes and the command line', async () => {
  const port = await freePort()
  await using redis = await startLocalRedis({ port, args: ['--include', join(ROOT, 'deploy/redis-users.conf')] })
  const admin = new Redis(redis.url)
  await admin.acl('SETUSER', 'fairgrab', 'resetpass', `>${PASSWORD}`)
  const env = {
    ...SECRETS,
    REDIS_URL: `redis://fairgrab:${PASSWORD}@127.0.0.1:${port}`,
    FAIRGRAB_KEYS: Object.entries(KEYS)
      .map(([role, key]) => `${role}:${key}`)
      .join(','),
    FAIRGRAB_JWT_SECRET: JWT,
    LOG_LEVEL: 'trace',
  }
  await using node = await startNodeProcess(env)
  const secrets = await useEverything(node.url)
  await admin.client('KILL', 'USER', 'fairgrab')
  await node.says(/redis down[\s\S]*redis up/)
  const operator = new Api(node.url, KEYS.operator)
  const seen: Record<string, string> = {
    log: node.words,
    arguments: treeOf(node.pid)
      .map(({ pid }) => readFileSync(`/proc/${pid}/cmdline`, 'utf8'))
      .join('\n'),
  }
  for (const path of ['/metrics', '/readyz?verbose', '/openapi.json', '/asyncapi.json', '/v1/audit', '/v1/rates', '/'])
    seen[path] = (await operator.get(path)).bytes.toString()
  for (const word of ['config check', 'doctor --json']) {
    const { PATH } = process.env
    const cli = run(process.execPath, [join(ROOT, 'engine/cli.ts'), ...word.split(' ')], { env: { PATH, ...env } })
    const { stdout, stderr } = await cli.catch((cause: { stdout: string; stderr: string }) => cause)
    expect(stdout.length).toBeGreaterThan(20)
    seen[word] = stdout + stderr
  }
  admin.disconnect()
  expect(seen.log?.length).toBeGreaterThan(500)
  expect(
    Object.entries(seen).flatMap(([where, text]) => leaks(text, secrets).map(leak => `${where}: ${leak}`)),
  ).toEqual([])
})

test.each([
  [`redis://me:${PASSWORD}@host:1/2`, 'redis://host:1/2'],
  [`rediss://:${PASSWORD}@host`, 'rediss://host'],
  [`redis+sentinel://me:${PASSWORD}@a:1,b:2/name`, 'redis+sentinel://a:1,b:2/name'],
  [`rediss+cluster://me:${PASSWORD}@a:1,b:2`, 'rediss+cluster://a:1,b:2'],
  ['unix:///run/redis.sock', 'unix:///run/redis.sock'],
  [`redis://me:p@ss:${PASSWORD}@host`, 'redis://host'],
])('an address is shown without its password: %#', (url, shown) => {
  expect(shownUrl(url)).toBe(shown)
})

test.each([
  `me:${PASSWORD}@host`,
  `http://me:${PASSWORD}@host`,
  `redis+sentinel://me:${PASSWORD}@host`,
  `redis://me:${PASSWORD}@h/x`,
  `redis+cluster://me:${PASSWORD}@a:1,b:x`,
  `redis+cluster://me:${PASSWORD}@a:1/3`,
  `redis+cluster://me:${PASSWORD}%zz@a:1`,
])('an address that cannot be read is shown without its password: %#', url => {
  let said = ''
  try {
    checkAddress(url)
  } catch (cause) {
    said = String((cause as Error).stack)
  }
  expect(said).toMatch(/REDIS_URL/)
  expect(leaks(said, { PASSWORD })).toEqual([])
})
