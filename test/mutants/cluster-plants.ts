/**
 * Planted bugs of the parts that a Redis Cluster needs: where a request goes, what a redirection means, whose marks and notices
 * those are, and what a shard that is away may stop. How they are planted, and what was rejected, stands in plants.ts.
 */
import { type Plant, plant } from './plant.ts'

export const CLUSTER_PLANTS: readonly Plant[] = [
  plant(
    'a list whose end nobody can confirm has no row',
    'engine/server/http/lists.ts',
    ['throw isAway(cause) ? new RestAway(cause.code, cause.message) : cause', 'throw cause'],
    'cluster/lists',
  ),
  plant(
    'a list whose index is away has no row',
    'engine/server/routes/round-routes.ts',
    ['    if (!fault) throw cause\n    const ids', '    throw cause\n    const ids'],
    'cluster/lists',
  ),
  plant(
    'a claim that was only redirected counts as one that may still be executed',
    'engine/store/cluster/shards.ts',
    [
      "if (word !== 'MOVED' && word !== 'ASK') return false\n    if (isFirst && request.reports) request.writtenTo = undefined",
      "if (word !== 'MOVED' && word !== 'ASK') return false",
    ],
    'cluster/link',
  ),
  plant(
    'ASK is taken for a slot that has moved',
    'engine/store/cluster/shards.ts',
    ["if (word === 'ASK') {", "if (word === 'NEVER') {"],
    'cluster/link',
  ),
  plant(
    'a server that is about to take a slot is not asked for it',
    'engine/store/connection/request.ts',
    ["client.call('ASKING').catch(() => {})", ''],
    'cluster/link',
  ),
  plant(
    'what was under way to a lost shard is not sent again',
    'engine/store/cluster/shards.ts',
    ['if (request.writtenTo === client && this.#isWritten(request)) this.send(request)', 'void request'],
    'cluster/link',
  ),
  plant(
    'a request to a shard that is away goes to any other',
    'engine/store/cluster/shards.ts',
    [
      'return server === undefined ? undefined : this.#open(server)',
      'return [...this.#lines.values()].find(line => line.ready)',
    ],
    'cluster/link',
  ),
  plant(
    'a slot that moves key by key ends requests',
    'engine/store/connection/link.ts',
    ["'CLUSTERDOWN', 'TRYAGAIN', 'BUSY'", "'CLUSTERDOWN', 'BUSY'"],
    'cluster/link',
  ),
  plant(
    'replicas are asked behind a key that the server does not have',
    'engine/store/cluster/cluster.ts',
    ['replication: () => keys.serverReplicationMark(this.#markTag(server))', 'replication: keys.replicationMark'],
    'fault/cluster-kills',
  ),
  plant(
    "what waits for replicas waits for a slot of the server's own that moves",
    'engine/store/cluster/cluster.ts',
    ['this.#marks.delete(server)', ''],
    'cluster/marks',
  ),
  plant(
    'a server is called silent since the slot of its mark has moved',
    'engine/store/connection/link.ts',
    ['if (tries === MARKS_MAX || !isElsewhere((cause as Error).cause)) throw cause', 'if (tries > 0) throw cause'],
    'cluster/marks',
  ),
  plant(
    'a round that is moving key by key is called damaged',
    'engine/store/data/round-store.ts',
    [
      'this.#link.request(client => ofPrimary(client, one => one.exists(keys.roundLog(id)))),',
      'this.#link.request(client => client.hlen(keys.roundHolders(id)).then(() => client.exists(keys.roundLog(id)))),',
    ],
    'cluster/health',
  ),
  plant(
    'a subscription that is refused is not told of',
    'engine/store/connection/events.ts',
    ["if (cause.name === 'ReplyError') refused", "if (cause.name === 'Never') refused"],
    'cluster/health',
    'server/declared',
  ),
  plant(
    'notices are not sharded',
    'engine/store/connection/scripts.ts',
    ['sharded ? shardedOf(one) : one', 'one'],
    'cluster/engine',
  ),
  plant(
    'what is wrong with one shard stops all',
    'engine/store/server/cluster-health.ts',
    ['problems: sound.length === 0 ? found : []', 'problems: found'],
    'cluster/engine',
  ),
  plant(
    'one shard that is away hides the rounds of all others',
    'engine/server/routes/round-routes.ts',
    ['isAway(cause) && store.isStopped ?', 'isAway(cause) && !store.isStopped ?'],
    'cluster/engine',
  ),
  plant(
    'a server that is away hides what the doctor finds on the others',
    'engine/store/server/cluster-health.ts',
    [
      'slots: await slotsOf(server, link) }\n    } catch (cause) {\n      if (!(cause instanceof Fault)) throw cause',
      'slots: await slotsOf(server, link) }\n    } catch (cause) {\n      if (cause) throw cause',
    ],
    'cluster/health',
  ),
  plant(
    'who is away is asked of the server that is away',
    'engine/store/server/cluster-health.ts',
    ['if (living === undefined) return judged', 'if (living !== null) return judged'],
    'cluster/health',
  ),
  plant(
    'no metric says that a shard is away',
    'engine/store/server/cluster-health.ts',
    ['stoppedShards: judged.length - sound.length', 'stoppedShards: 0'],
    'cluster/engine',
  ),
  plant(
    'rounds of a shard with a problem are claimed',
    'engine/campaign/round/rounds.ts',
    ["if (isStopped?.(view.id)) return 'fenced'", ''],
    'cluster/engine',
  ),
  plant(
    'a part of the check that needs a shard that is away stops all',
    'engine/ops/health.ts',
    ['(found.problems.length > 0 || found.damages)', 'found.problems.length > 0'],
    'cluster/engine',
  ),
  plant(
    'what is wrong with one shard waits for another one that is silent',
    'engine/store/server/cluster-health.ts',
    [
      'const judged = await this.#judge(server)',
      'const judged = await this.#judge(server)\n    await new Promise(done => this.#options.clock.after(2500, done))',
    ],
    'cluster/health',
  ),
  plant(
    'what a primary granted that was cut off from its cluster is not given back',
    'engine/campaign/fenced/fenced-round.ts',
    ['{ grants: lostOf(read, notice), read }', '{ grants: [], read }'],
    'fault/cluster-cuts',
  ),
  plant(
    'an address of a cluster that cannot be read is shown with its password',
    'engine/store/connection/address.ts',
    ['shownUrl(url)}" $', 'url}" $'],
    'server/secrecy',
    'unit/config',
  ),
  plant(
    'a server that does not name its host is nowhere',
    'engine/store/cluster/slot-table.ts',
    ["host === null || host === '' || host === '?' ? askedHost : host", "host ?? ''"],
    'unit/slot-table',
  ),
  plant(
    'a server without an address is asked at port 0',
    'engine/store/cluster/slot-table.ts',
    ['/.:[1-9]\\d*$/', '/.:\\d+$/'],
    'unit/slot-table',
  ),
  plant(
    'slots that no server is known for stop nothing',
    'engine/store/server/cluster-health.ts',
    [
      'return server === undefined || this.#stopped.has(server)',
      'return server !== undefined && this.#stopped.has(server)',
    ],
    'cluster/engine',
  ),
  plant(
    'slots that no server is known for are no problem',
    'engine/store/server/cluster-health.ts',
    ['if (unserved === 0) return []', 'if (unserved >= 0) return []'],
    'cluster/engine',
  ),
  plant(
    'rounds that are lost together are not counted',
    'engine/campaign/round/damaged-rounds.ts',
    [
      '[...this.#found.keys(), ...this.#suspected.keys(), ...this.#lost]',
      '[...this.#found.keys(), ...this.#suspected.keys()]',
    ],
    'unit/damaged-rounds',
  ),
  plant(
    'what is suspected of a round behind the read that judged it is forgotten',
    'engine/campaign/round/damaged-rounds.ts',
    ['if (this.#suspected.get(id) === suspected) this', 'this'],
    'unit/damaged-rounds',
  ),
  plant(
    'a round that is only suspected is reported as damaged',
    'engine/campaign/round/damaged-rounds.ts',
    ['[...this.#found].map(', '[...this.#found, ...this.#suspected].map('],
    'unit/damaged-rounds',
  ),
  plant(
    'a slot that moved leaves the table as it was',
    'engine/store/cluster/slot-table.ts',
    ['    this.#text = undefined\n', ''],
    'unit/slot-table',
  ),
  plant(
    'a server that has not heard of a promotion takes slots back',
    'engine/store/cluster/slot-table.ts',
    ['const isTaken = epoch > own || ', 'const isTaken = isOther || '],
    'unit/slot-table',
  ),
  plant(
    'a server that does not have a slot gives it away',
    'engine/store/cluster/slot-table.ts',
    ['|| (owner !== undefined && owner !== by)', ''],
    'unit/slot-table',
  ),
  plant(
    'a cluster that was made anew is never believed',
    'engine/store/cluster/cluster.ts',
    ['now - this.#newestAt >= OLDER_MS', 'now < this.#newestAt'],
    'cluster/slot-epochs',
  ),
  plant(
    'a reply that is older than the table is asked for again and again of the same server',
    'engine/store/cluster/cluster.ts',
    ['if (!isNewest || !seen.isWhole) this.#next()', 'if (seen && !seen.isWhole) this.#next()'],
    'cluster/slot-epochs',
  ),
  plant(
    'a move that was forgotten half-way is not named',
    'engine/store/server/cluster-health.ts',
    ['warnings: own.movesFound(this.#seenTwice, replicas)', 'warnings: []'],
    'cluster/slot-findings',
  ),
  plant(
    'every move that goes on is named as forgotten',
    'engine/store/server/cluster-health.ts',
    ['this.#seenTwice = own.stillSo(this.#look, look)', 'this.#seenTwice = look'],
    'cluster/slot-findings',
  ),
  plant(
    'a slot that its owner has no more is not named',
    'engine/store/server/own-slots.ts',
    ['if (!owned.includes(0)) return []', 'if (owned.length > 0) return []'],
    'unit/own-slots',
    'cluster/slot-findings',
  ),
  plant(
    'slots of a server that is away are given to another one',
    'engine/store/server/own-slots.ts',
    ['id !== undefined && server === undefined ? [] : [{ slot, server }]', '[{ slot, server }]'],
    'unit/own-slots',
  ),
  plant(
    'that the table of slots may not be read any more is not named',
    'engine/store/server/cluster-health.ts',
    [', ...(await findTableRights(link))]', ']'],
    'cluster/health',
  ),
  plant(
    'a line that gives a right is a pipe',
    'engine/store/server/rights.ts',
    ["...right.split(' ').map(quoted)", 'right'],
    'cluster/health',
  ),
  plant(
    'a frozen server keeps the next one from being asked for the table',
    'engine/store/store.ts',
    ['dialRedis(server, options.tls, 0)', 'dialRedis(server, options.tls, 9000)'],
    'cluster/health',
  ),
  plant(
    'a server whose memory is used up is taken for sound',
    'engine/store/server/health.ts',
    ['used <= Number(most) || policy', 'used > 0 || policy'],
    'cluster/health',
  ),
  plant(
    'replicas that never take over by themselves are warned of',
    'engine/store/server/own-slots.ts',
    ['\\b(nofailover|fail|noaddr)\\b', '\\b(fail|noaddr)\\b'],
    'unit/own-slots',
    'cluster/uncounted',
  ),
  plant(
    'rights are advised where none is missing',
    'engine/store/store.ts',
    ['/NOPERM/.test(this.#why)', 'this.#why'],
    'cluster/slot-findings',
  ),
]
