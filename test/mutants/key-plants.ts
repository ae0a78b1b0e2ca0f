/**
 * Planted bugs of credentials and of what they open: who reads the metrics. How they are planted, and what was rejected, stands
 * in plants.ts.
 */
import { type Plant, plant } from './plant.ts'

const READERS = 'server/metrics-readers'
const ROUTES = 'engine/server/routes/routes.ts'

export const KEY_PLANTS: readonly Plant[] = [
  plant('metrics: nobody needs a key', ROUTES, ["    right: 'measure',\n", "    right: 'public',\n"], READERS),
  plant(
    'metrics: a platform reads them',
    'engine/auth/callers.ts',
    ["platform: ['claim-any', ", "platform: ['measure', 'claim-any', "],
    READERS,
  ),
  plant('metrics: off is for keys', ROUTES, ["metricsFor === 'off'", "metricsFor === ('none' as string)"], READERS),
  plant('metrics: public is for keys', ROUTES, ["metricsFor === 'public' ? open", 'false ? open'], READERS),
  plant(
    'metrics: with keys they are public by themselves',
    'engine/config.ts',
    ["=== '' ? 'public' : 'key'", "=== '' ? 'public' : 'public'"],
    READERS,
  ),
  plant(
    'metrics: the workers of a node that made its key ask for one',
    'engine/processes/supervisor.ts',
    ['    FAIRGRAB_METRICS: config.metrics,\n', ''],
    READERS,
  ),
  plant(
    'metrics: the desk shows a key again that was refused',
    'engine/dashboard/desk/pulse-board.js',
    ['    this.#refused = key\n', ''],
    'browser/desk',
  ),
]
