/**
 * Every notice that a server of a simulated world ever wrote, and which servers have it still: what a state that somebody is
 * shown is held against.
 *
 * Two servers' logs are the same up to where they part, so a write has one place in all logs that have it, and asking
 * whether a server has it costs one look there. A notice is known by round, epoch and version; where two servers wrote
 * different ones under that name, each stands here. Rejected: the states of each server by time, since what is shown names
 * its version, and what survives is a question about logs and not about moments.
 */
import { channelRound } from '../../engine/store/connection/keys.ts'
import { type Notice, parseNotice } from '../../engine/store/data/notice.ts'
import type { Published } from './redis/call.ts'
import type { Write } from './redis/keyspace.ts'
import type { Server } from './redis/server.ts'

interface Noted {
  readonly place: number
  readonly write: Write
  readonly text: string
}

const keyOf = (roundId: string, epoch: string, version: number | string) => `${roundId} ${epoch} ${version}`

/** The state as it was written, or as the clock may have turned it since. */
const mayBe = ({ state, opensAt, closesAt }: Notice, shown: Notice['state']): boolean =>
  shown === state ||
  (shown === 'open' && state === 'scheduled' && opensAt > 0) ||
  (shown === 'closed' && ['scheduled', 'open', 'paused'].includes(state) && closesAt > 0)

const countsOf = ({ sequence, pools }: Notice): string =>
  [sequence, ...pools.map(({ total, granted, quarantined = 0 }) => `${granted}+${quarantined}/${total}`)].join(' ')

export class Notices {
  readonly #noted = new Map<string, Noted[]>()

  /** A script of a server wrote one. */
  add(server: Server, { channel, text }: Published, place: number): void {
    const [epoch = '', version = ''] = text.split(' ', 2)
    const key = keyOf(channelRound(channel), epoch, version)
    const noted = { place, write: (server.log[place] as Server['log'][number]).write, text }
    const known = this.#noted.get(key)
    if (known) known.push(noted)
    else this.#noted.set(key, [noted])
  }

  /** What a server has of a round goes to another one, where it stands at a place in the log. */
  carry(roundId: string, from: Server, to: Server, place: number): void {
    const write = (to.log[place] as Server['log'][number]).write
    for (const [key, noted] of this.#noted) {
      if (!key.startsWith(`${roundId} `)) continue
      const there = noted.filter(each => from.log[each.place]?.write === each.write)
      for (const text of new Set(there.map(each => each.text))) noted.push({ place, write, text })
    }
  }

  /** Whether what is shown of a round is, or was, true in a server's history. */
  has({ log }: Server, roundId: string, shown: Notice): boolean {
    const noted = this.#noted.get(keyOf(roundId, shown.epoch, shown.version)) ?? []
    return noted.some(({ place, write, text }) => {
      if (log[place]?.write !== write) return false
      const written = parseNotice(text)
      return mayBe(written, shown.state) && countsOf(written) === countsOf(shown)
    })
  }
}

/** What is shown, in words. */
export const shownAs = (state: string, notice: Notice): string =>
  `${state}, ${countsOf(notice)}, epoch ${notice.epoch.slice(0, 4)} version ${notice.version}`
