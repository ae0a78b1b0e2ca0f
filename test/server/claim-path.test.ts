/**
 * docs/ARCHITECTURE.md names every file that a claim runs through: V8 itself counts which functions of the engine run once a claim
 * while claims are made over HTTP. Which of them a reader has to follow is the document's to say.
 */
import { Session } from 'node:inspector/promises'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { textOf } from '../repo/tree.ts'
import { Api, makeRound } from '../support/api.ts'
import { KEYS } from '../support/engine.ts'
import { untilHolds } from '../support/polled.ts'
import { useWorker } from '../support/use-worker.ts'

/** So many that what runs by the clock stays behind them, on the slowest machine. */
const CLAIMS = 500
const ENGINE = fileURLToPath(new URL('../../engine/', import.meta.url))
const room = useWorker()

/** What "How one claim runs" names: files, and folders whose files need not be named. */
function namedIn(text: string): readonly string[] {
  const story = /^## How one claim runs$(.*?)^## /ms.exec(text)?.[1] ?? ''
  return [...story.matchAll(/`(engine\/[\w./-]+)`/g)].map(([, path]) => path as string)
}

/** Files to follow: those that the numbered steps name, without what is in brackets. */
function followedIn(text: string): ReadonlySet<string> {
  const steps = (/^## How one claim runs$(.*?)^- /ms.exec(text)?.[1] ?? '').replaceAll(/\([^()]*\)/g, '')
  return new Set([...steps.matchAll(/`((?:engine|scripts)\/[\w./-]+)`/g)].map(([, path]) => path as string))
}

/** Files of the engine of which a function ran at least once a claim. */
async function ranThrough(claim: (i: number) => Promise<void>): Promise<readonly string[]> {
  const session = new Session()
  session.connect()
  onTestFinished(() => session.disconnect())
  await session.post('Profiler.enable')
  await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false })
  for (let i = 0; i < CLAIMS; i++) await claim(i)
  const { result } = await session.post('Profiler.takePreciseCoverage')
  await session.post('Profiler.stopPreciseCoverage')
  return result.flatMap(({ url, functions }) => {
    const path = url.startsWith('file:') ? fileURLToPath(url) : url
    const isRun = functions.some(({ functionName, ranges }) => functionName !== '' && (ranges[0]?.count ?? 0) >= CLAIMS)
    return isRun && path.startsWith(ENGINE) ? [`engine/${path.slice(ENGINE.length)}`] : []
  })
}

test('the story of a claim has as many files to follow as it says', () => {
  const text = textOf('docs/ARCHITECTURE.md')
  const said = Number(/from bytes to answer: (\d+) files/.exec(text)?.[1])
  expect(followedIn(text).size).toBe(said)
  expect(said).toBeLessThanOrEqual(22)
})

test('every file that a claim runs through is named in the story of the claim', async () => {
  const { id } = await makeRound(new Api(room.url), { stock: 2 * CLAIMS })
  const headers = { authorization: `Bearer ${KEYS.operator}`, 'content-type': 'application/json' }
  // Not by Api, which holds answers to the contract and so runs parts of the engine itself.
  const claim = async (i: number) => {
    const body = JSON.stringify({ user_id: `u${i}` })
    const ask = () => fetch(`${room.url}/v1/rounds/${id}/claims`, { method: 'POST', headers, body })
    // Counting stands the process still for as long as its links wait: what was not decided is asked again, as clients do.
    await untilHolds(async () => {
      const { status } = await ask()
      expect(status).toBeOneOf([200, 201, 503])
      return status !== 503
    })
  }
  await claim(-1)
  const ran = await ranThrough(claim)
  expect(ran).toContain('engine/campaign/claim/claim-queue.ts')
  const named = namedIn(textOf('docs/ARCHITECTURE.md'))
  expect(ran.filter(path => !named.some(name => path === name || path.startsWith(`${name}/`)))).toEqual([])
})
