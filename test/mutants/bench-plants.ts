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
    'unit/audit-plants',
  ),
  plant(
    'frames may show any total',
    'bench/audit/frame-checks.ts',
    ['if (!totals.has(at.total[i]!))', 'if (totals.size === 0)'],
    'unit/audit-plants',
  ),
  plant(
    'a change of ours is sent again',
    'engine/client/fresh-request.ts',
    ["repeatable = method === 'GET'", 'repeatable = true'],
    'unit/fresh-request',
  ),
  plant(
    'a reading of ours is not asked again',
    'engine/client/fresh-request.ts',
    ['const ATTEMPTS = 3', 'const ATTEMPTS = 1'],
    'unit/fresh-request',
  ),
  plant(
    'our own calls keep their connections',
    'engine/client/fresh-request.ts',
    ['agent: false, ', ''],
    'unit/fresh-request',
  ),
  plant(
    'a page does not ask again for what it reads',
    'engine/dashboard/engine-api.js',
    ['    return fetch(path, options)\n', '    throw cause\n'],
    'unit/fresh-request',
  ),
  plant(
    'an idle connection of the load waits until it is closed',
    'bench/load/http-connection.ts',
    ['      socket.setTimeout(this.#idleMs, () => this.#replace(socket))\n', ''],
    'unit/bench-connection',
  ),
  plant(
    'a part of the bench is written with the last one',
    'bench/measure/result-folder.ts',
    ["    await this.end('running')\n", ''],
    'unit/bench-truth',
  ),
  plant(
    'an edited file of a result passes',
    'bench/record/seal.ts',
    ['if (mark.sha256 !== sha256)', 'if (mark.bytes !== bytes)'],
    'unit/bench-truth',
  ),
  plant(
    'an edited summary passes',
    'bench/record/seal.ts',
    ['if (seal !== summary.seal) return', 'if (seal === undefined) return'],
    'unit/bench-truth',
  ),
  plant(
    'a summary is believed against its record',
    'bench/audit-again.ts',
    ['if (!same(says, gives))', 'if (says === undefined)'],
    'unit/bench-truth',
  ),
  plant(
    'the key stands in the result',
    'bench/run.ts',
    [".replace(/(--key[ =])\\S+/g, '$1…')", ''],
    'unit/bench-truth',
  ),
  plant(
    'a run is void because the machine was busy',
    'bench/scenario/claim-run.ts',
    ['[...run.expected, ...OF_LOAD]', '[...run.expected]'],
    'unit/bench-busy',
  ),
  plant(
    'refusals are counted as fast people',
    'bench/measure/fairness/run-fairness.ts',
    ['...(drawn ? [latencyClasses(crowd.latencyUs)] : []),', 'latencyClasses(crowd.latencyUs),'],
    'unit/fairness-run',
  ),
]
