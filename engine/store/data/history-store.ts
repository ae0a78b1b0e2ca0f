/**
 * Which history a round is in: scripts/round-history.lua, at the levels below fenced. A connection of its own kind asks it,
 * one that waits for no replica: right behind a promotion there is none, and until one came the lost history would be shown.
 * Of two servers the one that this connection leads to is believed, and no other: two that are asked at once could each be
 * adopted last.
 */
import * as keys from '../connection/keys.ts'
import type { Link } from '../connection/link.ts'
import type { Script, ScriptName } from '../connection/scripts.ts'
import { claimCode } from './claim-store.ts'
import { type Notice, noticeIn } from './notice.ts'

export class HistoryStore {
  readonly #link: Link
  readonly #script: Script

  constructor(link: Link, scripts: Readonly<Record<ScriptName, Script>>) {
    this.#link = link
    this.#script = scripts['round-history']
  }

  /** The server's state of a round, in an epoch that is this history's own, and whether this question began it; undefined when it has none. `shown` is the newest known. */
  async look(id: string, shown: Pick<Notice, 'epoch' | 'version'> | undefined, next: string) {
    const args = [keys.roundChannel(id), shown?.epoch ?? '', shown?.version ?? 0, next]
    const [outcome, text] = await this.#link.script(this.#script, [keys.roundState(id)], args)
    const code = claimCode(outcome as number)
    if (code === 'fenced') return undefined
    const notice = noticeIn(text)
    return { notice, begun: code === 'granted' }
  }
}
