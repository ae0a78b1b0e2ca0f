/**
 * The store: the only door to Redis. It owns four connections a worker (claims; vouchers and ledger; reads and rounds;
 * stock events), a fifth for the server's health at the level replicated, and offers one typed method a script. Above
 * this room nobody knows what a key or a command is.
 */
import type { Clock } from '../base/clock.ts'
import { LEASE_MS } from '../base/limits.ts'
import type { Random } from '../base/random.ts'
import { AuditStore } from './audit-store.ts'
import { ClaimStore } from './claim-store.ts'
import { DrawStore } from './draw-store.ts'
import { EntryStore } from './entry-store.ts'
import { type EventListener, listenToStock } from './events.ts'
import { checkHealth, type Durability, type StoreHealth } from './health.ts'
import { LedgerStore } from './ledger-store.ts'
import { type Dial, Link } from './link.ts'
import { RoundStore } from './round-store.ts'
import { loadScripts } from './scripts.ts'
import { VoucherStore } from './voucher-store.ts'

export interface StoreOptions {
  readonly url: string
  readonly durability: Durability
  /** At the level replicated: how many replicas must have a grant before it is acknowledged. */
  readonly replicas?: number
  readonly clock: Clock
  readonly random: Random
  /** LEASE_MS where nothing else is said; only a store without workers may do with less. */
  readonly leaseMs?: number
  readonly heard?: (link: string, event: 'up' | 'down', detail: string) => void
  /** How Redis is reached; the real network where nothing else is said. */
  readonly network?: Network
  /** Loaded from scripts/ where they are not given. */
  readonly scripts?: ReturnType<typeof loadScripts>
}

/** The way to Redis: what the simulation puts itself into. */
export interface Network {
  readonly dial?: Dial
  readonly listen: typeof listenToStock
}

export interface Store {
  readonly claims: ClaimStore
  readonly entries: EntryStore
  readonly draws: DrawStore
  readonly rounds: RoundStore
  readonly vouchers: VoucherStore
  readonly ledger: LedgerStore
  readonly audit: AuditStore
  /** Whether the connections are up now. */
  readonly ready: () => boolean
  readonly listen: (listener: EventListener) => () => void
  readonly health: () => Promise<StoreHealth>
  readonly close: () => Promise<void>
}

export function openStore(options: StoreOptions): Store {
  const { url, clock, random, scripts = loadScripts(), network = { listen: listenToStock } } = options
  const replicas = options.replicas ?? 0
  const link = (name: string, copies = replicas) =>
    new Link({
      ...{ url, scripts, clock, random, replicas: copies, ...(network.dial && { dial: network.dial }) },
      heard: (event, detail) => options.heard?.(name, event, detail),
    })
  const claims = link('claims')
  const changes = link('vouchers')
  const reads = link('reads')
  // At the level replicated the server is asked when replicas are missing, too, so that cannot wait for them.
  const server = replicas > 0 ? link('health', 0) : reads
  return {
    claims: new ClaimStore(claims, reads, scripts),
    entries: new EntryStore(claims, reads, scripts),
    draws: new DrawStore(reads, scripts),
    rounds: new RoundStore(reads, scripts, options.leaseMs ?? LEASE_MS),
    vouchers: new VoucherStore(changes, reads, scripts),
    ledger: new LedgerStore(changes, reads, scripts),
    audit: new AuditStore(changes, reads, scripts),
    ready: () => claims.ready && changes.ready && reads.ready,
    listen: listener => network.listen(url, listener),
    health: () => checkHealth(server, { level: options.durability, replicas }),
    close: async () => {
      await Promise.all([claims.close(), changes.close(), reads.close(), server.close()])
    },
  }
}
