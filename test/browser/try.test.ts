/**
 * The page for people who grab, in a real browser against a real engine: every state of a round, the vouchers, the draw.
 *
 * What is on screen is compared with what the API tells, and the receipt's checks with receipts that were spoiled: a check that
 * cannot fail shows nothing. A lost connection is a real one, cut in a proxy, and the page has to end with the one claim that
 * is there. Anybody who looks at the page from elsewhere than the engine's machine gets no field for a key.
 */
import type { Browser, Locator, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Api, type Fields, type Granted, makeRound, type Round } from '../support/api.ts'
import { KEYS } from '../support/engine.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { useWorker } from '../support/use-worker.ts'
import { userToken } from '../support/user-token.ts'
import { openPage, shows, startChromium, type WatchedPage } from './chromium.ts'
import { expectGoodLooks } from './looks.ts'

const worker = useWorker()
let browser: Browser
let watched: WatchedPage
let page: Page
let api: Api

const REFUSED = (status: number) => expect.stringContaining(`the server responded with a status of ${status}`)
const problems = () => watched.problems.splice(0)
const part = (id: string): Locator => page.locator(`#${id}`)
const codes = () => part('answer').locator('code').allTextContents()
const button = () => page.locator('#button')
const lines = (list: string) => part(list).locator('li').allTextContents()

const look = async (round: { readonly id: string }, origin = worker.url): Promise<void> => {
  await page.goto(`${origin}/try/${round.id}`)
  await shows(part('connection'), 'Live')
}

async function signIn(user: string): Promise<void> {
  await page.getByLabel('Key or user token').fill(KEYS.platform)
  await page.getByLabel('User', { exact: true }).fill(user)
}

beforeAll(async () => {
  api = new Api(worker.url, KEYS.operator)
  browser = await startChromium()
  watched = await openPage(browser)
  page = watched.page
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
})

afterAll(() => browser?.close())

describe('first come, first served', () => {
  test('counts down by the engine’s clock', async () => {
    await look(await makeRound(api, { stock: 40, opens_at: new Date(Date.now() + 3_600_000).toISOString() }))
    await shows(part('big'), /^(1:00:00|59:\d\d)$/)
    await shows(part('what'), 'until it opens with 40')
    expect(await button().isDisabled()).toBe(true)
    expect(problems()).toEqual([])
  })

  test('opens before the eyes, grants by keyboard, and copies a code', async () => {
    const round = await makeRound(api, { stock: 40, opens_at: null })
    await look(round)
    await shows(part('big'), 'Soon')
    await signIn('ada')
    await api.post(`/v1/rounds/${round.id}/open`)
    await shows(part('announcement'), 'The round: Open')
    await button().focus()
    await page.keyboard.press('Enter')
    await shows(part('answer'), 'Yours, number 1 of this round.')
    const held = await api.get<Granted>(`/v1/rounds/${round.id}/claims/ada`)
    const own = held.body.vouchers.map(({ code }) => code)
    expect(await codes()).toEqual(own)
    await shows(part('big'), '39')
    await page.getByRole('button', { name: `Copy ${own[1]}` }).click()
    await shows(part('answer'), 'Copied')
    expect(await page.evaluate('navigator.clipboard.readText()')).toBe(own[1])
    await expectGoodLooks(page)
    expect(problems()).toEqual([])
  })

  test('paused, sold out, closed: who holds nothing learns what that means, a holder gets his vouchers', async () => {
    const round = await makeRound(api, { stock: 2 })
    const { vouchers } = (await api.post<Granted>(`/v1/rounds/${round.id}/claims`, { user_id: 'holder' })).body
    const own = vouchers.map(({ code }) => code)
    await look(round)
    const states: readonly (readonly [() => Promise<unknown>, string, string])[] = [
      [
        () => api.post(`/v1/rounds/${round.id}/pause`),
        'Paused',
        'It is paused. Nothing was lost: try again when it goes on.',
      ],
      [
        async () => {
          await api.post(`/v1/rounds/${round.id}/resume`)
          await api.post(`/v1/rounds/${round.id}/claims`, { user_id: 'last' })
        },
        'Sold out',
        'Nothing was left for you this time.',
      ],
      [() => api.post(`/v1/rounds/${round.id}/close`), 'Closed', 'It is over, and you hold nothing of it.'],
    ]
    for (const [turn, word, words] of states) {
      await turn()
      await shows(part('state'), word)
      await signIn('nobody')
      await button().click()
      await shows(part('answer'), words)
      await signIn('holder')
      await button().click()
      await shows(part('answer'), 'Yours, number 1 of this round.')
      expect(await codes()).toEqual(own)
    }
    expect(problems()).toEqual([REFUSED(409), REFUSED(409), REFUSED(410)])
  })

  test('a round that is not there, a wrong key and a token are told or used as what they are', async () => {
    await page.goto(`${worker.url}/try/rnd_nothing`)
    await shows(part('note'), 'There is no such round. Look at the address again.')
    expect(await button().isVisible()).toBe(false)
    const round = await makeRound(api, { stock: 5, pools: [{ name: 'assisted', stock: 2 }] })
    await look(round)
    await page.getByLabel('Key or user token').fill('not-a-key')
    await button().click()
    await shows(part('answer'), 'You are not signed in: the key or token is missing, wrong or too old.')
    await signIn('by-key')
    await page.getByLabel('Pool').selectOption('assisted')
    await button().click()
    await shows(part('answer'), 'Yours, number 1 of this round.')
    await page.getByLabel('Key or user token').fill(userToken('by-token'))
    expect(await page.getByLabel('User', { exact: true }).isVisible()).toBe(false)
    await button().click()
    await shows(part('answer'), 'Yours, number 2 of this round.')
    const { data } = (await api.get<{ data: Fields[] }>(`/v1/rounds/${round.id}/claims`)).body
    expect(data.map(({ user_id, pool }) => `${user_id} ${pool}`)).toEqual(['by-key assisted', 'by-token general'])
    expect(problems()).toEqual([REFUSED(404), REFUSED(401)])
  })

  test('asks again when the answer was lost until it is certain, and it is one claim', async () => {
    const proxy = await TcpProxy.open({ host: '127.0.0.1', port: Number(new URL(worker.url).port) })
    const round = await makeRound(api, { stock: 3 })
    await look(round, proxy.url.replace('redis:', 'http:'))
    await signIn('patient')
    const lost = () => proxy.forwarded('reply', bytes => bytes.includes('HTTP/1.1 20'))
    let answered = lost()
    proxy.way = 'drop replies'
    await button().click()
    // A third of a second later it says the next number, which a busy browser may be the first to show.
    const asksAgain = shows(part('answer'), /^No certain answer yet; asking again in \d s \(attempt [2-8]\)\.$/)
    let isLost = false
    void asksAgain.then(() => {
      isLost = true
    })
    // The browser itself repeats what it sent on a connection that it had open, so more than one answer has to be lost.
    while (!isLost) {
      await Promise.race([answered, asksAgain])
      answered = lost()
      proxy.disconnect()
    }
    proxy.way = 'pass'
    await shows(part('answer'), 'Yours, number 1 of this round.')
    await shows(part('connection'), 'Live')
    expect((await api.get<Round>(`/v1/rounds/${round.id}`)).body.stock.granted).toBe(1)
    for (const problem of problems()) expect(problem).toMatch(/ERR_|WebSocket connection/)
    await page.goto('about:blank')
    await proxy.close()
  })

  test('waits between two attempts as long as the engine says, else longer each time, and never the same', async () => {
    await page.goto(worker.url)
    const given = [
      [2, 3000, 0.5],
      [2, null, 0],
      [5, null, 0],
      [50, null, 1],
    ]
    const waits = await page.evaluate(`import('/client/patience.ts').then(({ waitBefore }) =>
      ${JSON.stringify(given)}.map(([attempt, told, random]) => waitBefore(attempt, told ?? undefined, random)))`)
    expect(waits).toEqual([3750, 250, 2000, 7500])
    expect(problems()).toEqual([])
  })
})

/** A receipt with one thing changed, and the check that has to find it. */
const SPOILED: readonly (readonly [string, (receipt: Fields) => Fields, string])[] = [
  ['another time', receipt => ({ ...receipt, at: '2020-01-01T00:00:00.000Z' }), 'Receipt fails: The signature is not'],
  ['another pool', receipt => ({ ...receipt, pool: 1 }), 'Receipt fails: Tag, pool and path do not lead'],
  ['another key', receipt => ({ ...receipt, key_id: '0'.repeat(16) }), 'Receipt fails: The engine publishes no key'],
  ['another owner', receipt => ({ ...receipt, user_id: 'eve' }), 'Owner fails: The tag is not that of eve.'],
]

describe('a draw', () => {
  let round: Round
  let receipt: Fields

  test('an entry gives a receipt that the browser has checked; the count of an open window is not shown', async () => {
    round = await makeRound(api, { stock: 2, allocation: { mode: 'window', window_ms: 60_000, may_end_early: true } })
    await look(round)
    await shows(part('what'), 'to be drawn')
    await shows(part('note'), 'It is drawn every 60 s. All who enter have the same chance; being first gives none.')
    await signIn('ada')
    await page.getByRole('button', { name: 'Enter the draw' }).click()
    await shows(part('answer'), 'You are in. The result comes here by itself; you need not stay or tap again.')
    await shows(part('note'), /^Entries close in 0:\d\d\. /)
    await shows(part('checks'), 'Owner: The tag is that of ada.')
    expect(await lines('checks')).toEqual([
      expect.stringMatching(/^Receipt: Signed by the engine’s key [0-9a-f]{16}\.$/),
      'Owner: The tag is that of ada.',
    ])
    expect(await part('big').textContent()).toBe('2')
    await page.locator('#copy-receipt').click()
    await shows(part('copy-receipt'), 'Copied')
    receipt = JSON.parse((await page.evaluate('navigator.clipboard.readText()')) as string)
    expect(receipt).toMatchObject({ round_id: round.id, window: 0, user_id: 'ada' })
    await expectGoodLooks(page)
    expect(problems()).toEqual([])
  })

  test('the winner gets his vouchers by himself, and the whole draw holds in his browser', async () => {
    await api.post(`/v1/rounds/${round.id}/close`)
    await shows(part('answer'), /^Yours, number [12] of this round\.$/)
    const held = await api.get<Granted>(`/v1/rounds/${round.id}/claims/ada`)
    expect(await codes()).toEqual(held.body.vouchers.map(({ code }) => code))
    await shows(part('state'), 'Drawn')
    await part('check-draw').click()
    await shows(part('proof-answer'), 'The draw was checked in this browser.')
    expect(await lines('checks')).toEqual([
      expect.stringMatching(/^Receipt: Signed/),
      'Owner: The tag is that of ada.',
      expect.stringMatching(/^Commitment: The list was final at .*, with 1 in it\.$/),
      'Entry: Your entry is number 1 of 1.',
      expect.stringMatching(/^Times: Entries were taken from .* to .*, as the rules say\.$/),
      'Beacon: The secret was fixed before anybody entered, and the seed follows from it.',
      'Result: Your score won a seat of general.',
    ])
    await expectGoodLooks(page)
    expect(problems()).toEqual([])
  })

  test('a window that was closed early, which its rules did not announce, fails in the browser', async () => {
    const shut = await makeRound(api, { stock: 1, allocation: { mode: 'window', window_ms: 3_600_000 } })
    const { body } = await api.post<Fields>(`/v1/rounds/${shut.id}/claims`, { user_id: 'ada' })
    await api.post(`/v1/rounds/${shut.id}/close`)
    const drawn = async () => (await api.get<Fields>(`/v1/rounds/${shut.id}/draw`)).body.state
    await expect.poll(drawn, { timeout: 30_000 }).toBe('drawn')
    await look(shut)
    await page.locator('#kept summary').click()
    const own = { ...(body.receipt as Fields), user_id: 'ada' }
    await page.locator('#kept-receipt').fill(JSON.stringify(own))
    await page.getByRole('button', { name: 'Check it' }).click()
    await page.locator('#kept-checks li', { hasText: 'Times fails: It ended early: at ' }).waitFor()
    await shows(part('kept-answer'), '1 of 7 checks fail.')
    problems()
  })

  test('a spoiled receipt fails at the check that is for it', async () => {
    await look(round)
    await page.locator('#kept summary').click()
    for (const [what, spoil, words] of SPOILED) {
      await page.locator('#kept-receipt').fill(JSON.stringify(spoil(receipt)))
      await page.getByRole('button', { name: 'Check it' }).click()
      await page.locator('#kept-checks li', { hasText: words }).waitFor()
      await shows(part('kept-answer'), /^\d of 7 checks fail\.$/)
      expect([what, (await lines('kept-checks')).some(line => line.startsWith(words))]).toEqual([what, true])
    }
    problems()
  })

  test('what is no receipt is told, and a kept one is checked after a reload', async () => {
    await look(round)
    await page.locator('#kept summary').click()
    for (const [text, words] of [
      ['hello', 'This is no receipt: it should begin with a brace.'],
      ['{"tag":1}', 'This is no receipt of this round.'],
      [JSON.stringify({ outcome: 'entered', receipt }), 'The draw was checked in this browser.'],
    ] as const) {
      await page.locator('#kept-receipt').fill(text)
      await page.getByRole('button', { name: 'Check it' }).click()
      await shows(part('kept-answer'), words)
    }
    await expectGoodLooks(page, '#kept')
    expect(problems()).toEqual([])
  })

  test('a result that came while the connection was cut is told when it is back', async () => {
    const proxy = await TcpProxy.open({ host: '127.0.0.1', port: Number(new URL(worker.url).port) })
    const missed = await makeRound(api, { stock: 1, allocation: { mode: 'window', window_ms: 60_000 } })
    await look(missed, proxy.url.replace('redis:', 'http:'))
    await signIn('away')
    await button().click()
    await part('checks').locator('li').nth(1).waitFor()
    proxy.way = 'black hole'
    proxy.disconnect()
    await api.post(`/v1/rounds/${missed.id}/close`)
    const state = async () => (await api.get<Round>(`/v1/rounds/${missed.id}`)).body.state
    await expect.poll(state, { timeout: 10_000 }).toBe('drawn')
    proxy.way = 'pass'
    proxy.disconnect()
    await shows(part('answer'), 'Yours, number 1 of this round.')
    problems()
    await page.goto('about:blank')
    await proxy.close()
  })

  test('who lost learns it from the one frame, without asking', async () => {
    const crowded = await makeRound(api, { stock: 1, allocation: { mode: 'window', window_ms: 60_000 } })
    await look(crowded)
    await signIn('loser')
    await button().click()
    await part('checks').locator('li').nth(1).waitFor()
    const rivals = Array.from({ length: 300 }, (_, i) => ({ user_id: `rival-${i}` }))
    await api.post(`/v1/rounds/${crowded.id}/claims/batch`, { claims: rivals })
    const asked = watched.requests.length
    await api.post(`/v1/rounds/${crowded.id}/close`)
    await part('check-draw').waitFor()
    const { winners } = (await api.get<{ winners: string[] }>(`/v1/rounds/${crowded.id}/draw/files/result.json`)).body
    const mine = (await api.get<{ receipt?: Fields } & Partial<Granted>>(`/v1/rounds/${crowded.id}/claims/loser`)).body
    // One in 301 wins; then the page has to say that instead.
    const won = mine.claim !== undefined
    expect(winners).toHaveLength(1)
    await shows(part('answer'), won ? /^Yours, number 1/ : 'You were not drawn this time.')
    const later = watched.requests.slice(asked).filter(address => address.endsWith('/claims'))
    expect(later).toHaveLength(won ? 1 : 0)
    problems()
  })
})

test('elsewhere than on the engine’s machine there is no field for a key, and the round is shown', async () => {
  const round = await makeRound(api, { stock: 7 })
  await look(round, worker.url.replace('127.0.0.1', 'shop.localhost'))
  await shows(part('what'), 'left of 7')
  expect(await page.locator('#who:visible, #grab:visible').count()).toBe(0)
  await shows(part('elsewhere'), /This is the example page of the engine/)
  expect(watched.requests.filter(address => Object.values(KEYS).some(key => address.includes(key)))).toEqual([])
  expect(problems()).toEqual([])
})
