/**
 * A platform's server: people tap in its app, it claims for them in batches, and keeps what each of them was answered.
 *
 *   FAIRGRAB_KEY=your-operator-key node_modules/.bin/node examples/backend.ts
 *
 * FAIRGRAB_URL says where the engine is, else http://127.0.0.1:8080. Here, type `node deploy/client-package.mjs` once before; in
 * a project of your own, npm install fairgrab-client. The idea to take home: write down who asked before you ask the engine, and how it
 * ended behind it. Whoever has no certain answer is asked for again, after a crash too, and gets no second pack.
 */
import { appendFileSync, existsSync, mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BatchResult, Fairgrab } from 'fairgrab-client'

const { FAIRGRAB_URL: url = 'http://127.0.0.1:8080', FAIRGRAB_KEY: key = '' } = process.env
const fairgrab = new Fairgrab({ url, key })

const discount = { type: 'amount_off', amount_off: 1000, minimum_amount: 4000 }
const pack = [{ template: '40-10', valid_for_s: 604_800, discount }]
const own = `example-${Date.now()}`
const create = (path: string, what: string, body: object) =>
  fairgrab.request<{ id: string }>({ method: 'POST', path, body, key: `${own}-${what}` })
const campaign = await create('/v1/campaigns', 'campaign', { name: 'Example: backend', currency: 'CNY', pack })
const round = await create(`/v1/campaigns/${campaign.id}/rounds`, 'round', { stock: 300 })

/** Who asked and how it ended, a line each; a database does the same. */
class Book {
  readonly #file: string
  readonly ended = new Map<string, BatchResult>()
  readonly asked = new Set<string>()

  constructor(file: string) {
    this.#file = file
    const lines = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []
    for (const line of lines) this.#take(JSON.parse(line) as Line)
  }

  write(line: Line): void {
    appendFileSync(this.#file, `${JSON.stringify(line)}\n`)
    this.#take(line)
  }

  /** Those who have no certain answer. */
  get open(): readonly string[] {
    return [...this.asked].filter(user => !this.ended.has(user))
  }

  count(outcome: BatchResult['outcome']): number {
    return [...this.ended.values()].filter(result => result.outcome === outcome).length
  }

  #take({ user, result }: Line): void {
    this.asked.add(user)
    if (result) this.ended.set(user, result)
  }
}

interface Line {
  readonly user: string
  readonly result?: BatchResult
}

/** The last words of a claim. Whoever hears another one waits on: for the round, for the engine, or for whoever mends the question. */
const LAST = ['granted', 'entered', 'sold_out', 'limit_reached', 'closed', 'not_eligible']

/** Claims for everybody in the book who waits; what arrives meanwhile is the next batch. */
async function claimAll(book: Book): Promise<void> {
  const users = book.open
  const results = await fairgrab.claimBatch(
    round.id,
    users.map(user => ({ user })),
  )
  for (const [i, result] of results.entries())
    if (LAST.includes(result.outcome)) book.write({ user: users[i] as string, result })
  const refused = results.find(({ outcome }) => outcome === 'refused')
  if (refused === undefined || !('detail' in refused)) return
  console.log(`refused: ${refused.detail}`)
  // One claim that is none refuses its batch, and is named: it is over, and the others are asked for without it.
  const [, wrong] = /^claims\.(\d+)\./.exec(refused.detail ?? '') ?? []
  if (wrong === undefined) return
  book.write({ user: users[Number(wrong)] as string, result: refused })
  await claimAll(book)
}

const file = join(mkdtempSync(join(tmpdir(), 'fairgrab-example-')), 'book.ndjson')
const book = new Book(file)

// A thousand people tap before the round is open: written down, asked for, and not lost.
// One of them has a name that no user can have: that one is told so, and the others are not held up.
for (let i = 0; i < 1000; i++) book.write({ user: i === 500 ? 'no user' : `user-${i}` })
await claimAll(book)
console.log(`before it opens: ${book.open.length} wait`)

await fairgrab.request({ method: 'POST', path: `/v1/rounds/${round.id}/open`, key: `${own}-open` })
await claimAll(book)
console.log(`open: ${book.count('granted')} granted, ${book.count('sold_out')} came too late`)

// The server starts again, perhaps in the middle of a batch: the book knows everything, and asking twice is asking once.
const again = new Book(file)
console.log(`after a restart: ${again.count('granted')} granted, ${again.open.length} without an answer`)
const [first] = await fairgrab.claimBatch(round.id, [{ user: 'user-0' }])
const isSame = JSON.stringify(first?.outcome === 'granted' && first.claim) === JSON.stringify(claimOf(again, 'user-0'))
console.log(`user-0 asked again: ${isSame ? 'the same claim' : 'ANOTHER CLAIM'}`)
process.exitCode = again.count('granted') === 300 && isSame ? 0 : 1

function claimOf({ ended }: Book, user: string) {
  const result = ended.get(user)
  return result?.outcome === 'granted' && result.claim
}
