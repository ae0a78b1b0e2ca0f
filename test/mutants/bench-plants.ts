/**
 * Bugs of the bench and of those who call the engine from our side: a stock that is believed, a part that is lost, a
 * result whose edits nobody sees, a change that is sent twice.
 */
import { type Plant, plant } from './plant.ts'

export const BENCH_PLANTS: readonly Plant[] = [
  plant(
    'the audit takes the stock from the engine',
    'bench/audit/stock-checks.ts',
    ['  const stock = stockOf(run)\n', '  const stock = run.round.pools.map(pool => pool.total)\n'],
    'bench/audit-plants',
  ),
  plant(
    'frames may show any total',
    'bench/audit/frame-checks.ts',
    ['if (!totals.has(at.total[i]!))', 'if (totals.size === 0)'],
    'bench/audit-plants',
  ),
  plant(
    'a command sends a change without a key',
    'engine/cli/engine-call.ts',
    ['const named = isKeyed ?', 'const named = key ?'],
    'unit/three-attempts',
  ),
  plant(
    'a reading of ours is not asked again',
    'engine/client/three-attempts.ts',
    ['const ATTEMPTS = 3', 'const ATTEMPTS = 1'],
    'unit/three-attempts',
  ),
  plant(
    'an engine that is not there is asked again',
    'engine/client/three-attempts.ts',
    ['left === 0 || !isBrokenOff(answer.cause)', 'left === 0 || answer.status !== 0'],
    'unit/three-attempts',
  ),
  plant(
    'a page does not ask again for what it reads',
    'engine/dashboard/base/engine-api.js',
    ['first.status === 0 && left > 0', 'left < 0'],
    'unit/three-attempts',
  ),
  plant(
    'an idle connection of the load waits until it is closed',
    'bench/load/http-connection.ts',
    ['      socket.setTimeout(this.#idleMs, () => this.#replace(socket))\n', ''],
    'bench/connection',
  ),
  plant(
    'a part of the bench is written with the last one',
    'bench/record/result-folder.ts',
    ["    await this.end('running')\n", ''],
    'bench/truth',
  ),
  plant(
    'an edited file of a result passes',
    'bench/record/seal.ts',
    ['if (mark.sha256 !== sha256)', 'if (mark.bytes !== bytes)'],
    'bench/truth',
  ),
  plant(
    'an edited summary passes',
    'bench/record/seal.ts',
    ['if (seal !== summary.seal) return', 'if (seal === undefined) return'],
    'bench/truth',
  ),
  plant(
    'a summary is believed against its record',
    'bench/kept-part.ts',
    ['if (one !== other)', 'if (one === undefined)'],
    'bench/truth',
  ),
  plant(
    'a void run is compared',
    'bench/compared-runs.ts',
    ['audit?.ok === false ?', 'audit === undefined ?'],
    'bench/compared',
  ),
  plant(
    'runs of another load are compared',
    'bench/compared-runs.ts',
    ['valuesOf(all, name).length > 1', 'valuesOf(all, name).length > 2'],
    'bench/compared',
  ),
  plant(
    'latencies are believed against their record',
    'bench/kept-part.ts',
    [
      'compared.agree(FROM_SEND, latencies[FROM_SEND], latency.summary())',
      'compared.agree(FROM_SEND, latency.summary(), latency.summary())',
    ],
    'bench/record',
  ),
  plant(
    'a part may stand twice',
    'bench/audit-again.ts',
    ['names.indexOf(name) < place', 'names.indexOf(name) > place'],
    'bench/record',
  ),
  plant(
    'a record may lie outside of its folder',
    'bench/kept-part.ts',
    ['part.record !== undefined && part.record !== own', 'part.record === null'],
    'bench/record',
  ),
  plant(
    'a torn record ends the audit',
    'bench/kept-part.ts',
    ['    const unread = ', '    throw cause\n    const unread = '],
    'bench/record',
  ),
  plant(
    'claims of a timeline may move',
    'bench/record/timeline-record.ts',
    ['earliest <= latest + ROUNDING_US', 'earliest !== latest'],
    'bench/record',
  ),
  plant(
    'a line of the audit may be taken out',
    'bench/kept-part.ts',
    ['gives].filter(line => !said.has(line))', "gives].filter(line => line === '')"],
    'bench/record',
  ),
  plant(
    'a connection has two claims at once',
    'bench/record/answers.ts',
    ['sent[row]! < answered[rows[place - 1]!]!', 'sent[row]! < sent[rows[place - 1]!]!'],
    'bench/record',
  ),
  plant(
    'a refusal may show vouchers',
    'bench/audit/claim-checks.ts',
    ['known && told && shown && ', 'known && told && '],
    'bench/record',
  ),
  plant(
    'a record that nobody sealed is believed',
    'bench/kept-part.ts',
    ['!(file in summary.files)', 'file === own'],
    'bench/record',
  ),
  plant('the key stands in the result', 'bench/run.ts', [".replace(/(--key[ =])\\S+/g, '$1…')", ''], 'bench/truth'),
  plant(
    'a run is void because the machine was busy',
    'bench/scenario/claim-run.ts',
    ['[...run.expected, ...OF_LOAD]', '[...run.expected]'],
    'bench/busy',
  ),
  plant(
    'refusals are counted as fast people',
    'bench/measure/fairness/run-fairness.ts',
    ['...(drawn ? [latencyClasses(crowd.latencyUs)] : []),', 'latencyClasses(crowd.latencyUs),'],
    'bench/fairness-run',
  ),
  plant(
    'twenty rounds lie on the shards of a cluster by chance',
    'bench/scenario/played-claims.ts',
    ['if ((left[shard] ?? 0) > 0)', 'if (shard >= 0)'],
    'bench/rounds',
  ),
  plant(
    'what the servers of a cluster use is left out of the cost',
    'bench/measure/process-cost.ts',
    ['return [...treeOf(pid), ...ofServers]', 'return [...treeOf(pid), ...ofServers.slice(1)]'],
    'bench/rounds',
  ),
  plant(
    'each of twenty rounds has the cost of all',
    'bench/scenario/claim-run.ts',
    ['played.rounds.length === 1', 'played.rounds.length >= 1'],
    'bench/rounds',
  ),
  plant(
    'the sum of twenty rounds is believed',
    'bench/kept-part.ts',
    ['if (summed.length > 0) return', 'if (summed.length < 0) return'],
    'bench/rounds',
  ),
  plant(
    'a bench that was killed leaves its servers and its engine',
    'bench/stage/engine-process.ts',
    ['cat >/dev/null; kill', 'cat >/dev/null; echo'],
    'bench/rounds',
  ),
  plant(
    'pods that come back all at once under other addresses do not meet',
    'deploy/cluster/start.sh',
    ['then meet "$@" & fi', 'then :; fi'],
    'server/deployed-cluster',
  ),
  plant(
    'make.sh waits in silence',
    'deploy/cluster/make.sh',
    ['|| echo "waiting for', '|| : "waiting for'],
    'server/deployed-cluster',
  ),
  plant(
    'a flag that changes nothing of a run is taken',
    'bench/stage/options.ts',
    ['  refuseUnused(flags)\n', ''],
    'bench/result',
  ),
  plant(
    'more connections than were asked for go unsaid',
    'bench/scenario/rounds.ts',
    ['      ...raisedNotes(asked, ROUNDS * run.connections),\n', ''],
    'bench/rounds',
  ),
]
