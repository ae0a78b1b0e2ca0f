/**
 * A line of `fairgrab` in a process of its own ends as it does in one that is kept for lines (support/fairgrab.ts), where all other
 * tests type theirs: with the same exit code and the same on both streams. And what a kept process cannot show: a line that starts
 * another program, whose output is its own.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ROOT } from '../repo/tree.ts'
import { bareEnv } from '../support/bare-env.ts'
import type { Ran } from '../support/command-host.ts'
import { KEYS } from '../support/engine.ts'
import { type Env, typed } from '../support/fairgrab.ts'
import { useWorker } from '../support/use-worker.ts'

const worker = useWorker()

/** As a person types it. */
const alone = (words: readonly string[], env: Env = {}): Promise<Ran> =>
  new Promise(done => {
    execFile(process.execPath, [join(ROOT, 'engine/cli.ts'), ...words], { env: bareEnv(env) }, (error, out, err) =>
      done({ code: error === null ? 0 : Number(error.code), out, err }),
    )
  })

test.each([
  ['an answer', ['version'], 0],
  ['what the environment has', ['config', 'check'], 0],
  ['a wrong word', ['campain', 'list'], 2],
  ['what an engine says', ['rates', 'show', '--json'], 0],
  ['what an engine refuses', ['round', 'show', 'rnd_none'], 1],
])('%s: %j ends with the same words in a process of its own', async (_, words, code) => {
  const env = { FAIRGRAB_URL: worker.url, FAIRGRAB_KEY: KEYS.operator, FAIRGRAB_WORKERS: '3' }
  const own = await alone(words, env)
  expect(own.code, own.err).toBe(code)
  expect(code === 0 ? own.out : own.err).not.toBe('')
  expect(await typed(words, env)).toEqual(own)
})

test('what one line was given the next one does not have', async () => {
  const [wrong, right] = [{ FAIRGRAB_WORKERS: 'many' }, { PORT: '9000' }]
  expect(await typed(['config', 'check'], wrong)).toMatchObject({
    code: 2,
    out: '',
    err: expect.stringMatching(/many/),
  })
  expect(await typed(['config', 'check'], right)).toMatchObject({
    code: 0,
    err: '',
    out: expect.stringMatching(/9000/),
  })
})

test('the bench is a program of its own, whose help is printed', async () => {
  expect(await alone(['bench', '--help'])).toMatchObject({
    code: 0,
    err: '',
    out: expect.stringMatching(/^fairgrab\b/),
  })
})
