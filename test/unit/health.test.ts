/**
 * A check of the server as a worker does it: what the store found stands, whatever the parts above it cannot be asked; and
 * what fails by the clock meanwhile is logged once.
 */

import { expect, test } from 'vitest'
import { Fault } from '../../engine/base/assert.ts'
import type { Finding } from '../../engine/base/finding.ts'
import { FaultLog } from '../../engine/ops/fault-log.ts'
import { type Checked, Health } from '../../engine/ops/health.ts'
import { HandClock } from '../support/hand-clock.ts'

const FOUND = {
  problems: [],
  warnings: [],
  declared: false,
  version: '7.0.15',
  usedMemoryBytes: 1,
  nodes: 1,
  commands: 1,
  aheadMs: 7,
}
const short = { what: '0 of 1 replicas confirm a write', mend: 'start the missing replica' }
const other = { what: 'a round is damaged', mend: 'restore it' }
const slow = () => Promise.reject(new Fault('unknown', 'Redis did not answer in time'))

test('the server is asked every five seconds while grants go on, and five times a second while they are stopped', async () => {
  const clock = new HandClock()
  let [asked, problems]: [number, readonly Finding[]] = [0, []]
  const check = async () => {
    asked++
    return { ...FOUND, problems }
  }
  const health = new Health({ check, connected: () => true, clock, durability: 'always', changed: () => {} })
  await health.start()
  const passes = async (ms: number) => {
    for (let at = 0; at < ms; at += 200) {
      clock.advance(200)
      await new Promise(resume => setImmediate(resume))
    }
    return asked
  }
  expect(asked).toBe(1)
  expect([await passes(4800), await passes(200)]).toEqual([1, 2])
  problems = [short]
  expect(await passes(5000)).toBe(3)
  expect(await passes(1000)).toBe(8)
  health.stop()
  expect(await passes(6000)).toBe(8)
})

function healthOf(problems: readonly Finding[]): Health {
  const check = async () => ({ ...FOUND, problems })
  return new Health({ check, connected: () => true, clock: new HandClock(), durability: 'always', changed: () => {} })
}

test('a part that cannot be asked never stands in the place of what the store found; alone it is the finding', async () => {
  const [lacking, sound] = [healthOf([short]), healthOf([])]
  for (const health of [lacking, sound]) {
    health.watch(slow)
    await health.check()
  }
  expect(lacking.report).toMatchObject({ ready: false, problems: [short] })
  expect(sound.report).toMatchObject({ ready: false, problems: [{ what: 'Redis did not answer in time' }] })
})

test('every part is asked with what the store found; what damages single rounds is shown and stops nothing', async () => {
  const health = healthOf([])
  const asked: number[] = []
  health.watch(async checking => {
    asked.push((await checking).aheadMs)
    return { damages: [other] }
  })
  health.watch(async () => ({ warnings: [short] }))
  await health.check()
  expect(asked).toEqual([7])
  expect(health.report).toMatchObject({ ready: true, problems: [other], warnings: [short] })
  expect(health.gate()).toBeUndefined()
  health.watch(async () => ({ problems: [short] }))
  await health.check()
  expect(health.report).toMatchObject({ ready: false, problems: [short, other] })
  expect(health.gate()).toBe('fenced')
})

test('parts are asked beside the server: what neither of them gets is waited for once', async () => {
  const check = Promise.withResolvers<Checked>()
  const slowly = { connected: () => true, clock: new HandClock(), durability: 'always', changed: () => {} }
  const health = new Health({ check: () => check.promise, ...slowly })
  const looks: string[] = []
  health.watch(async () => {
    looks.push('begun')
    return { warnings: [short] }
  })
  const checked = health.check()
  expect(looks).toEqual(['begun'])
  check.resolve(FOUND)
  await checked
  expect(health.report).toMatchObject({ ready: true, warnings: [short] })
})

test('a check that fails ends when its parts have ended, so that no two looks meet', async () => {
  const look = Promise.withResolvers<Record<string, never>>()
  const check = () => Promise.reject(new Fault('unavailable', 'away'))
  const health = new Health({
    ...{ check, connected: () => true, clock: new HandClock(), durability: 'always', changed: () => {} },
  })
  health.watch(() => look.promise)
  let isOver = false
  const checked = health.check().then(() => {
    isOver = true
  })
  await new Promise(resume => setImmediate(resume))
  expect([isOver, health.report.problems[0]?.what]).toEqual([false, 'away'])
  look.resolve({})
  await checked
  expect(isOver).toBe(true)
})

test('a fault of a task is told once between two changes of the health, without its stack; a bug each time', () => {
  const lines: unknown[] = []
  const faults = new FaultLog({ warn: (...line: unknown[]) => void lines.push(line) })
  const failed = faults.reporter('draw')
  const [fault, bug] = [new Fault('unknown', 'no answer'), new Error('a bug')]
  for (let i = 0; i < 3; i++) failed(fault)
  expect(lines).toEqual([[{ cause: 'no answer' }, 'draw']])
  faults.changed()
  failed(fault)
  failed(bug)
  failed(bug)
  expect(lines.slice(1)).toEqual([
    [{ cause: 'no answer' }, 'draw'],
    [{ err: bug }, 'draw'],
    [{ err: bug }, 'draw'],
  ])
})

test.each([
  ["NOPERM this user has no permissions to run the 'cluster|slots' command", /allow \+cluster\|slots to/],
  ['Redis cannot be reached (MOVED 12113 127.0.0.1:7003)', /write redis\+cluster:\/\//],
  ['127.0.0.1:6379: ERR This instance has cluster support disabled', /write redis:\/\/ in place/],
  ['127.0.0.1:6379: it has no slots yet', /deploy\/cluster\/make.sh/],
  ['the server is a slave, not a primary', /redis\+sentinel:\/\/ and redis\+cluster:\/\//],
  [
    "Hostname/IP does not match certificate's altnames: IP: 127.0.0.1 is not in the cert's list: ",
    /cluster-announce-hostname/,
  ],
  ['Client network socket disconnected before secure TLS connection was established', /the port takes no TLS/],
  ['WRONGPASS invalid username-password pair', /the name and the password in REDIS_URL/],
  ['self-signed certificate in certificate chain', /FAIRGRAB_REDIS_CA/],
  ['error:0A00045C:SSL routines:ssl3_read_bytes:tlsv13 alert certificate required', /FAIRGRAB_REDIS_CERT/],
  ['connect ECONNREFUSED 127.0.0.1:6379', /start it, or correct REDIS_URL/],
])('%s: what helps is said', async (what, mend) => {
  const check = () => Promise.reject(new Fault('unavailable', what))
  const clock = new HandClock()
  const health = new Health({ check, connected: () => true, clock, durability: 'always', changed: () => {} })
  await health.start()
  expect(health.report.problems).toEqual([{ what, mend: expect.stringMatching(mend) }])
  health.stop()
})
