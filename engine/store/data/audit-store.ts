/**
 * The audit log in Redis: one stream of all that operators did over all campaigns, in one slot with its head. Each
 * entry has the SHA-1 of the one before it and of its own words, so none can be changed, dropped or put in between
 * without changing all later ones. Rejected: a log a campaign; who asks what was done asks about an evening.
 */
import * as keys from '../connection/keys.ts'
import type { Link } from '../connection/link.ts'
import type { Script, ScriptName } from '../connection/scripts.ts'

export interface AuditFields {
  readonly request: string
  /** The caller's id: a role and a hash, never a key. */
  readonly who: string
  readonly action: string
  readonly target: string
  /** JSON. */
  readonly body: string
  readonly outcome: string
}

/** As it lies in the stream: every value is a text. */
export interface AuditEntry extends AuditFields {
  readonly number: string
  /** Milliseconds since 1970, Redis's clock. */
  readonly at: string
  readonly chain: string
}

const PAGE_ENTRIES = 1000

export class AuditStore {
  readonly #changes: Link
  readonly #reads: Link
  readonly #script: Script

  constructor(changes: Link, reads: Link, scripts: Readonly<Record<ScriptName, Script>>) {
    this.#changes = changes
    this.#reads = reads
    this.#script = scripts.audit
  }

  async append({ request, who, action, target, body, outcome }: AuditFields): Promise<void> {
    const words = [request, who, action, target, body, outcome]
    await this.#changes.script(this.#script, [keys.auditState(), keys.auditLog()], words)
  }

  /** All entries, oldest first, read a page at a time. */
  async *entries(): AsyncGenerator<AuditEntry> {
    let start = '-'
    for (;;) {
      const begin = start
      const page = await this.#reads.request(client =>
        client.xrange(keys.auditLog(), begin, '+', 'COUNT', PAGE_ENTRIES),
      )
      for (const [, flat] of page) {
        const pairs = flat.flatMap((name, i) => (i % 2 === 0 ? [[name, flat[i + 1]]] : []))
        yield Object.fromEntries(pairs) as AuditEntry
      }
      if (page.length < PAGE_ENTRIES) return
      start = `(${page.at(-1)?.[0]}`
    }
  }
}
